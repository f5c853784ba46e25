"""What the pages say of a network that came as a file of Keras, and its file on Download."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest

from pages.ui import state
from pages.ui.desk import Desk
from pruning_core.datasets import DIGITS
from pruning_core.graph import Plan
from pruning_core.storage.weights import store_weights
from pruning_core.zoo import ModelRef, import_model
from tests.app.page_under_test import opened, text_of


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    return importlib.import_module("keras")


@pytest.fixture
def brought(keras: Any, tmp_path: Any) -> ModelRef:
    lib, x = keras.layers, keras.Input((8, 8, 1))
    y = lib.RandomFlip()(lib.ReLU()(lib.Conv2D(6, 3, name="first")(x)))
    keras.Model(x, lib.Dense(10)(lib.GlobalAveragePooling2D()(lib.Conv2D(4, 3)(y)))).save(tmp_path / "net.keras")
    return import_model(tmp_path / "net.keras", "net.keras", state.workspace()).ref


def test_a_page_says_in_both_languages_what_it_goes_home_as(brought: ModelRef, monkeypatch: pytest.MonkeyPatch) -> None:
    english = text_of(opened("model", monkeypatch, desk=Desk(brought, DIGITS)))
    assert "It goes home as a file of Keras again, as an exported program (.pt2) or as ONNX" in english
    assert "with channels first; left out, as they act in training alone: RandomFlip." in english
    chinese = text_of(opened("model", monkeypatch, desk=Desk(brought, DIGITS), language="zh"))
    assert "也可存为导出的程序（.pt2）或 ONNX" in chinese
    assert "由 Keras 逐层重建，通道在前；略去只在训练时起作用的层：RandomFlip。" in chinese


def test_a_cut_and_trained_one_goes_home_to_keras(
    brought: ModelRef, keras: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    cut = ModelRef("pruned", brought.name, base=brought, plan=Plan({"first": (0, 3)}).to_json())
    tuned = {name: t + 0.1 for name, t in state.loaded(cut).model.state_dict().items()}
    small = ModelRef("pruned", cut.name, store_weights(tuned, state.workspace()), base=brought, plan=cut.plan)
    page = opened("download", monkeypatch, desk=Desk(small, DIGITS), language="zh")
    page.button(key="download.keras.make").click().run()
    assert not page.exception and not page.error, [each.value for each in page.error]
    text = text_of(page)
    assert "net-pruned.keras" in text and "继续训练之前，请先在 Keras 中编译" in text
    page.session_state["language"] = "en"
    assert "compile it in Keras before training it further" in text_of(page.run()), "whoever had it made"
