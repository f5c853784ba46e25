"""A file that leaves sizes open, and a network of several outputs, on the Load page."""

from __future__ import annotations

import dataclasses

from pages.ui import state
from pages.ui.desk import Desk
from pruning_core.datasets import import_data
from pruning_core.zoo import import_model
from tests.app.page_under_test import opened, text_of
from tests.core.interface_nets import PictureAndTable, as_pt2
from tests.core.task_nets import archive


def test_the_output_to_be_judged_is_chosen(monkeypatch):
    import torch

    root = state.workspace()
    model = import_model(as_pt2(PictureAndTable), "two.pt2", root).ref
    given = {"inputs/picture": torch.rand(40, 3, 16, 16).numpy(), "inputs/row": torch.rand(40, 5).numpy()}
    page = opened("choose", monkeypatch, desk=Desk(model, import_data(archive(**given), "pairs.npz", root)))
    said = text_of(page)
    assert "picture (3 × 16 × 16) and row (5)" in said and "fits" in said
    (box,) = [each for each in page.selectbox if each.label == "Which output is judged"]
    assert box.options == ["scores (4)", "box (2)"]
    box.set_value(1).run()
    assert not page.exception
    assert dict(page.session_state["desk"].model.options)["measured"] == 1
    assert state.loaded(page.session_state["desk"].model).num_classes == 2
    assert dataclasses.replace(page.session_state["desk"].model, options=(), num_classes=None) == dataclasses.replace(
        model, options=(), num_classes=None
    )
    page = opened("model", monkeypatch, desk=page.session_state["desk"])
    assert "Reads picture (3 × 16 × 16) and row (5) and gives the scores of 2 classes." in text_of(page)
