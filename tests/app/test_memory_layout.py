"""A training that is started from a page gets the memory layout that was measured, or chosen; the page says which."""

from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.finetune import ways
from pages.ui import layouts, state
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.method import MethodRun
from pruning_core.training.config import CHANNELS_LAST, CONTIGUOUS
from pruning_core.training.layout import Layout
from tests.app.pruned_desk import pruned_desk

ROOT = Path(__file__).parents[2]


@pytest.fixture
def opened(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(state, "owner", lambda: "me")
    layouts._measured.clear()

    def at(page, gain):
        name = CHANNELS_LAST if gain and gain > 1 else CONTIGUOUS
        asked = []
        monkeypatch.setattr(
            layouts, "measured_layout", lambda *given: asked.append(given) or Layout(name, gain, 9, given[2].batch_size)
        )
        pruned_desk(state.workspace(), "me")
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
        return app.switch_page(f"pages/{page}/page.py").run(), asked

    yield at
    state.jobs().close()
    layouts._measured.clear()
    torch.set_num_threads(before)


def started(app, key):
    app.button(key=f"{key}.start").click().run()
    assert not app.exception, [each.stack_trace for each in app.exception]
    found = {view.id: spec for kind in (FineTuneRun, MethodRun) for view, spec in state.jobs().listed("me", kind.kind)}
    return found[app.session_state[f"{key}.job"]]


def words(app):
    return " ".join(each.value for each in app.caption)


@pytest.mark.parametrize(
    ("gain", "layout", "said"),
    [
        (1.31, CHANNELS_LAST, "channels-last, measured 1.31 times as fast as contiguous on this machine"),
        (0.87, CONTIGUOUS, "contiguous: channels-last measured 0.87 times as fast on this machine"),
        (None, CONTIGUOUS, "reads its tensors in their order in memory"),
    ],
)
def test_the_faster_layout_is_measured_at_the_start_and_said(opened, gain, layout, said):
    app, asked = opened("finetune", gain)
    app.segmented_control(key=ways.KEY).set_value(ways.AT_ONCE).run()
    app.number_input(key="finetune.epochs").set_value(1)
    app.number_input(key="finetune.batch_size").set_value(128)
    assert "Memory layout:" not in words(app) and not asked, "nobody has started anything"
    spec = started(app, "finetune")
    assert spec.config.layout == layout and said in words(app)
    app.number_input(key="finetune.seed").set_value(1)
    assert started(app, "finetune").config.layout == layout
    assert len(asked) == 1, "measured once"
    ((_model, data, config),) = asked
    assert len(data) == config.batch_size == 128
    app.number_input(key="finetune.batch_size").set_value(64).run()
    assert "Memory layout:" not in words(app), "other batches were not measured"


def test_a_layout_that_was_chosen_is_not_measured(opened):
    app, asked = opened("methods", 1.31)
    app.number_input(key="methods.epochs").set_value(1)
    app.segmented_control(key="methods.layout").set_value(CHANNELS_LAST).run()
    assert started(app, "methods").config.layout == CHANNELS_LAST and not asked
    app.segmented_control(key="methods.layout").set_value(CONTIGUOUS).run()
    assert started(app, "methods").config.layout == CONTIGUOUS and not asked


def test_a_comparison_that_trains_takes_the_faster_layout_too(opened):
    app, asked = opened("criteria", 1.31)
    app.session_state["criteria.tab"] = "Accuracy"
    app.session_state["criteria.chosen"] = ["l1"]
    app.session_state["criteria.budgets"] = [0.5]
    app.run()
    app.toggle(key="criteria.mend").set_value(False)
    app.toggle(key="criteria.tune").set_value(True).run()
    app.slider(key="criteria.epochs").set_value(1).run()
    assert not asked and "Memory layout:" not in words(app), "nobody has started anything"
    app.button(key="criteria.start").click().run()
    assert not app.exception, [each.stack_trace for each in app.exception]
    (run,) = [spec for _, spec in state.jobs().listed("me", CompareRun.kind)]
    assert run.tune.layout == CHANNELS_LAST and len(asked) == 1
    assert "channels-last, measured 1.31 times as fast" in words(app)
    assert not [each for each in app.button if each.key == "criteria.start"], "the page finds the run that it started"
