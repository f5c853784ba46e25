"""The sensitivity page, with a real sweep of the demo network."""

import io

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from pages.sensitivity import frames
from pages.ui import state
from pruning_core.allocation.lowest import lowest
from pruning_core.criteria import CRITERIA, score
from pruning_core.graph import Plan
from pruning_core.measuring.measures import Cell
from pruning_core.runs.view import State
from pruning_core.studies.sensitivity import SensitivityRun
from tests.app.page_under_test import carried, metrics, opened, text_of

IMAGES = 32
CELL = ("layer2.0.conv1", 0.5)


def small(page: AppTest) -> AppTest:
    """The fewest images and three ratios: a sweep of a second."""
    page.select_slider[0].set_value(IMAGES)
    page.button_group(key="sensitivity.ratios").set_value([0.3, 0.5, 0.9])
    return page.run()


def swept(page: AppTest) -> AppTest:
    small(page).button(key="sensitivity.start").click().run()
    job = page.session_state["sensitivity.run"]
    ended = state.jobs().wait(job, 120)
    assert ended.state is State.DONE, ended.error
    return page.run()


@pytest.fixture
def page(monkeypatch):
    return opened("sensitivity", monkeypatch)


def test_before_a_sweep_the_page_says_what_it_will_measure_on(page):
    assert "269 held-out images" in text_of(page)
    assert "Nothing is measured yet" in page.info[0].value


def test_every_criterion_is_offered_and_none_is_named_in_the_page(page):
    assert page.selectbox(key="criterion").options == [each.card.name for each in CRITERIA]


def test_no_ratio_is_a_sentence(page):
    page.button_group(key="sensitivity.ratios").set_value([]).run()
    assert not page.exception
    assert "Choose at least one ratio" in page.error[0].value


def test_a_sweep_ends_with_all_its_cells_and_their_provenance(page):
    swept(page)
    shown = text_of(page)
    groups = state.network(state.desk().model).groups
    assert f"**{3 * len(groups)} cells measured**" in shown
    assert "digits, held-out images, 32 images, CPU, seed 0" in shown
    assert metrics(page)["Unpruned accuracy"].endswith("%")


def test_the_chosen_cell_shows_what_was_measured_and_what_it_saves(page):
    swept(page)
    page.session_state["sensitivity.cell"] = CELL
    page.run()
    view = state.jobs().snapshot(page.session_state["sensitivity.run"])
    cell = frames.newest(view)[CELL]
    network = state.network(state.desk().model)
    cost = network.cost(Plan({CELL[0]: range(16)}))
    shown = metrics(page)
    assert cell.removed == 16 and cell.images == IMAGES
    assert shown["Accuracy"] == f"{100 * cell.top1:.1f}\u202f%"
    assert shown["MACs if applied"] == f"{cost.macs:,}"
    assert shown["Parameters if applied"] == f"{cost.parameters:,}"
    assert f"**{cell.lost}** were right before and are wrong after" in text_of(page)


def test_a_ratio_is_taken_into_the_plan_as_the_criterion_ranks(page):
    swept(page)
    page.session_state["sensitivity.cell"] = CELL
    page.run().button(key="sensitivity.take").click().run()
    desk = page.session_state["desk"]
    network = state.network(desk.model)
    first = CRITERIA[0]()
    values = score(state.loaded(desk.model).model, network, [first])[first].values
    assert desk.plan == Plan({CELL[0]: lowest(values[CELL[0]], 16)})
    assert "The plan removes 16 channels" in text_of(page)


def test_another_session_of_the_same_visitor_finds_the_sweep(page, monkeypatch):
    swept(page)
    again = carried("sensitivity", page, monkeypatch)
    assert "cells measured" in text_of(again)
    stranger = opened("sensitivity", monkeypatch)
    assert "Nothing is measured yet" in stranger.info[0].value


def test_a_fast_sweep_says_which_cells_are_estimated_and_how_far_off_that_is(page):
    page.button_group(key="sensitivity.mode").set_value("Fast").run()
    page.select_slider(key="sensitivity.tolerance").set_value(0.1).run()
    page.button(key="sensitivity.start").click().run()
    job = page.session_state["sensitivity.run"]
    ended = state.jobs().wait(job, 120)
    assert ended.state is State.DONE, ended.error
    shown = text_of(page.run())
    cells = frames.newest(ended)
    estimated = [cell for cell in cells.values() if cell.estimated]
    assert f"{len(cells) - len(estimated)} cells measured" in shown and f"{len(estimated)} estimated" in shown
    assert "points on average in 1 checked cell" in shown
    page.session_state["sensitivity.cell"] = (estimated[0].group, estimated[0].ratio)
    assert "Not measured itself" in text_of(page.run())
    assert not page.exception


def test_two_sweeps_can_be_told_apart(page):
    swept(page)
    page.selectbox(key="criterion").set_value(CRITERIA[1].card.key).run()
    swept(page)
    shown = page.selectbox(key="sensitivity.run")
    assert [each.split(" · ")[0] for each in shown.options] == [CRITERIA[1].card.name, CRITERIA[0].card.name]
    assert "Show this sweep" in page.selectbox(key="criterion").set_value(CRITERIA[0].card.key).run().button[0].label


def test_a_stopped_sweep_keeps_its_cells_and_goes_on(page):
    desk = state.desk()
    spec = SensitivityRun(desk.model, desk.data)
    small(page)
    page.button(key="sensitivity.start").click().run()
    job = page.session_state["sensitivity.run"]
    state.jobs().cancel(job)
    ended = state.jobs().wait(job, 60)
    page.run()
    assert not page.exception and spec.kind == ended.kind
    if ended.state is State.CANCELLED:  # otherwise it was faster than the cancel
        assert page.button(key="sensitivity.start").label == "Go on with this sweep"
        page.button(key="sensitivity.resume").click().run()
    assert state.jobs().wait(job, 60).state is State.DONE


def test_the_table_holds_every_cell_once_in_network_order():
    network = state.network(state.desk().model)
    keys = [group.key for group in network.groups]

    def cell(group, ratio, images):
        return Cell(group, ratio, 3, 0.9, None, images, 0.8, 1.0, 0.05, -0.01, 0.1, 2, 1, False, 0.1)

    cells = [cell(keys[1], 0.5, 64), cell(keys[0], 0.9, 64), cell(keys[0], 0.1, 64), cell("gone", 0.1, 64)]
    table = pd.read_csv(io.StringIO(frames.table(cells, network).to_csv(index=False)))
    assert list(zip(table["group"], table["ratio"])) == [(keys[0], 0.1), (keys[0], 0.9), (keys[1], 0.5)]
    assert table["within_noise"].all() and (table["channels"] >= 16).all()


def test_long_names_keep_their_end():
    names = ["features.denseblock3.denselayer24.conv1", "conv1"]
    short = frames.short(names)
    assert short["conv1"] == "conv1"
    assert len(short[names[0]]) <= 28 and short[names[0]].endswith("denselayer24.conv1"[-15:])
    assert len(set(frames.short([f"features.denseblock3.denselayer{i}.conv1" for i in range(24)]).values())) == 24
