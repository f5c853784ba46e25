"""Linear probes judge blocks on images that they learnt nothing from; the network stands still meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from pruning_core.allocation.budget import Budget
from pruning_core.datasets import Dataset
from pruning_core.graph import Network
from pruning_core.graph.edits import Drop
from pruning_core.methods.base import Goal
from pruning_core.methods.block_features import probed_accuracy
from pruning_core.methods.blocks import removable
from pruning_core.methods.layer_pruning import ByImprinting, ByProbes, DiscriminationBlocks, LayerPrune
from pruning_core.methods.perform import perform
from pruning_core.methods.phases import Rebuild, Train
from pruning_core.methods.rebuilding import JUDGED_ON, Target, WithoutBlocks
from pruning_core.work import finished
from tests.core.small_programs import Parts, begun, blocks, setup

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("method", [DiscriminationBlocks(rounds=2), LayerPrune()], ids=lambda m: m.card.key)
def test_images_that_choose_are_fitted_ones_and_never_those_that_report(
    method: Any, digits: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Dataset] = []
    kind = ByProbes if isinstance(method, DiscriminationBlocks) else ByImprinting

    def values(self: Any, model: Any, network: Any, blocks: Any, images: Dataset, seed: int) -> Any:
        seen.append(images)
        yield 1.0
        return {block.name: float(number) for number, block in enumerate(blocks)}

    monkeypatch.setattr(kind, "values", values)
    state, given = begun(blocks()), setup(digits)
    assert given.fit is not None and given.test is not None and given.held_out is not None
    phases = tuple(method.phases(Goal(state.network, Budget("macs", fraction=0.6))))
    finished(perform(tuple(phase for phase in phases if not isinstance(phase, Train)), state, given))
    assert len(seen) == sum(isinstance(phase, Rebuild) for phase in phases)
    fitted = given.fit.subset(JUDGED_ON, given.seed)
    for images in seen:
        assert torch.equal(images.images, fitted.images) and torch.equal(images.labels, fitted.labels)


def test_a_probe_is_judged_on_rows_that_it_did_not_learn_from() -> None:
    """With more numbers than rows it knows all of its own by heart, and of the others nothing."""
    torch.manual_seed(0)
    rows, labels = torch.randn(240, 400), torch.arange(240) % 3
    assert probed_accuracy(rows, labels, 3, 300, 0) < 0.5
    twice, both = rows[::2].repeat_interleave(2, 0), labels[::2].repeat_interleave(2)
    assert probed_accuracy(twice, both, 3, 300, 0) == 1.0, "what it learnt from it knows"


def test_a_probe_teaches_the_network_nothing(digits: Parts) -> None:
    state = begun(blocks())
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    found = removable(state.model, state.network)
    values = finished(ByProbes(steps=10).values(state.model, state.network, found, digits[0].subset(64, 0), 0))
    assert values.keys() == {block.name for block in found}
    assert all(parameter.grad is None for parameter in state.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    assert not state.model.training


@dataclass(frozen=True)
class Given(WithoutBlocks):
    """Values by hand."""

    def values(self, model: Any, network: Network, blocks: Any, images: Dataset, seed: int) -> Any:
        yield 1.0
        return {each.name: value for each, value in zip(blocks, (0.5, -0.3, 0.005, 0.2, 0.1))}


def test_a_block_that_makes_it_worse_leaves_first(digits: Parts) -> None:
    """Gains may be negative: it is their order that counts, and not their size."""
    state = begun(blocks())
    cost = state.network.cost().macs
    blocks_of = removable(state.model, state.network)
    target = Target("macs", cost - blocks_of[1].macs - blocks_of[2].macs)
    edits = finished(Given().edits(state.model, state.network, target, digits[0], 0))
    assert edits == (Drop("layer1.1"), Drop("layer1.2"))
