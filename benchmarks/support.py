"""What is exact, approximate or refused, from what really ran: writes docs/support.md.

    .venv/bin/python -m benchmarks.support             everything
    .venv/bin/python -m benchmarks.support --brought   what people bring alone; the rest stays

Runs the pattern tests of the heart with a recorder around ``capture``, ``remove`` and ``check_exact``, the tests of
what people bring with another one (support_doors.py), and reads the tables of whole networks in benchmarks/results. A
test holds the page to the sources of the pattern tests, to the tables, to the walks, and to sentences that are said.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from benchmarks.support_doors import DOORS, Doors

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "support.md"
FILES = sorted((ROOT / "tests" / "core").glob("test_graph_patterns_*.py"))
RESULTS = ROOT / "benchmarks" / "results"
ENDS = ("output", "class", "input")  # words of why a network's ends stay: that is so everywhere
WORDS = 260  # characters of a sentence


@dataclass
class Seen:
    """What one test did, over all of its parameters."""

    proven: int = 0
    exact: int = 0
    approximate: int = 0
    kept: Counter[str] = field(default_factory=Counter)  # why dimensions stay whole
    refused: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if not self.proven:
            return "refused"
        beside = ["approximate groups"] * bool(self.approximate) + ["what stays whole"] * bool(self.kept)
        return " beside ".join(["exact", *beside[:1]]) + (", and " + beside[1] if beside[1:] else "")

    @property
    def says(self) -> bool:
        """Whether anything was compared or refused; other tests ask something else of a pattern."""
        return bool(self.proven or self.refused)


class Recorder:
    """A plugin of pytest; must be there before the tests import what it wraps."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.failed: list[str] = []
        self._now = Seen()

    def pytest_configure(self) -> None:
        import pruning_core.graph as graph

        graph.capture = self._around(graph.capture, self._captured)  # type: ignore[assignment]
        graph.remove = self._around(graph.remove, lambda result: None)  # type: ignore[assignment]
        from tests.core import graph_checks

        graph_checks.check_exact = self._around(graph_checks.check_exact, self._proven)

    def pytest_runtest_setup(self, item: Any) -> None:
        self._now = self.seen.setdefault(item.originalname, Seen())

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def _around(self, call: Callable[..., Any], note: Callable[[Any], None]) -> Callable[..., Any]:
        from pruning_core.errors import UserError

        @wraps(call)
        def wrapped(*args: Any, **options: Any) -> Any:
            try:
                result = call(*args, **options)
            except UserError as error:
                if str(error) not in self._now.refused:
                    self._now.refused.append(str(error))
                raise
            note(result)
            return result

        return wrapped

    def _captured(self, network: Any) -> None:
        self._now.exact += sum(group.exact for group in network.groups)
        self._now.approximate += sum(not group.exact for group in network.groups)
        self._now.kept.update(
            {f"{b.operator}: {b.reason}".removeprefix(": ") for b in network.blocked if not _at_an_end(b.reason)}
        )

    def _proven(self, network: Any) -> None:
        self._now.proven += 1


def _at_an_end(reason: str) -> bool:
    return any(word in reason for word in ENDS)


def patterns() -> dict[str, list[str]]:
    """File -> names of its tests, as the sources have them."""
    found: dict[str, list[str]] = {}
    for path in FILES:
        tests = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
        names = [test.name for test in tests if test.name.startswith("test_")]
        found[path.stem.removeprefix("test_graph_patterns_")] = names
    return found


def sources() -> str:
    """What the page was made from: eight digits of the hash of every file of pattern tests."""
    parts = [f"{path.stem} {hashlib.sha256(path.read_bytes()).hexdigest()[:8]}" for path in FILES]
    return f"<!-- made from {', '.join(parts)} -->"


def networks() -> str:
    """The part about whole networks, from the tables that the benchmarks wrote."""
    lines = ["## Whole networks", "", "| networks | verdict | exact groups | approximate groups |", "|---|---|---|---|"]
    reasons: Counter[str] = Counter()
    for name, title in (("zoo_exact", "torchvision's classifiers"), ("zoo_timm", "timm's families")):
        rows = list(_rows(RESULTS / f"{name}.md"))
        exact = [row for row in rows if _count(row["exact groups (attention heads)"])]
        only = [row for row in rows if not _count(row["exact groups (attention heads)"])]
        for verdict, part in (("exact", exact), ("approximate groups only", only)):
            if part:
                counts = (
                    sum(_count(row[key]) for row in part) for key in ("exact groups (attention heads)", "approximate")
                )
                lines.append(
                    f"| {len(part)} of {len(rows)} of {title} | {verdict} | " + " | ".join(map(str, counts)) + " |"
                )
        for row in rows:
            if found := re.search(r"most by (.+)", row.get("blocked entries, and why", "")):
                reasons[found[1].strip()] += 1
    lines += ["", "What most often keeps parts of a network whole, and in how many of timm's families:", ""]
    lines += [f"* {reason} ({count})" for reason, count in reasons.most_common()]
    lines += ["", "One row per network: [torchvision](../benchmarks/results/zoo_exact.md), "
              "[timm](../benchmarks/results/zoo_timm.md)."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    table = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    head = [cell.strip() for cell in table[0].strip("|").split("|")]
    for line in table[2:]:
        yield dict(zip(head, (cell.strip() for cell in line.strip("|").split("|"))))


def _count(cell: str) -> int:
    found = re.match(r"\d+", cell)
    return int(found[0]) if found else 0


def page(seen: dict[str, Seen], brought: str = "") -> str:
    """``brought``: the part about what people bring."""
    tally = Counter(each.verdict for each in seen.values() if each.says)
    parts = [
        "# What is supported",
        "",
        "Written by `python -m benchmarks.support` from what ran; a test holds it to its sources. **Exact**: a random "
        "cut equals the original with the same channels silenced, to 1e-10 in float64, in training mode and at other "
        "batch sizes too. **Approximate**: a normalisation sees all channels, so the cut is offered but said not to be "
        "exact. **What stays whole**: an operator stands in the way; it is named, and nothing is guessed. **Refused**: "
        "a sentence. The ends of a network stay everywhere, and are not listed.",
        "",
        "Patterns: " + ", ".join(f"{count} {verdict}" for verdict, count in tally.most_common()) + ".",
        "",
        networks(),
        brought,
    ]
    for name, tests in patterns().items():
        parts += [
            f"## Patterns: {name}",
            "",
            "| pattern | verdict | proofs | what stays whole, or why not |",
            "|---|---|---|---|",
        ]
        for test in tests:
            each = seen[test]
            if not each.says:
                continue
            title = test.removeprefix("test_").replace("_", " ")
            said = [*each.refused, *each.kept]
            parts.append(f"| {title} | {each.verdict} | {each.proven or ''} | {_cell('; '.join(said))} |")
        parts.append("")
    return "\n".join([*parts, sources()]) + "\n"


def _renewed(brought: str) -> str:
    """The page with another part about what people bring."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(networks())
    return f"{before}{networks()}\n{brought}\n## Patterns{rest.partition('## Patterns')[2]}"


def _cell(text: str) -> str:
    text = re.sub(r"\s+", " ", text).replace("|", "\\|")
    return text if len(text) <= WORDS else text[: WORDS - 1].rstrip() + "…"


def main() -> int:
    import pytest

    recorder, doors = Recorder(), Doors()
    only = "--brought" in sys.argv[1:]
    tests = [*([] if only else map(str, FILES)), *map(str, DOORS)]
    status = pytest.main(["-q", "-n0", "-p", "no:cacheprovider", *tests], plugins=[recorder, doors])
    if status or recorder.failed:
        return 1  # a page of failures would be no contract
    PAGE.write_text(_renewed(doors.text()) if only else page(recorder.seen, doors.text()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
