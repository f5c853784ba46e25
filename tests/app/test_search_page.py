"""The search page, with real searches of the demo network."""

import io

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from pages.search import charts, frames
from pages.ui import state
from pages.ui.sweeps import drops, judged_on
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.candidates import Candidates
from pruning_core.allocation.search import BASELINE, EXPLORERS
from pruning_core.allocation.trial import best_of
from pruning_core.graph import Plan
from pruning_core.runs.view import State
from pruning_core.studies.search import SearchRun
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.tried import Tried
from tests.app.page_under_test import ROOT, carried, metrics, text_of

TRIALS = 10


def small(page, trials=TRIALS):
    """Few images and trials: a search of a few seconds."""
    page.select_slider(key="search.images.269").set_value(32)
    page.select_slider(key="search.trials").set_value(trials)
    return page.run()


def searched(page):
    small(page).button(key="search.start").click().run()
    ended = state.jobs().wait(page.session_state["search.run"], 180)
    assert ended.state is State.DONE, ended.error
    assert not page.run().exception
    return ended


def framed(monkeypatch, **session):
    """The page within the frame, because it links to others."""
    monkeypatch.chdir(ROOT)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for key, value in session.items():
        app.session_state[key] = value
    app.run().switch_page("pages/search/page.py").run()
    assert not app.exception and not app.error
    return app


@pytest.fixture
def page(monkeypatch):
    return framed(monkeypatch)


def test_every_search_of_the_registry_is_offered_and_explained(page):
    assert page.selectbox(key="search.explorer").options == [each.card.name for each in EXPLORERS]
    for each in EXPLORERS:
        page.selectbox(key="search.explorer").set_value(each.card.key).run()
        assert not page.exception
        assert each.card.idea in text_of(page)
        if each is Candidates:
            assert "needs a sensitivity sweep of this network" in page.error[0].value
            continue
        assert (page.toggle(key="search.control").value if each is not BASELINE else True) is True
    assert "Nothing is searched yet" in page.info[0].value


def test_a_budget_out_of_reach_is_said_before_anything_runs_and_cannot_be_started(page):
    page.multiselect[0].set_value([g.key for g in state.network(state.desk().model).groups[:-1]])
    page.slider(key="search.share.macs").set_value(5).run()
    assert "cannot be reached" in page.warning[0].value and "between" in page.warning[0].value
    assert not [each for each in page.button if each.key == "search.start"]
    page.slider(key="search.share.macs").set_value(95).run()
    assert not page.warning and page.button(key="search.start")


def test_a_search_without_budget_is_only_offered_to_those_that_can(page):
    page.button_group(key="search.kinds").set_value([]).run()
    assert page.button(key="search.start")
    greedy = next(each for each in EXPLORERS if not each.pareto)
    page.selectbox(key="search.explorer").set_value(greedy.card.key).run()
    assert "needs a budget" in page.warning[0].value
    assert not [each for each in page.button if each.key == "search.start"]


def test_a_search_shows_its_trials_its_control_and_the_test_and_its_plan_is_taken(page, monkeypatch):
    view = searched(page)
    desk, network = state.desk(), state.network(state.desk().model)
    trials = [each for each in view.all(Tried) if each.by == EXPLORERS[0].card.key]
    best = best_of([each.trial for each in trials])
    shown = metrics(page)
    assert shown[f"Best of {EXPLORERS[0].card.name}"] == f"{100 * best.accuracy:.1f}\u202f%"
    assert shown[f"Best of {BASELINE.card.name}"].endswith("%")
    assert list(page.dataframe[0].value["network"]) == [
        "Unpruned",
        "Uniform",
        BASELINE.card.name,
        EXPLORERS[0].card.name,
    ]
    assert f"{EXPLORERS[0].card.name} against {BASELINE.card.name}" in text_of(page)
    assert "digits, held-out images, 32 images, CPU, seed 0" in text_of(page)
    table = page.dataframe[1].value
    assert len(table) == 2 * TRIALS and table["macs"].max() <= 0.5 * network.cost().macs

    page.button(key="search.take").click().run()
    assert page.session_state["desk"].plan == Plan(best.plan) != desk.plan
    assert "This plan is on the desk" in text_of(page)
    what_if = carried("whatif", page, monkeypatch)
    assert "Removes" in text_of(what_if), "What-if goes on with it"
    again = framed(monkeypatch, owner=page.session_state["owner"])
    assert "nobody chose by" in "".join(each.value for each in again.subheader), "another session finds it"

    found = frames.trials(view)
    read = pd.read_csv(io.StringIO(frames.spreadsheet(found, network).to_csv(index=False)))
    for row, each in zip(read.to_dict("records"), found.values(), strict=True):
        assert row["macs"] == each.trial.macs and row["low"] <= row["top1"] <= row["high"]
        assert all(row[g.key] == pytest.approx(each.trial.ratios.get(g.key, 0.0)) for g in network.groups)


def test_a_cancelled_search_keeps_its_trials_and_goes_on_without_repeating_them(page):
    small(page, 200).button(key="search.start").click().run()
    job = page.session_state["search.run"]
    for _ in range(600):
        if len(state.jobs().snapshot(job).all(Tried)) >= 3:
            break
        state.jobs().wait(job, 0.05)
    page.run()
    page.button(key="search.cancel").click().run()
    stopped = state.jobs().wait(job, 60)
    assert stopped.state is State.CANCELLED
    before = stopped.all(Tried)
    assert len(before) >= 3
    page.run()
    assert "Go on with this search" in [each.label for each in page.button]
    page.button(key="search.resume").click().run()
    for _ in range(600):
        if len(state.jobs().snapshot(job).all(Tried)) >= len(before) + 2:
            break
        state.jobs().wait(job, 0.05)
    state.jobs().cancel(job)
    after = state.jobs().wait(job, 60).all(Tried)
    assert after[: len(before)] == before
    places = [(each.by, each.trial.number) for each in after]
    assert len(places) == len(set(places)) >= len(before) + 2


def tried(by, number, accuracy, macs, within=True):
    from pruning_core.allocation.trial import Trial

    trial = Trial(number, (), {"a": 0.5}, {"a": (0,)}, macs, 10, None, accuracy, within, False, 0.1)
    return Tried(by, trial, accuracy - 0.02, accuracy + 0.02, 100)


def test_front_and_best_so_far_are_those_worked_by_hand():
    network = state.network(state.desk().model)
    full = network.cost().macs
    found = [tried("x", 0, 0.7, full // 2), tried("x", 1, 0.6, full // 2), tried("x", 2, 0.9, full, False),
             tried("y", 0, 0.5, full // 4)]  # fmt: skip
    frame = frames.table(found, network)
    assert list(frame["front"]) == [True, False, True, True]
    best = frames.best_so_far(frame)
    assert list(best["best"]) == [0.7, 0.7, 0.7, 0.5]
    figure = charts.front(
        frame, told=["t"] * 4, names=["x", "y"], origin=0.95, selected=0, limit=0.5, timed=False
    )  # fmt: skip
    points = next(trace for trace in figure.data if trace.name == charts.TRIALS)
    assert len(points.x) == 4 and points.marker.symbol[2] == "circle-open", "over the budget is hollow"
    assert "4 trials by x and y" in figure.layout.meta["alt"]


def test_without_a_budget_the_smallest_that_lost_little_stands_out():
    from pruning_core.measuring.measures import Accuracy

    desk = state.desk()
    origin = Accuracy(0.97, None, 0.1, 100, 0.9, 0.99, 100, "d", 0.1)
    found = {("x", n): tried("x", n, top1, macs) for n, (top1, macs) in enumerate([(0.97, 9), (0.955, 5), (0.9, 1)])}
    free = SearchRun(desk.model, desk.data, budgets=())
    assert frames.best(found, "x", free, origin).trial.number == 1
    assert (
        frames.best(found, "x", SearchRun(desk.model, desk.data, budgets=(Budget("macs", 0.5),)), origin).trial.number
        == 0
    )


def test_the_best_plans_of_a_stored_sweep_are_really_measured_and_one_is_taken(page):
    desk = page.session_state["desk"]
    sweep = SensitivityRun(desk.model, judged_on(desk.data), ratios=(0.3, 0.6, 0.9), images=48)
    cells = state.jobs().wait(state.jobs().submit(sweep, page.session_state["owner"]), 180)
    assert cells.state is State.DONE, cells.error
    page.selectbox(key="search.explorer").set_value(Candidates.card.key).run()
    assert "Drops from the sweep: L1" in text_of(page) and not page.error
    page.slider(key="search.Candidates.candidates").set_value(2)
    page.select_slider(key="search.images.269").set_value(32)
    page.toggle(key="search.control").set_value(False).run()
    page.button(key="search.start").click().run()
    ended = state.jobs().wait(page.session_state["search.run"], 180)
    assert ended.state is State.DONE, ended.error
    page.run()
    found = ended.all(Tried)
    assert [each.by for each in found] == ["candidates"] * 3 and all(each.trial.within for each in found)
    spec = state.jobs().spec(ended.id)
    assert dict(spec.search.explorer.table) == {k: tuple(v) for k, v in drops(state.jobs().snapshot(cells.id)).items()}
    page.button(key="search.take").click().run()
    assert Plan(best_of([each.trial for each in found]).plan) == page.session_state["desk"].plan
