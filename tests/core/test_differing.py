"""Layers of two networks over the channels that both have."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from pruning_core.analysis.differing import Family, LayerDifference, activations, composed
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.differences import DifferencesRun
from pruning_core.zoo import DEMOS, ModelRef

DEMO, LAYER, NEXT = DEMOS[0].ref, "layer1.0.conv1", "layer1.0.conv2"

pytestmark = pytest.mark.usefixtures("one_thread")


def pruned(plan: dict[str, list[int]], base: ModelRef = DEMO) -> ModelRef:
    return ModelRef("pruned", DEMO.name, base=base, plan=json.dumps(plan))


def by_layer(workspace: Workspace, one: ModelRef, other: ModelRef) -> dict[str, LayerDifference]:
    events = DifferencesRun(one, other, DIGITS, images=32, device="cpu").run(workspace)
    return {each.layer: each for each in events if isinstance(each, LayerDifference)}


def test_cuts_after_one_another_count_in_what_was_left() -> None:
    first = {("a.weight", 0): np.array([0, 2, 4, 6])}
    second = {("a.weight", 0): np.array([1, 3]), ("b.weight", 1): np.array([5])}
    found = composed([first, second])
    assert found["a.weight", 0].tolist() == [2, 6] and found["b.weight", 1].tolist() == [5]


def test_layers_of_a_recorded_program_answer_as_those_of_modules() -> None:
    torch.manual_seed(0)
    body = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 4, 2), nn.ReLU(), nn.Flatten())
    a = nn.Sequential(*body, nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    x = torch.randn(6, 1, 5, 5)
    network = capture(a, x)
    up = next(group for group in network.groups if group.key == "2")
    head = next(group for group in network.groups if group.key == "5")
    plan = Plan({up.key: [0, 3], head.key: [1]})
    b = remove(a, network, plan).model.eval()
    kept = composed([network.kept(plan)])
    layers = ["0", "2", "5", "7"]
    *_, modules = activations(Family(a, b, {}, kept), layers, [x])
    programs = [torch.export.export(each, (x,)).module() for each in (a, b)]
    *_, found = activations(Family(*programs, {}, kept), layers, [x])
    assert found == {layer: pytest.approx(value) for layer, value in modules.items()}
    assert modules["0"] == 0.0 == modules["2"], "what is left of a turned convolution's outputs is as it was"
    assert modules["5"] > 0.01 and modules["7"] > 0.01


def test_a_change_worked_by_hand() -> None:
    a = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.ReLU(), nn.Conv2d(3, 1, 1, bias=False)).eval()
    with torch.no_grad():
        a[0].weight.copy_(torch.tensor([3.0, 100.0, 4.0]).view(3, 1, 1, 1))
        a[2].weight.copy_(torch.tensor([1.0, 100.0, 1.0]).view(1, 3, 1, 1))
    network = capture(a, torch.zeros(1, 1, 2, 2))
    plan = Plan({network.groups[0].key: [1]})
    b = remove(a, network, plan).model.eval()
    with torch.no_grad():
        b.get_parameter("0.weight").mul_(2.0)
    family = Family(a, b, {}, composed([network.kept(plan)]))
    assert family.layers() == ["0", "2"]
    assert family.weight("0") == (2, 3, pytest.approx(1.0)), "both twice as large: ||b - a|| = ||a||"
    assert family.weight("2") == (1, 1, pytest.approx(0.0)), "over the columns that are left, nothing changed"
    *_, found = activations(family, ["0", "2"], [torch.ones(1, 1, 2, 2)])
    assert found["0"] == pytest.approx(1.0)
    assert found["2"] == pytest.approx((100 * 100 + 7 - 14) / (100 * 100 + 7))
    assert not any(module._forward_hooks for model in (a, b) for module in model.modules())


def test_a_cut_changes_no_weight_that_stays_and_nothing_before_it(workspace: Workspace) -> None:
    found = by_layer(workspace, DEMO, pruned({LAYER: [0, 3]}))
    assert all(each.weights == 0.0 for each in found.values())
    assert (found[LAYER].common, found[LAYER].first) == (14, 16)
    assert found["conv1"].activations == 0.0 == found[LAYER].activations
    after = found[NEXT].activations
    assert after is not None and 0.01 < after < math.inf


def test_two_cuts_of_one_network_meet_in_the_channels_of_both(workspace: Workspace) -> None:
    twice = pruned({LAYER: [0]}, pruned({LAYER: [0, 3]}))  # 0, 3, and what was 1
    found = by_layer(workspace, pruned({LAYER: [1, 2]}), twice)[LAYER]
    assert (found.common, found.first) == (12, 14), "all but 0, 1, 2 and 3"
    assert found.weights == 0.0 == found.activations


def test_networks_of_two_trees_are_refused(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="one tree"):
        by_layer(workspace, DEMO, DEMOS[1].ref)
