"""Networks of Keras 3 on its torch backend: layers with copies of their own, shapes written into their code."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest
import torch

from pruning_core.graph import Plan, capture, remove

SIZE = (1, 64, 64, 3)


@pytest.fixture(scope="module")
def keras() -> ModuleType:
    os.environ["KERAS_BACKEND"] = "torch"
    return importlib.import_module("keras")


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV2",
        pytest.param("ResNet50", marks=pytest.mark.slow),  # a minute each in float64
        pytest.param("EfficientNetB0", marks=pytest.mark.slow),
    ],
)
def test_half_of_every_group_leaves_a_keras_network_exactly(name: str, keras: ModuleType) -> None:
    torch.manual_seed(0)
    build = getattr(keras.applications, name)
    model = build(weights=None, classes=10, input_shape=SIZE[1:]).eval()
    network = capture(model, torch.rand(SIZE))
    groups = [group for group in network.groups if group.exact]
    assert len(groups) > 20
    plan = Plan({group.key: range(group.size // 2) for group in groups})
    removal = remove(model, network, plan)
    assert removal.proof.exact and not removal.proof.unproven
    assert sum(p.numel() for p in removal.model.parameters()) == removal.cost.parameters < network.cost().parameters / 2
    assert removal.model(torch.rand(3, *SIZE[1:])).shape == (3, 10)
