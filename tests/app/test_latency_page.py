"""The Latency page: what a finished measurement says, and that nothing is claimed inside the noise."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.latency import charts, conditions, widths
from pages.ui import latencies, numbers, state
from pruning_core.analysis.widths import Cliff
from pruning_core.graph import Plan
from pruning_core.measuring.measures import Latency
from pruning_core.runs.view import State
from pruning_core.studies.conditions import Condition
from pruning_core.studies.widths import Width, WidthsRun

ROOT = Path(__file__).parents[2]
PATIENCE, ME = 120.0, "the tester"


@pytest.fixture
def page(monkeypatch):
    monkeypatch.chdir(ROOT)
    return AppTest.from_file(str(ROOT / "pages" / "latency" / "page.py"), default_timeout=120)


def latency(ms: float, spread: float = 0.01) -> Latency:
    return Latency(ms, ms * (1 - spread), ms * (1 + spread), 60, 8, "CPU", 1)


def width(channels: int, ms: float, saved: tuple[float, float]) -> Width:
    return Width(channels, 100 * channels, latency(ms), *saved, copies_ms=0.01)


FULL = width(8, 2.0, (0.0, 0.0))
NO_GAIN = [width(4, 1.0, (0.9, 1.1)), width(6, 1.98, (-0.02, 0.05)), width(7, 1.99, (-0.02, 0.05)), FULL]


def test_macs_that_fall_without_time_are_found_from_the_widest_down():
    assert widths.without_gain(NO_GAIN) == NO_GAIN[1], "the narrowest of those that may save nothing"
    assert widths.without_gain([NO_GAIN[0], FULL]) is None
    said = widths.findings(NO_GAIN, [Cliff(6, 7, 0.4, 0.6)], "layer's")
    assert "fall by 50" in said[0] and "6 → 7" in said[1]
    assert "No step" in widths.findings(NO_GAIN, [], "layer's")[1]


def test_the_figure_marks_steps_only_where_there_are_any():
    marked = charts.widths(NO_GAIN, [Cliff(6, 7, 0.4, 0.6)], layer="a", whole=False)
    assert [list(trace.x) for trace in marked.data if trace.name == "step"] == [[7]]
    assert not [trace for trace in charts.widths(NO_GAIN, [], layer="a", whole=False).data if trace.name == "step"]


@pytest.mark.parametrize(
    "own, other, told",
    [(1.0, 2.0, conditions.FASTER), (2.0, 1.0, conditions.SLOWER), (1.0, 1.005, conditions.SAME), (1.0, None, "")],
)
def test_a_condition_says_whether_the_smaller_network_gains(own, other, told):
    each = Condition(8, 1, False, latency(own), latency(other) if other else None)
    assert conditions.gain(each) == told
    row = conditions.frame([each]).iloc[0]
    assert row["Images a second"] == numbers.count(8000 / own) and ("Before" in row) == (other is not None)
    assert row["Time"] == numbers.milliseconds(own)


def test_passes_that_lie_far_apart_are_too_noisy_to_tell():
    loud = Condition(8, 1, False, latency(1.0, spread=0.7), latency(9.0))
    assert conditions.gain(loud) == latencies.TOO_NOISY
    row = conditions.frame([loud]).iloc[0]
    assert row["Time"] == row["Images a second"] == row["Against before"] == latencies.TOO_NOISY
    assert row["10th to 90th percentile"] == "0.3–1.7 ms" and row["Before"] == numbers.milliseconds(9.0)
    marks = [list(trace.marker.symbol) for trace in charts.conditions([loud]).data]
    assert marks == [["circle-open"], ["circle"]]


def test_a_layer_is_chosen_timed_and_read(page, monkeypatch):
    monkeypatch.setattr(state, "owner", lambda: ME)
    page.session_state["latency.layer"] = "layer1.0.conv1"
    page.run()
    assert not page.exception and not page.error
    page.button(key="latency.widths.start").click().run()
    [(view, spec)] = state.jobs().listed(ME, WidthsRun.kind)
    assert spec.layer == "layer1.0.conv1" and not spec.whole
    assert state.jobs().wait(view.id, PATIENCE).state is State.DONE
    page.run()
    assert not page.exception and not page.error
    said = " ".join(each.value for each in page.markdown)
    assert "MACs fall by 94" in said and "all in turns" in said


def test_a_plan_is_timed_beside_the_network_it_cuts(monkeypatch):
    monkeypatch.chdir(ROOT)
    desk = state.desk()
    assert conditions.pair(desk) == (desk.model, None)
    planned = desk.with_plan(Plan({"layer1.0.conv1": [0]}))
    cut, before = conditions.pair(planned)
    assert before == desk.model and cut.base == desk.model and Plan.from_json(cut.plan) == planned.plan
    assert conditions._macs_left(planned, state.network(desk.model)) < 1
