"""What mending brings, cell by cell: only where both sweeps have a cell; gains have one colour, losses another."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from pages.sensitivity import beside, frames, gains, sections
from pages.sensitivity.parts import CELLS
from pages.ui import state
from pruning_core.graph import capture
from pruning_core.measuring.intervals import wilson
from pruning_core.measuring.measures import Cell
from pruning_core.measuring.registry import MEASURES
from pruning_core.methods.recoveries import JustCut, Mending
from tests.app.page_under_test import opened, text_of
from tests.app.test_sensitivity_mended_page import swept
from tests.app.test_sensitivity_page import CELL, small

NETWORK = capture(
    nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).eval(), torch.zeros(1, 4)
)
FIRST, SECOND = (group.key for group in NETWORK.groups)


def cell(group: str, ratio: float, right: int, *, mended: bool, between: tuple[float, float] | None = None) -> Cell:
    low, high = wilson(right, 200)
    return Cell(
        group, ratio, 2, right / 200, None, 0 if between else 200, low, high, 0.9 - right / 200, 0.0, 0.1, 2, 1, True,
        0.1, between=between, mended=mended,
    )  # fmt: skip


def cells(*known: Cell) -> dict[tuple[str, float], Cell]:
    return {(each.group, each.ratio): each for each in known}


CUT = cells(
    cell(SECOND, 0.2, 100, mended=False),
    cell(FIRST, 0.5, 60, mended=False),
    cell(FIRST, 0.2, 180, mended=False),
    cell(SECOND, 0.5, 150, mended=False, between=(0.2, 0.8)),
    cell(FIRST, 0.8, 20, mended=False),
)
MENDED = cells(
    cell(FIRST, 0.2, 181, mended=True),
    cell(FIRST, 0.5, 160, mended=True),
    cell(SECOND, 0.2, 60, mended=True),
    cell(SECOND, 0.5, 151, mended=True),
    cell(SECOND, 0.8, 20, mended=True),
    cell(FIRST, 0.8, 20, mended=False),  # nothing could be refitted
)


def test_only_cells_of_both_sweeps_that_were_mended_have_a_difference() -> None:
    rows = gains.table(CUT, MENDED, NETWORK)
    assert list(zip(rows["group"], rows["ratio"])) == [(FIRST, 0.2), (FIRST, 0.5), (SECOND, 0.2), (SECOND, 0.5)]
    assert list(rows["gain"]) == pytest.approx([0.005, 0.5, -0.2, 0.005])
    assert list(rows["within_noise"]) == [True, False, False, True]
    assert list(rows["estimated"]) == [False, False, False, True]
    assert ((rows["low"] < rows["gain"]) & (rows["gain"] < rows["high"])).all()


def test_gains_and_losses_lie_on_both_sides_of_one_scale() -> None:
    figure = gains.heatmap(gains.table(CUT, MENDED, NETWORK), groups=[FIRST, SECOND], ratios=[0.2, 0.5, 0.8])
    drawn = next(each for each in figure.data if each.type == "heatmap" and each.showscale is not False)
    z = np.array(drawn.z, dtype=float)
    assert z[0, :2] == pytest.approx([math.sqrt(0.005), math.sqrt(0.5)]) and z[1, 0] == pytest.approx(-math.sqrt(0.2))
    assert np.isnan(z[:, 2]).all() and drawn.zmin == -drawn.zmax == -math.sqrt(0.5)
    assert [list(row) for row in drawn.text] == [["0.5", "50", ""], ["−20", "≈0.5", ""]]
    told = next(each for each in figure.data if each.name == CELLS).hovertext
    assert "just cut 30.0\u202f%, mended 80.0\u202f%" in told[1] and "+50.0" in told[1] and "noise" not in told[1]
    assert "inside the noise" in told[0] and "not measured both ways" in told[2] and "estimated" in told[4]
    assert "−20.0" in told[3]


def test_where_less_is_better_a_smaller_error_is_a_gain() -> None:
    error = next(each.key for each in MEASURES if not each.rises and each.unit != "share")
    one, other = (
        cells(replace(cell(FIRST, 0.5, right, mended=done), measure=error)) for right, done in ((60, False), (20, True))
    )
    rows = gains.table(one, other, NETWORK)
    assert list(rows["gain"]) == pytest.approx([0.2]) and rows["low"][0] < 0.2 < rows["high"][0]
    figure = gains.heatmap(rows, groups=[FIRST], ratios=[0.5], measure=error)
    drawn = next(each for each in figure.data if each.type == "heatmap" and each.showscale is not False)
    assert drawn.text[0][0] == "0.2"


def test_nothing_measured_both_ways_is_an_empty_map() -> None:
    figure = gains.heatmap(gains.table(CUT, {}, NETWORK), groups=[FIRST], ratios=[0.2])
    assert "0 of 1 cells" in str(figure.layout.meta) and len(figure.data) > 2


def test_whichever_sweep_is_in_view_the_difference_is_mended_less_cut() -> None:
    from tests.app.test_sensitivity_mended_page import MENDED as SPEC

    plain = type(SPEC)(SPEC.model, SPEC.data)
    one = beside.gained(SPEC, MENDED, beside.Other(beside.CUT, CUT), NETWORK)
    other = beside.gained(plain, CUT, beside.Other(beside.MENDED, MENDED), NETWORK)
    assert one.equals(other) and one["gain"].max() == pytest.approx(0.5)


def test_the_page_offers_the_difference_once_both_sweeps_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    page: AppTest = opened("sensitivity", monkeypatch)
    small(page)
    swept(page, JustCut)
    keys = [each.key for each in page.button_group]
    assert "sensitivity.view" not in keys and "Mended less just cut" not in text_of(page)
    swept(page, Mending)
    choice = page.button_group(key="sensitivity.view")
    assert list(choice.options) == [sections.LOST, sections.BRINGS] and choice.value == sections.LOST
    seen = []
    drawn = gains.heatmap
    monkeypatch.setattr(gains, "heatmap", lambda rows, **rest: seen.append(rows) or drawn(rows, **rest))
    choice.set_value(sections.BRINGS).run()
    assert not page.exception and "**Mended less just cut**" in text_of(page)
    views = state.jobs().of(page.session_state["owner"])
    both = {state.jobs().spec(view.id).recovery: frames.newest(state.jobs().snapshot(view.id)) for view in views}  # type: ignore[union-attr]
    row = seen[-1].set_index(["group", "ratio"]).loc[CELL]
    assert row["gain"] == both[Mending()][CELL].top1 - both[JustCut()][CELL].top1 > 0
