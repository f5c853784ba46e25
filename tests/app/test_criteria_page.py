"""The Criteria page: what it makes of measured points and scores, and that it offers whatever the registry holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.criteria import charts, frames, layer_charts
from pages.ui import links, registry, state
from pages.ui.charts import alt_text
from pages.ui.sweeps import judged_on
from pruning_core import criteria
from pruning_core.criteria import CRITERIA, L1Norm, L2Norm, Random
from pruning_core.runs.view import State
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.points import ORIGIN, Point, Scored, When
from pruning_core.studies.scores import ScoresRun
from tests.app.fake_criterion import Alphabet

ROOT = Path(__file__).parents[2]


def open_page(timeout: float = 90) -> AppTest:
    """The page by itself, not run yet."""
    return AppTest.from_file(str(ROOT / "pages" / "criteria" / "page.py"), default_timeout=timeout)


PATIENCE = 120.0


def point(criterion: str, top1: float, draw: int = 0, budget: float = 0.5, when: When = When.PRUNED) -> Point:
    spread = 0.05
    return Point(
        criterion, criterion.lower(), draw, budget, str(when), int(1000 * budget), 100, top1, None, top1 - spread,
        top1 + spread, 200, 1.5, None if criterion == ORIGIN else 0.9 - top1, 0.0, 0.2, 2.0 if draw == 0 else None,
    )  # fmt: skip


POINTS = (
    point(ORIGIN, 0.9, budget=1.0),
    point("A", 0.7),
    point("A", 0.8, when=When.RECALIBRATED),
    *(point("Chance", 0.3 + 0.1 * draw, draw) for draw in range(5)),
)
SCORED = (Scored("A", "a", 0, 0.25, 0, "CPU", "0" * 64),)


def test_draws_of_chance_become_one_row_from_worst_to_best():
    rows = frames.summary(POINTS, SCORED).set_index(["criterion", "when"])
    chance = rows.loc["Chance", str(When.PRUNED)]
    assert chance["draws"] == 5 and chance["top1"] == pytest.approx(0.5)
    assert (chance["low"], chance["high"]) == pytest.approx((0.3, 0.7))
    one = rows.loc["A", str(When.PRUNED)]
    assert (one["low"], one["high"], one["latency_ms"]) == pytest.approx((0.65, 0.75, 2.0))
    assert one["score_seconds"] == 0.25 and one["macs"] == 500
    assert frames.origin(frames.summary(POINTS, ()), str(When.RECALIBRATED)) == pytest.approx(0.9)


def test_the_figure_has_a_line_per_criterion_and_moment_and_a_band_for_chance():
    frame = frames.summary(POINTS, SCORED)
    figure = charts.tradeoff(
        frame[frame["criterion"] != ORIGIN], names=["A", "Chance"], origins={"unpruned": 0.9}, full_macs=1000
    )
    named = [trace for trace in figure.data if trace.hovertext is not None]
    assert [(trace.name, trace.line.dash) for trace in named] == [("A", "solid"), ("A", "dash"), ("Chance", "solid")]
    assert [trace.error_y.array is not None for trace in named] == [True, True, False]
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert min(band.y) == pytest.approx(0.3) and max(band.y) == pytest.approx(0.7)
    assert "2 criteria" in alt_text(figure) and list(named[0].x) == [0.5]


def test_a_click_on_the_matrix_names_the_two_criteria():
    names = ["a", "b", "c"]
    figure = charts.agreement(names, np.eye(3), title="Agreement", low=-1.0, selected=("a", "c"))
    cells = next(trace for trace in figure.data if trace.name == charts.CELLS)
    for index, text in enumerate(cells.hovertext):
        row, column = charts.cell_at(index, names)
        assert text.startswith(f"{row}<br>{column}<br>")
        assert (cells.x[index], cells.base[index]) == (names.index(column), names.index(row) - 0.5)


def test_the_cut_takes_the_lowest_and_marks_the_plan():
    frame = frames.channels(np.array([3.0, 1.0, 2.0, 1.0]), 0.5, (0,))
    assert list(frame["channel"]) == [1, 3, 2, 0] and list(frame["cut"]) == [True, True, False, False]
    assert list(frame["planned"]) == [False, False, False, True]


def test_what_stands_on_the_page_first_has_one_of_each_family_and_a_control():
    first = registry.first_choice()
    families = [registry.by_key()[key].card.family for key in first]
    assert len(set(families)) == len(families) == registry.FIRST_CHOICE
    assert first[-1] == Random.card.key


@pytest.fixture
def visit(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(links, "to_what_if", lambda: None)  # a page by itself knows no way to the others

    def go(tab: str, keys: list[str]) -> AppTest:
        run = open_page()
        run.session_state["criteria.tab"] = tab
        run.session_state["criteria.chosen"] = keys
        return run.run()

    yield go
    state.jobs().close(PATIENCE)
    state._jobs.clear()


def done(spec) -> None:
    view = state.jobs().wait(state.jobs().submit(spec, "me"), PATIENCE)
    assert view.state is State.DONE, view.error


def test_measured_points_stand_on_the_page_with_their_origin(visit):
    desk = state.desk()
    run = CompareRun(desk.model, judged_on(desk.data), (L1Norm(),), (0.5,), recalibrate=False)
    done(run)
    page = visit("Accuracy", ["l1"])
    page.multiselect(key="criteria.budgets").set_value([0.5])
    page.toggle(key="criteria.recalibrate").set_value(False)
    page.toggle(key="criteria.mend").set_value(False)  # mending is on at first
    page.run()
    assert not page.exception and not page.error
    table = page.dataframe[0].value
    macs = state.network(desk.model).cost().macs
    assert list(table["Criterion"]) == [ORIGIN, L1Norm().label]
    assert table["MACs"].iloc[0] == macs and 0.4 < table["MACs"].iloc[1] / macs <= 0.5
    assert any("269 images" in text.value and "-badge[measured]" in text.value for text in page.markdown)


def test_two_norms_agree_and_chance_does_not(visit):
    desk = state.desk()
    done(ScoresRun(desk.model, desk.data, (L1Norm(), L2Norm(), Random())))
    page = visit("Agreement", ["l1", "l2", "random"])
    assert not page.exception and not page.error
    shown = next(text.value for text in page.markdown if "rank correlation" in text.value)
    assert "on `conv1`" in shown
    page.selectbox(key="criteria.where").set_value("conv1").run()
    assert not page.exception


def test_channels_below_the_cut_go_into_the_plan(visit):
    desk = state.desk()
    done(ScoresRun(desk.model, desk.data, (L1Norm(),)))
    page = visit("Scores of a layer", ["l1"])
    size = state.network(desk.model).groups[0].size
    page.button(key="criteria.add_cut").click().run()
    assert not page.exception
    plan = page.session_state["desk"].plan
    assert len(plan["conv1"]) == size // 2
    assert any(f"{size // 2} of {size}" in text.value for text in page.markdown)


def test_a_new_criterion_is_offered_without_another_line(visit, monkeypatch):
    monkeypatch.setattr(criteria, "CRITERIA", (*CRITERIA, Alphabet))
    page = visit("Accuracy", ["alphabet"])
    assert not page.exception and not page.error
    assert Alphabet.card.name in page.multiselect(key="criteria.chosen").options
    assert any("Compare 1 criterion" in button.label for button in page.button)


def test_the_word_at_the_cut_stands_above_the_bars():
    figure = layer_charts.distribution(np.arange(20.0), title="score", alt="", cut=3.0)
    (word,) = figure.layout.annotations
    assert (word.text, word.x, word.y, word.yref, word.yanchor) == ("the cut", 3.0, 1, "paper", "bottom")
    assert (
        figure.layout.margin.t
        > layer_charts.distribution(np.arange(20.0), title="score", alt="", cut=None).layout.margin.t
    )
