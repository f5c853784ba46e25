"""The fine-tune page: what it says of an unpruned network, a training beside its control, keeping the weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.finetune import courses, frames, stairs, ways
from pages.ui import standing, state
from pages.ui.desk import recall
from pruning_core.allocation.schedule import SCHEDULES
from pruning_core.methods.recoveries import JustCut, Mending
from pruning_core.runs.view import State
from pruning_core.studies.reached import AT_ONCE, SCHEDULED
from pruning_core.training.events import Epoch, Step
from tests.app.pruned_desk import pruned_desk

ROOT = Path(__file__).parents[2]
ME = "me"


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def open_page(monkeypatch, one_thread):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(state, "owner", lambda: ME)

    def opened(way=ways.AT_ONCE):
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
        healthy(app.switch_page("pages/finetune/page.py").run())
        return turned(app, way)

    yield opened
    state.jobs().close()


def turned(app, way):
    return healthy(app.segmented_control(key=ways.KEY).set_value(way).run())


def healthy(app):
    assert not app.exception, [each.stack_trace for each in app.exception]
    return app


def words(app):
    return " ".join(each.value for each in (*app.markdown, *app.caption, *app.info, *app.error, *app.success))


def shorten(app):
    app.number_input(key="finetune.epochs").set_value(1)
    app.number_input(key="finetune.batch_size").set_value(128)
    return app


def finished(app, expected=State.DONE):
    view = state.jobs().wait(app.session_state["finetune.job"], 120)
    assert view.state is expected, (view.state, view.error)
    return view


def test_an_unpruned_network_is_sent_to_what_if(open_page):
    app = open_page()
    assert "is not pruned" in words(app)
    assert not [each for each in app.toggle if each.key == "finetune.control"], "it is its own control"


def test_pruned_beside_control_and_the_difference_is_what_counts(open_page):
    desk = pruned_desk(state.workspace(), ME)
    app = shorten(open_page())
    healthy(app.button(key="finetune.start").click().run())
    view = finished(app)
    healthy(app.run())
    results = {each.tag: each for each in frames.brought(view.events)}
    assert results["pruned"].gain > 0.1 and results["pruned"].images == 450
    assert list(app.main.dataframe[0].value["network"]) == ["pruned", "control, not pruned"]
    assert "What pruning costs" in words(app)
    own = [each for each in view.all(Step) if each.tag == "pruned"]
    shown = {each.label: each.value for each in app.metric}
    assert shown["Training loss"] == f"{own[-1].loss:.4f} nats", "not the control's"

    healthy(app.button(key="finetune.keep").click().run())
    kept = recall(state.workspace(), ME).model
    assert kept.base == desk.model.base and kept.plan == desk.model.plan and kept.weights != desk.model.weights
    assert standing.made(kept) is standing.Made.TUNED
    assert "is on the desk" in words(app) and "What pruning costs" in words(app), "its result stays in view"

    healthy(app.button(key="finetune.back").click().run())
    assert recall(state.workspace(), ME).model == desk.model


def test_a_cancelled_training_keeps_its_best_weights_and_goes_on(open_page):
    pruned_desk(state.workspace(), ME)
    app = open_page()
    app.number_input(key="finetune.epochs").set_value(400)
    app.toggle(key="finetune.control").set_value(False)
    healthy(app.button(key="finetune.start").click().run())
    job = app.session_state["finetune.job"]
    for _ in range(600):
        if any(isinstance(each, Epoch) and each.epoch for each in state.jobs().snapshot(job).events):
            break
        state.jobs().wait(job, 0.1)
    healthy(app.run())
    healthy(app.button(key="finetune.cancel").click().run())
    view = finished(app, State.CANCELLED)
    healthy(app.run())
    assert frames.weights(view.events, "pruned") and app.button(key="finetune.keep")
    assert "No control was trained" in words(app)
    healthy(app.button(key="finetune.resume").click().run())
    assert state.jobs().snapshot(job).active
    state.jobs().cancel(job)
    finished(app, State.CANCELLED)


def epoch(number, top1, *, improved=True, tag="pruned"):
    return Epoch(number, 1.0, top1, None, top1 - 0.02, top1 + 0.02, 1.0, 450, top1, improved, 0.1, 100.0, 1.0, tag)


def test_what_it_brought_is_read_from_the_kept_epoch():
    events = (
        epoch(0, 0.5), epoch(1, 0.9), epoch(2, 0.8, improved=False),
        epoch(0, 0.96, tag="control"), epoch(1, 0.97, tag="control"),
    )  # fmt: skip
    pruned, control = frames.brought(events)
    assert (pruned.epoch, pruned.after.top1, control.gain) == (1, 0.9, pytest.approx(0.01))
    found = frames.compared((pruned, control))
    assert found.difference == pytest.approx(-0.07)
    assert found.low == pytest.approx(-0.07 - 0.02 * 2**0.5) and found.high == pytest.approx(-0.07 + 0.02 * 2**0.5)
    assert not found.within_noise and frames.compared((pruned,)) is None
    assert frames.brought(events[:1]) == (), "nothing was brought before the first epoch"


def test_a_long_loss_curve_is_thinned_and_keeps_its_newest_point():
    steps = [Step(1, i / 1000, 0.1, float(i), 0.1, 10.0, 5.0, "pruned") for i in range(1234)]
    frame = frames.losses(steps)
    assert len(frame) <= frames.POINTS and frame["loss"].iloc[-1] == 1233
    assert frame["epoch"].is_monotonic_increasing
    assert frames.losses(()).empty and list(frames.accuracies(()).columns) == ["epoch", "run", "top1", "low", "high"]


def test_without_a_plan_there_is_nothing_to_reach_in_steps(open_page):
    app = open_page(ways.IN_STEPS)
    assert "no plan to reach yet" in words(app)
    assert not [each for each in app.button if each.key == "gradual.start"]


def test_every_schedule_is_offered_drawn_and_explained(open_page):
    pruned_desk(state.workspace(), ME, 0.5)
    app = open_page(ways.IN_STEPS)
    assert app.selectbox(key="gradual.schedule").options == [each.card.name for each in SCHEDULES]
    for cls in SCHEDULES:
        app.selectbox(key="gradual.schedule").set_value(cls.card.key)
        app.number_input(key="gradual.epochs").set_value(40)
        healthy(app.run())
        assert cls.card.idea in words(app)
        assert app.latex[0].value.strip("$ \n") == cls.card.formula
        frame = courses.frame(cls(), 4, 0.5)
        ends = frame.groupby("name")["last"].last()
        assert set(ends.index) == {each.card.name for each in SCHEDULES} and set(ends.round(9)) == {0.5}
        figure = courses.chart(frame, chosen=cls.card.name, steps=4)
        (chosen,) = [line for line in figure.data if line.mode == "lines+markers"]
        assert chosen.name == cls.card.name and cls.card.name in figure.layout.meta["alt"]
    app.number_input(key="gradual.epochs").set_value(1)
    app.selectbox(key="gradual.schedule").set_value(SCHEDULES[1].card.key)
    healthy(app.run())
    assert "cannot be shared out" in words(app) and not [each for each in app.button if each.key == "gradual.start"]


def test_the_way_is_kept_and_the_other_ways_run_is_announced(open_page):
    pruned_desk(state.workspace(), ME)
    app = shorten(open_page())
    app.toggle(key="finetune.control").set_value(False)
    assert "Prune in steps:" not in words(app)
    healthy(app.button(key="finetune.start").click().run())
    finished(app)
    healthy(turned(app, ways.IN_STEPS))
    assert "Fine-tune at once: :green-badge" in words(app)
    assert [each for each in app.button if each.key == "gradual.start"]
    assert not [each for each in app.button if each.key == "finetune.start"]
    healthy(app.switch_page("pages/model/page.py").run())
    healthy(app.switch_page("pages/finetune/page.py").run())
    assert app.segmented_control(key=ways.KEY).value == ways.IN_STEPS


def test_a_plan_is_reached_in_steps_and_compared_with_the_same_at_once(open_page):
    desk = pruned_desk(state.workspace(), ME, 0.5)
    app = open_page(ways.IN_STEPS)
    app.slider(key="gradual.steps").set_value(2)
    app.number_input(key="gradual.epochs").set_value(2)
    healthy(app.run())
    healthy(app.button(key="gradual.start").click().run())
    assert "gradual.job" in app.session_state, words(app)
    job = app.session_state["gradual.job"]
    view = state.jobs().wait(job, 180)
    assert view.state is State.DONE, view.error
    healthy(app.run())
    called = stairs.names(state.jobs().spec(job))
    rows = stairs.table(view.events, called)
    assert [(row["way"], row["step"]) for row in rows] == [
        (called[SCHEDULED], "1 of 2"), (called[SCHEDULED], "2 of 2"), (called[AT_ONCE], "1 of 1"),
    ]  # fmt: skip
    assert rows[1]["macs"] == rows[2]["macs"] < rows[0]["macs"]
    frame = stairs.accuracies(view.events, called)
    assert list(frame["epoch"]) == [0, 1, 1, 2, 0, 1, 2], "two points where a step ends and the next cut falls"
    assert "against the same at once" in words(app)
    assert "Prune in steps: :green-badge" in words(turned(app, ways.AT_ONCE))
    turned(app, ways.IN_STEPS)
    healthy(app.button(key=f"gradual.keep.{SCHEDULED}").click().run())
    kept = recall(state.workspace(), ME).model
    assert kept.base == desk.model.base and kept != desk.model
    assert standing.made(kept) is standing.Made.STEPPED
    assert state.network(kept).cost() == state.network(desk.model).cost(), "the widths of the plan"


def test_each_cut_is_mended_before_its_training_where_that_is_chosen(open_page):
    pruned_desk(state.workspace(), ME, 0.5)
    app = open_page(ways.IN_STEPS)
    assert "After every cut" not in words(app)
    app.slider(key="gradual.steps").set_value(2)
    app.number_input(key="gradual.epochs").set_value(2)
    app.toggle(key="gradual.control").set_value(False)
    app.segmented_control(key="gradual.recovery").set_value(Mending.card.key)
    healthy(app.run())
    assert "After every cut, before its training" in words(app) and "128 images of the training part" in words(app)
    healthy(app.button(key="gradual.start").click().run())
    view = state.jobs().wait(app.session_state["gradual.job"], 180)
    assert view.state is State.DONE, view.error
    spec = state.jobs().spec(view.id)
    assert spec.recovery == Mending() and "Mend (least squares)" in stairs.label(spec)
    healthy(app.run())
    assert "Every cut is followed by: Mend (least squares), on 128 images" in words(app)
    assert stairs.before(spec) == "After the cut and: Mend (least squares)"
    assert stairs.before(replace(spec, recovery=JustCut())) == "After the cut"
