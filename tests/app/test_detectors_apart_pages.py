"""A detector with outputs for boxes and scores apart: confirmed by pictures on Load, and compared with a cut one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pages.compare import sections
from pages.ui import state
from pages.ui.desk import Desk
from pruning_core.datasets import import_data
from pruning_core.graph import Plan
from pruning_core.numeric.box_layout import Nothing
from pruning_core.runs.view import State
from pruning_core.studies.prune import PruneRun
from pruning_core.zoo import import_model, load_model
from tests.app.page_under_test import opened, text_of
from tests.core.apart_detector_nets import SSD, SingleShot, as_zip, made
from tests.core.detector_nets import SIDE, as_program

ME = "me"


@pytest.fixture
def desk(monkeypatch) -> Desk:
    monkeypatch.setattr(state, "owner", lambda: ME)
    root, network = state.workspace(), made(SingleShot())
    model = import_model(as_program(network), "shots.pt2", root, input_size=(3, SIDE, SIDE)).ref
    return Desk(model, replace(import_data(as_zip(network, SSD), "shapes.zip", root), mean=(0.0,) * 3, std=(1.0,) * 3))


def settled(page):
    """Once everything that the page has started is measured."""
    for view in state.jobs().of(ME):
        assert state.jobs().wait(view.id, 200).state is State.DONE
    page.run()
    assert not page.exception and not page.error, [each.value for each in page.error]
    return page


def box(page, label):
    (found,) = [each for each in page.selectbox if each.label == label]
    return found


def test_how_two_outputs_are_read_is_drawn_and_confirmed(monkeypatch, desk):
    page = settled(opened("choose", monkeypatch, desk=desk))
    assert "Solid: what the network finds" in text_of(page) and "**Average precision**" in text_of(page)
    assert box(page, "Boxes are in").options == ["boxes (360 × 4)", "scores (360 × 4)"]
    assert box(page, "Scores are in").value == 1 and box(page, "Nothing is").value is Nothing.FIRST
    box(page, "Nothing is").set_value(Nothing.NOWHERE).run()
    assert load_model(page.session_state["desk"].model, state.workspace()).outputs.layout.nothing is Nothing.NOWHERE
    (said,) = [each.value for each in page.info if "scores" in each.value]
    assert said.startswith("A candidate has 4 scores, and there are 3 categories")
    assert "room for 4 scores" in text_of(page) and "Solid: what the network finds" not in text_of(page)
    offered = [each for each in page.button if each.key and each.key.endswith((".FIRST", ".LAST"))]
    assert len(offered) == 2
    offered[1].click().run()
    assert page.session_state["desk"].model == desk.model, "the first class, as it was"


def test_what_a_cut_detector_finds_no_more_is_drawn(monkeypatch, desk):
    run = PruneRun(desk.model, desk.data, Plan({state.network(desk.model).groups[0].key: range(4)}).to_json())
    assert state.jobs().wait(state.jobs().submit(run, ME), 200).state is State.DONE
    page = opened("compare", monkeypatch, desk=desk, **{sections.PINNED: 0, sections.OTHER: 1})
    said = text_of(settled(settled(page)))
    assert "annotated things the pinned network finds" in said and "lost in each category" in said
    assert said.count("Solid: what the network finds") == 1
