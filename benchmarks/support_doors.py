"""The part of docs/support.md about what people bring: forms of data, files of networks, tasks walked from end to end,
and what is refused, in the words of the refusal.

Nothing here is a list: it is what went through the doors while tests ran, and what was said no to.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parent.parent
WALKS = ROOT / "tests" / "app" / "test_walks.py"
KINDS = ("datasets_tables", "datasets_sounds", "datasets_listed", "datasets_boxes", "interfaces", "uploads_exported")
DOORS = (
    WALKS,
    ROOT / "tests" / "core" / "test_keras_walk.py",
    *(
        ROOT / "tests" / "core" / f"test_{name}.py"
        for name in (
            "datasets_tables",
            "datasets_sounds",
            "datasets_listed",
            "datasets_boxes",
            "interfaces",
            "uploads_exported",
        )
    ),
)
PATH = re.compile(r"/[^\s'\"]*pytest-of[^\s'\"]*")  # where the test ran, on whichever machine
# Which page says what these floors refuse; the first that fits.
PAGES = {
    "datasets": "Load, data", "zoo": "Load, network", "studies/judging": "Load, what is judged",
    "studies/feeding": "Load, data", "training": "Fine-tune", "methods": "Methods", "export": "Download",
    "graph": "What-if", "allocation": "What-if", "criteria": "Criteria", "analysis": "Sensitivity",
    "studies": "the page that starts the run",
}  # fmt: skip


@dataclass(eq=False)
class Doors:
    """``data``, ``networks``: (what was sent, what it was read as) -> how often; ``walked``: the rows of walks;
    ``refused``: (page, form of the sentence) -> one such sentence, and how often."""

    data: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    networks: Counter[tuple[str, str]] = field(default_factory=Counter)
    walked: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)

    # -- a plugin of pytest; must be there before the tests import what it wraps ---------------------------------------

    def pytest_configure(self) -> None:
        from pruning_core import errors
        from pruning_core.datasets import uploads as data
        from pruning_core.zoo import uploads as networks

        data.load_splits = _noting(data.load_splits, self._read)
        networks._judged = _noting(networks._judged, self._opened)
        made = errors.UserError.__init__

        def init(error: Any, *told: Any, **more: Any) -> None:
            made(error, *told, **more)
            self._said_no(str(error))

        errors.UserError.__init__ = init  # type: ignore[method-assign]

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and report.passed:
            self.walked += [row for name, row in report.user_properties if name == "walked"]

    def _read(self, found: Any, ref: Any, *_rest: Any) -> None:
        test = found[1]
        self.data[Path(ref.name).suffix.lower(), str(test.called), str(test.kind.value)] += 1

    def _opened(self, found: Any, path: Path, name: str, *_rest: Any) -> None:
        self.networks[Path(name).suffix.lower(), found.ref.architecture or "its own code"] += 1

    def _said_no(self, sentence: str) -> None:
        page = _page()
        if page is None or not (form := form_of(sentence)):
            return
        first, count = self.refused.get((page, form), (PATH.sub("…", sentence), 0))
        self.refused[page, form] = first, count + 1

    # -- as text -------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        return "\n".join([*_walked(self.walked), *_data(self.data), *_networks(self.networks), *_refused(self.refused)])


def _noting(call: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    @wraps(call)
    def wrapped(*given: Any, **more: Any) -> Any:
        found = call(*given, **more)
        note(found, *given)
        return found

    return wrapped


def _page() -> str | None:
    """Which page a sentence that is being made now is said by: that of the code that makes it."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and "pruning_core/" not in frame.f_code.co_filename:
        frame = frame.f_back
    if frame is None:
        return None
    inside = frame.f_code.co_filename.partition("pruning_core/")[2]
    return next((page for floor, page in PAGES.items() if inside.startswith(floor)), None)


@lru_cache(maxsize=1)
def _forms() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The sentences of the core as they are written, their places open; the longest first."""
    messages = importlib.import_module("tools.messages")
    texts = {text for catalogue in messages.wanted().values() for text in catalogue if isinstance(text, str)}
    found = [
        (text, re.compile("(.*?)".join(map(re.escape, re.split(r"\{\d+\}", text))), re.DOTALL))
        for text in texts
        if messages.is_sentence(text)
    ]
    return tuple(sorted(found, key=lambda each: -len(each[0])))


def form_of(sentence: str) -> str:
    """The sentence of the core that ``sentence`` is, its places open; "" for none."""
    return next((text for text, pattern in _forms() if pattern.fullmatch(sentence)), "")


def _walked(rows: Iterable[dict[str, Any]]) -> list[str]:
    lines = [
        "## Tasks walked from end to end", "",
        "The files are sent, a sweep is measured, a quarter of every exact group goes with a proof, what is left is "
        "mended and fine-tuned, and every file of Download gives the same in a process of its own.", "",
        "| task | examples | judged by | groups: exact, approximate | proof, largest difference | files opened again |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        lines.append(
            f"| {row['task']} | {row['called']}s | {row['measure']} | {row['exact']}, {row['approximate']} | "
            f"{row['apart']:.0e} | {row['files']} |"
        )
    return [*lines, ""]


def _data(found: Counter[tuple[str, str, str]]) -> list[str]:
    lines = [
        "## Data forms",
        "",
        "| file | an example is one | what comes with each | times read |",
        "|---|---|---|---|",
    ]
    for (suffix, called, labels), count in sorted(found.items()):
        lines.append(f"| {suffix} | {called} | {labels} | {count} |")
    return [*lines, ""]


def _networks(found: Counter[tuple[str, str]]) -> list[str]:
    lines = ["## Network files", "", "| file | read as | times opened |", "|---|---|---|"]
    for (suffix, read_as), count in sorted(found.items()):
        lines.append(f"| {suffix} | {read_as} | {count} |")
    return [*lines, ""]


def _refused(found: dict[tuple[str, str], tuple[str, int]]) -> list[str]:
    lines = [
        "## Refused by a page, with its sentence", "",
        "As it was said to a test; file names and numbers are those of the test.", "",
        "| page | sentence | times |", "|---|---|---|",
    ]  # fmt: skip
    for (page, _form), (sentence, count) in sorted(found.items()):
        lines.append(f"| {page} | {cell(sentence)} | {count} |")
    return [*lines, ""]


def cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
