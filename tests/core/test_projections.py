"""Projections at the end of residual branches: the same network at first, and branches that can be cut on their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.shortcuts import Projected
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.graph.edits import edited
from pruning_core.graph.projected import Project, Projection
from pruning_core.methods.base import Goal
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.perform import perform
from pruning_core.methods.projections import NO_BRANCHES, has_projections, projections
from pruning_core.methods.state import Setup, State
from pruning_core.storage.weights import store_weights
from pruning_core.training.config import FineTune
from pruning_core.work import finished
from pruning_core.zoo import DEMOS, ModelRef, load_model
from pruning_core.zoo.rebuilt import EDITS, edits_of, told
from tests.core.small_programs import Parts, blocks, network, residual
from tests.core.small_residual import residual as plain_residual

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def lively(model: nn.Module) -> nn.Module:
    """With batch norms that have seen something, so that nothing is one or zero by chance."""
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                assert isinstance(tensor, Tensor)
                tensor.data.copy_(torch.randn(tensor.shape, generator=generator))
    return model.eval()


def captured(model: nn.Module) -> Network:
    return capture(model, torch.zeros(1, 1, 8, 8))


def test_every_branch_that_ends_in_coupled_channels_gets_one_and_what_makes_the_stream_none() -> None:
    found = projections(blocks(), captured(blocks()))
    assert [each.norm for each in found] == [f"layer{stage}.{block}.bn2" for stage in (1, 2) for block in (0, 1, 2)]
    assert {each.channels for each in found[:3]} == {8} and {each.channels for each in found[3:]} == {16}
    assert [each.norm for each in projections(plain_residual(), captured(plain_residual()))] == ["3.last", "5.last"]


def test_the_network_says_the_same_and_the_ends_of_branches_are_groups_of_their_own() -> None:
    model = lively(residual())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    new = edited(model, projections(model, captured(model)))
    with torch.no_grad():
        assert torch.equal(new(X), model(X))
    was, now = captured(model), captured(new)
    assert not has_projections(was) and has_projections(now)
    assert {g.key for g in now.groups if not g.coupled} == {
        "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2",
    }  # fmt: skip
    assert all(group.exact for group in now.groups)
    added = now.cost().macs - was.cost().macs
    assert added == 8 * 8 * 8 * 8 + 16 * 16 * 4 * 4, "C x C x H x W of every projection"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_branch_that_is_cut_alone_is_the_network_with_its_channels_silenced_before_the_addition() -> None:
    model = lively(residual())
    new = edited(model, projections(model, captured(model)))
    gone = (0, 3, 5)
    removal = remove(new, captured(new), Plan({"layer1.0.conv2": gone}))
    small = removal.model

    def silenced(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
        made = made.clone()
        made[:, list(gone)] = 0
        return made

    handle = model.get_submodule("layer1.0.bn2").register_forward_hook(silenced)
    with torch.no_grad():
        wanted = model(X)
        handle.remove()
        assert torch.allclose(small(X), wanted, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(small(X), model(X), rtol=1e-2, atol=1e-2)
    shapes = {name: tuple(value.shape) for name, value in small.state_dict().items()}
    assert shapes["layer1.0.conv2.weight"] == (5, 8, 3, 3) and shapes["layer1.0.bn2.project.weight"] == (8, 5, 1, 1)
    assert shapes["conv1.weight"] == (8, 1, 3, 3), "the stream keeps its width"
    kept = next(m for m in small.modules() if isinstance(m, Projection)).weight.detach()[:, :, 0, 0]
    assert torch.equal(kept, torch.eye(8)[:, [1, 2, 4, 6, 7]]), "it scatters what is left to where it was"


def test_a_stream_that_is_cut_takes_rows_of_the_projections_and_nothing_inside() -> None:
    model = lively(residual())
    new = edited(model, projections(model, captured(model)))
    removal = remove(new, captured(new), Plan({"conv1": (1, 2)}))
    shapes = {name: tuple(value.shape) for name, value in removal.model.state_dict().items()}
    assert shapes["layer1.0.conv2.weight"][0] == 8 and shapes["layer1.0.bn2.project.weight"] == (6, 8, 1, 1)


def test_it_is_stored_and_fits_no_other_network() -> None:
    found = projections(residual(), captured(residual()))
    assert edits_of(told(found)) == found
    for other in (Project("layer1.0.conv1", 8), Project("layer1.0.bn2", 9), Project("nowhere", 8)):
        with pytest.raises(UserError, match="cannot be changed"):
            edited(residual(), (other,))


def test_where_no_branch_ends_so_it_says_so() -> None:
    with pytest.raises(UserError, match="no branch of this network") as caught:
        projections(network(), captured(network()))
    assert str(caught.value) == NO_BRANCHES


def test_it_is_trained_cut_at_the_ends_of_branches_and_comes_back(tmp_path: Path, digits: Parts) -> None:
    whole = load_model(DEMOS[0].ref)
    edits = projections(whole.model, captured(whole.model))
    ref = ModelRef(
        "rebuilt", whole.ref.name, options=((EDITS, told(edits)),), input_size=whole.input_size, base=whole.ref
    )
    base = load_model(ref)
    network = Projected().narrowed(captured(base.model))
    phases = tuple(CutAndTrain().phases(Goal(network, Budget("macs", fraction=0.6))))
    fit, held_out, test = (part.subset(count) for part, count in zip(digits, (64, 16, 8)))
    config = FineTune(epochs=1, batch_size=32, lr=0.01, device="cpu")
    start = State.of(base.model, network, Projected())
    end = finished(perform(phases, start, Setup(fit, fit, held_out, test, config, device="cpu")))
    ends = {name for name in end.plan if name.endswith("conv2")}
    assert ends and not {group.key for group in network.groups if group.coupled} & set(end.plan)
    assert network.cost(end.plan).macs <= 0.6 * network.cost().macs
    digest = store_weights(end.model.state_dict(), tmp_path)
    again = load_model(ModelRef("pruned", ref.name, digest, base=ref, plan=end.plan.to_json()), tmp_path)
    with torch.no_grad():
        assert torch.equal(again.model(test.images[:4].float()), end.model(test.images[:4].float()))
