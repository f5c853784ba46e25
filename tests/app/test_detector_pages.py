"""A detector through the pages: how its outputs are boxes is confirmed, and what they lack is said."""

from __future__ import annotations

from dataclasses import replace

import torch

from pages.ui import standing, state
from pages.ui.desk import Desk
from pruning_core.datasets import import_data
from pruning_core.graph import Plan
from pruning_core.numeric.box_layout import Form
from pruning_core.runs.view import State
from pruning_core.zoo import import_model, load_model
from tests.app.page_under_test import opened, text_of
from tests.core.detector_nets import DECODED, SIDE, Spotter, as_program, as_zip


def desk_with(decoded: bool) -> Desk:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Spotter(decoded=decoded).eval()
    root = state.workspace()
    model = import_model(as_program(network), "spotter.pt2", root, input_size=(3, SIDE, SIDE)).ref
    return Desk(model, replace(import_data(as_zip(40), "shapes.zip", root), mean=(0.0,) * 3, std=(1.0,) * 3))


def test_how_outputs_are_boxes_is_proposed_and_changed(monkeypatch):
    desk = desk_with(decoded=True).with_plan(Plan({"deep.0": range(4)}), "{}")
    page = opened("choose", monkeypatch, desk=desk)
    said = text_of(page)
    assert "boxes of 3 categories" in said and "Read as below" in said and "**Average precision**" in said
    assert "were read as boxes" in said
    (box,) = [each for each in page.selectbox if each.label == "A box is"]
    assert box.value is Form.CENTRE and "offsets from anchors" in box.options
    asked = [each.label for each in page.selectbox if each.key and each.key.startswith("choose.layout.")]
    assert asked[0] == "Classes are told by" and "Boxes are in" not in asked, "there is one output"
    box.set_value(Form.CORNERS).run()
    now = page.session_state["desk"]
    assert load_model(now.model, state.workspace()).outputs.layout == replace(DECODED, form=Form.CORNERS)
    assert now.plan == desk.plan, "the plan stays with its network"


def test_what_precision_needs_is_said_of_grids_that_nobody_decoded(monkeypatch):
    page = opened("choose", monkeypatch, desk=desk_with(decoded=False))
    said = text_of(page)
    assert "Export it so that one output holds all boxes decoded" in said and "**Output error**" in said
    assert not [each for each in page.selectbox if each.label == "A box is"]


def test_a_cut_is_told_scale_by_scale(monkeypatch):
    desk = desk_with(decoded=False).with_plan(Plan({"deep.0": range(8)}), "{}")
    page = opened("whatif", monkeypatch, desk=desk)
    page.button(key="whatif.apply").click().run()
    job = state.jobs().find(standing.application(desk))
    assert job is not None and state.jobs().wait(job.id, 120).state is State.DONE
    page.run()
    assert "Output by output, distance from the original on 8 test images" in text_of(page)
