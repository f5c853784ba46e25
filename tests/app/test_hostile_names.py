"""Names out of files are text on every page: nothing in them is fetched, set, coloured or long enough to fill it."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from pages.finetune import ways
from pages.model import sections
from pages.sensitivity.sections import CELL
from pages.ui import state
from pages.ui.desk import Desk, remember
from pages.ui.sweeps import judged_on
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.search import EXPLORERS, Search
from pruning_core.criteria import CRITERIA
from pruning_core.datasets import import_data
from pruning_core.graph import Plan, capture
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.runs.view import State
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.method import MethodRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.search import SearchRun
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.training.config import FineTune
from pruning_core.zoo import ModelRef
from pruning_core.zoo.factory import VARIABLE, factory_ref
from tests.app.page_under_test import ROOT

# The single backtick comes first: it would end a code span that nobody measured.
WORST = "a`b![x](http://evil/x)<img src=//evil/x>$x$:red[y]"
LAYERS = (WORST.replace(".", ""), "2`![x](//evil/x)", "long" + "z" * 100_000)
RAW = re.compile(r"!\[x\]|(?<!\\)<img|(?<!\\)\$x\$|:red\[|(?<!\\)`b|(?<!\\)`!")
TAG = re.compile(r"<img|<a |\$x\$")
# A picture of ours, whose text holds no sign that could end it, and a link of ours to a file.
OWN = re.compile(
    r'<img src="data:image/png;base64,[A-Za-z0-9+/=]*" alt="[^"<>]*">|<a class="ps-take" href="[^"<>]*" download>'
)
SPAN = re.compile(r"(?<![\\`])(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
LONGEST = 3000  # characters of one text, of which an explanation may need a few hundred
# Fields that the browser shows as they are, or not at all.
PLAIN = {
    "id", "user_key", "form_id", "options", "data", "arrow_data", "code_text", "alt", "default", "url", "raw_values",
    "set_value", "editing_mode", "element_hash", "widget_id", "page_script_hash", "page_name", "query_string",
}  # fmt: skip


class Hostile(nn.Module):
    """A few convolutions under names that somebody has chosen with care."""

    input_size = (1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        for at, name in enumerate(LAYERS):
            self.add_module(name, nn.Conv2d(8 if at else 1, 8, 3, padding=1))
        self.add_module("head", nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in LAYERS:
            x = torch.relu(getattr(self, name)(x))
        return self.head(x.mean((2, 3)))


def hostile() -> nn.Module:
    torch.manual_seed(0)
    return Hostile()


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Desk:
    """A smaller network, its plan and its data, all of whose names are hostile."""
    monkeypatch.setenv(VARIABLE, f"{__name__}:hostile")
    monkeypatch.chdir(ROOT)
    draw = np.random.default_rng(0)
    path = tmp_path / "images.npz"
    np.savez(
        path, images=draw.integers(0, 255, (90, 8, 8), np.uint8), labels=np.arange(90) % 3,
        classes=np.array([WORST, WORST + "2", "k" * 100_000]),
    )  # fmt: skip
    data = replace(import_data(path, "images.npz", state.workspace()), name=f"{WORST}.npz" + "n" * 100_000)
    network = capture(hostile().eval(), torch.zeros(1, *Hostile.input_size))
    base = factory_ref(f"{__name__}:hostile")
    model = ModelRef("pruned", WORST + "m" * 100_000, base=base, plan=Plan({network.groups[0].key: [0]}).to_json())
    left = capture(state.loaded(model).model, torch.zeros(1, *Hostile.input_size))
    plan = Plan({group.key: [0, 1] for group in left.groups})
    return Desk(model, data).with_plan(plan)


def runs(desk: Desk) -> list:
    """One finished run of every kind, so that every page has something to show."""
    norm, once = CRITERIA[0](), FineTune(epochs=1)
    return [
        SensitivityRun(desk.model, judged_on(desk.data), norm, ratios=(0.25, 0.5)),
        PruneRun(desk.model, replace(desk.data, split="test"), desk.plan.to_json()),
        FineTuneRun(desk.model, desk.data, once, False),
        GradualRun(desk.model, desk.data, desk.plan.to_json(), norm, steps=2, config=replace(once, epochs=2)),
        SearchRun(desk.model, desk.data, norm, Search(EXPLORERS[0](), 2), budgets=(Budget("macs", 0.5),)),
        CompareRun(desk.model, judged_on(desk.data), (norm,), (0.75,)),
        MethodRun(desk.model, desk.data, CutAndTrain(), Budget("macs", fraction=0.5), FineTune(epochs=1, device="cpu")),
    ]


def texts(message: object, name: str = "") -> Iterator[tuple[str, str]]:
    """(field, text) of everything in a message that the browser may read as Markdown, figures aside."""
    if isinstance(message, str):
        if name not in PLAIN:
            yield name, message
    elif hasattr(message, "ListFields"):
        for field, value in message.ListFields():
            yield from texts(value, field.name)
    elif hasattr(message, "values"):
        for value in message.values():
            yield from texts(value, name)
    elif isinstance(message, (list, tuple)) or hasattr(message, "append"):
        for value in message:
            yield from texts(value, name)


def strings(value: object, key: str = "") -> Iterator[str]:
    """Every text of a figure that is drawn."""
    if isinstance(value, str):
        if key not in ("alt", "customdata", "uid", "legendgroup", "bdata"):  # the last is numbers
            yield value
    elif isinstance(value, dict):
        for inner, item in value.items():
            yield from strings(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, key)


def found(node: object, seen: list) -> list:
    """All elements and blocks below a node of the page."""
    proto = getattr(node, "proto", None)
    if proto is not None:
        seen.append(proto)
    for child in getattr(node, "children", {}).values():
        found(child, seen)
    return seen


def check(page: AppTest) -> int:
    """Nothing on the page is raw; returns how many texts were looked at."""
    looked = 0
    for proto in found(page._tree, []):
        if proto.DESCRIPTOR.name == "PlotlyChart":
            for text in strings(json.loads(proto.spec)):
                looked += 1
                assert len(text) < LONGEST and not TAG.search(text), text[:500]
            continue
        if proto.DESCRIPTOR.name == "Html":
            assert not TAG.search(OWN.sub("", proto.body)), proto.body[-2000:]
            looked += 1
            continue
        for field, text in texts(proto):
            looked += 1
            assert len(text) < LONGEST, (field, text[:200])
            if field == "columns":  # headings of a table, which are drawn as plain text
                continue
            assert not RAW.search(SPAN.sub("", text)), (proto.DESCRIPTOR.name, field, text[:500])
    return looked


PAGES = sorted(path.parent.name for path in (ROOT / "pages").glob("*/page.py"))


def chosen(desk: Desk) -> list[tuple[str, dict]]:
    """Every page, with something chosen on it that is told only then."""
    group = next(iter(desk.plan))
    besides = {
        "model": [{sections.SELECTED: group}],
        "sensitivity": [{CELL: (group, 0.25)}],
        "criteria": [{}, {"criteria.tab": "Agreement"}, {"criteria.tab": "Scores of a layer"}],
        "finetune": [{}, {ways.KEY: ways.IN_STEPS}],
    }
    return [(name, more) for name in PAGES for more in besides.get(name, [{}])]


# A dozen pages, half a dozen runs, and whatever the first training and the first figure import: many seconds, once.
def test_no_page_prints_a_name_from_a_file_as_markup(desk, monkeypatch):
    monkeypatch.setattr(state, "owner", lambda: "visitor")
    finished([state.jobs().submit(run, "visitor") for run in runs(desk)])
    remember(state.workspace(), "visitor", desk)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    faults = []
    for name, more in chosen(desk):
        for key, value in more.items():
            app.session_state[key] = value
        app.switch_page(f"pages/{name}/page.py").run()
        finished([view.id for view in state.jobs().of("visitor")])  # what the page has started itself
        app.run()
        assert not app.exception and not app.error, [name, [each.value for each in (*app.exception, *app.error)]]
        try:
            assert check(app) > 10
        except AssertionError as error:
            faults.append(f"{name} {list(more.values())}: {str(error)[:400]}")
    assert not faults, "\n".join(faults)


def finished(ids: list[str]) -> None:
    views = [state.jobs().wait(each, 120) for each in ids]
    assert {view.state for view in views} <= {State.DONE}, [view.error for view in views]
