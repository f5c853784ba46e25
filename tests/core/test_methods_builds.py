"""Networks of another build: blocks that leave, kernels in groups; that they are what they say and come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from pruning_core.allocation.budget import Budget
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.graph.edits import Drop, Edit, GroupedKernels, Regroup, edited
from pruning_core.measuring.evaluate import evaluate
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.block_features import features, imprinted_accuracy, pooled, probed_accuracy
from pruning_core.methods.blocks import NO_BLOCKS, removable, without_blocks
from pruning_core.methods.grouped_kernels import GroupedKernelPruning, balanced_groups, diverse
from pruning_core.methods.layer_pruning import (
    NORM,
    SCALE,
    ByImprinting,
    ByProbes,
    ByWeights,
    DiscriminationBlocks,
    LayerPrune,
)
from pruning_core.methods.perform import Done, perform
from pruning_core.methods.phases import Rebuild, Train
from pruning_core.methods.place import Keeper
from pruning_core.methods.rebuilding import WithoutBlocks
from pruning_core.methods.state import State
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import both_splits, fitted
from pruning_core.studies.method import MethodRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.studies.treated import PhaseDone, Treated
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.work import finished
from pruning_core.zoo import DEMOS, ModelRef, load_model
from pruning_core.zoo.load import origin_of
from pruning_core.zoo.rebuilt import edits_of, told
from tests.core.small_programs import Parts, begun, blocks, network, setup
from tests.core.test_training import same

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGE = torch.zeros(1, 1, 8, 8)


# -- blocks that leave -------------------------------------------------------------------------------------------------


def test_blocks_that_can_leave_are_found_and_no_others() -> None:
    model = blocks()
    found = removable(model, capture(model, IMAGE))
    assert [block.name for block in found] == ["layer1.0", "layer1.1", "layer1.2", "layer2.1", "layer2.2"]
    assert [block.parameters for block in found] == [2 * (8 * 8 * 9) + 4 * 8] * 3 + [2 * (16 * 16 * 9) + 4 * 16] * 2
    plain = capture(network(), IMAGE)
    assert not removable(network(), plain) and without_blocks(plain) == NO_BLOCKS
    wide = torchvision.models.resnet18(num_classes=10).eval()
    named = [block.name for block in removable(wide, capture(wide, torch.zeros(1, 3, 64, 64)))]
    assert named == ["layer1.0", "layer1.1", "layer2.1", "layer3.1", "layer4.1"], "those with a projection stay"
    mobile = torchvision.models.mobilenet_v2(num_classes=10).eval()
    found = removable(mobile, capture(mobile, torch.zeros(1, 3, 64, 64)))
    assert len(found) == 10 and not any(block.name.endswith(".conv") for block in found), "not the branch alone"


def test_looking_for_blocks_changes_nothing() -> None:
    model = blocks()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    removable(model, capture(model, IMAGE))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_dropped_block_is_its_skip() -> None:
    """The same as the network whose branch adds nothing, because its last scale and shift are zero."""
    model, x = blocks(), torch.rand(3, 1, 8, 8)
    small = edited(model, (Drop("layer1.2"),))
    silent = edited(model, ())
    with torch.no_grad():
        silent.layer1[2].bn2.weight.zero_()
        silent.layer1[2].bn2.bias.zero_()
    assert torch.allclose(small(x), silent(x)) and not torch.allclose(small(x), model(x))
    assert type(model.layer1[2]) is not nn.Identity
    whole = capture(model, IMAGE)
    block = removable(model, whole)[2]
    cost = capture(small, IMAGE).cost()
    assert cost.macs == whole.cost().macs - block.macs and cost.parameters == whole.cost().parameters - block.parameters


@pytest.mark.parametrize("score", [NORM, SCALE])
def test_the_least_valuable_blocks_leave(score: str, digits: Parts) -> None:
    model = blocks()
    with torch.no_grad():
        for parameter in model.layer1[1].parameters():
            parameter.mul_(1e-3)
    end = run(LayerPrune(score=score), digits, model, share=0.9, rounds=False)
    assert end.edits == (Drop("layer1.1"),) and not end.plan


@pytest.mark.parametrize("how", [ByImprinting(), ByProbes(steps=40)], ids=str)
def test_a_block_is_worth_what_it_adds(how: WithoutBlocks, digits: Parts) -> None:
    model, images = blocks(), digits[0].subset(300, 0)
    found = removable(model, capture(model, IMAGE))
    values = finished(how.values(model, begun(model).network, found, images, 0))
    x = images.normalised(images.images)
    with torch.no_grad():
        front = model.layer1[0](torch.relu(model.bn1(model.conv1(x))))
        behind = model.layer1[1](front)
    first, second = (
        imprinted_accuracy(pooled(each), images.labels, 10)
        if isinstance(how, ByImprinting)
        else probed_accuracy(pooled(each), images.labels, 10, 40, 0)
        for each in (front, behind)
    )
    assert values["layer1.1"] == pytest.approx(second - first) and len(values) == 5


def test_means_and_not_sums_of_weights() -> None:
    wide, narrow = nn.Sequential(nn.Conv2d(64, 64, 3)), nn.Sequential(nn.Conv2d(4, 4, 3))
    with torch.no_grad():
        wide[0].weight.fill_(0.1)
        narrow[0].weight.fill_(0.2)
    assert ByWeights()._of(wide) < ByWeights()._of(narrow)


def test_a_classifier_of_mean_directions_and_a_probe() -> None:
    torch.manual_seed(0)
    labels = torch.arange(3).repeat_interleave(2).repeat(40)
    rows = nn.functional.one_hot(labels, 3).float() + 0.1 * torch.randn(240, 3)
    noise = torch.randn(240, 5)
    assert imprinted_accuracy(rows, labels, 3) == 1.0 and imprinted_accuracy(noise, labels, 3) < 0.6
    assert probed_accuracy(rows, labels, 3, 100, 0) == 1.0 and probed_accuracy(noise, labels, 3, 100, 0) < 0.6
    assert probed_accuracy(noise, labels, 3, 100, 0) == probed_accuracy(noise, labels, 3, 100, 0)
    assert pooled(torch.rand(2, 128, 8, 8)).shape == (2, 128 * 2 * 2) and pooled(torch.rand(2, 9, 6)).shape == (2, 6)


def test_features_are_those_in_front_and_behind_and_the_network_is_left_alone(digits: Parts) -> None:
    model, images = blocks(), digits[0].subset(200, 0)
    found = finished(features(model, ["layer1.0", "layer1.1"], images))
    assert torch.equal(found["layer1.0"].behind, found["layer1.1"].front) and len(found["layer1.0"].front) == 200
    assert not model.layer1[0]._forward_hooks


def test_what_is_out_of_reach_is_said_with_what_is_not(digits: Parts) -> None:
    with pytest.raises(UserError, match="Without its 5 removable blocks this network still has"):
        run(LayerPrune(), digits, blocks(), share=0.01)
    with pytest.raises(UserError, match="none that give back the shape"):
        run(DiscriminationBlocks(), digits, network())


# -- kernels in groups -------------------------------------------------------------------------------------------------


def test_kernels_that_differ_most_are_kept() -> None:
    assert diverse(torch.tensor([[0.0], [1.0], [10.0], [11.0]]), 2) == [0, 3]
    assert diverse(torch.rand(5, 3), 5) == list(range(5))
    torch.manual_seed(0)
    assert len(set(diverse(torch.rand(16, 9), 9))) == 9


def test_groups_are_of_equal_size_and_hold_what_is_alike() -> None:
    rows = torch.tensor([[0.0], [10], [0.1], [10.1], [0.2], [10.2], [5], [20]]).double().numpy()
    groups = balanced_groups(rows, 2, 0)
    assert sorted(map(len, groups)) == [4, 4] and sorted(groups[0] + groups[1]) == list(range(8))
    assert {0, 2, 4} in [set(group) & {0, 2, 4} for group in groups]


def test_a_grouped_convolution_is_the_dense_one_without_the_other_kernels() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(6, 8, 3, stride=2, padding=1), torch.rand(2, 6, 9, 9)
    filters, inputs = ((0, 3, 5, 6), (1, 2, 4, 7)), ((0, 2, 5), (1, 2, 3))
    grouped = GroupedKernels(conv, filters, inputs)
    mask = torch.zeros_like(conv.weight)
    for units, read in zip(filters, inputs):
        mask[torch.tensor(units)[:, None], torch.tensor(read)] = 1
    expected = nn.functional.conv2d(x, conv.weight * mask, conv.bias, 2, 1)
    assert torch.allclose(grouped(x), expected, atol=1e-6) and grouped.conv.weight.shape == (8, 3, 3, 3)
    assert grouped.conv.weight.numel() == int(mask.sum())


def test_a_network_of_grouped_convolutions_is_smaller_and_counted(digits: Parts) -> None:
    end = run(GroupedKernelPruning(groups=2), digits, network())
    (edit,) = end.edits
    assert isinstance(edit, Regroup) and edit.layer == "3" and type(end.model[3]) is GroupedKernels
    cost = end.network.cost()
    assert cost.macs <= 0.5 * begun().network.cost().macs
    assert cost.parameters == sum(p.numel() for p in end.model.parameters())


def test_layers_that_cannot_be_divided_are_an_obstacle() -> None:
    odd = nn.Sequential(nn.Conv2d(1, 7, 3), nn.ReLU(), nn.Conv2d(7, 9, 3), nn.Flatten(), nn.Linear(144, 3)).eval()
    assert "4 groups" in GroupedKernelPruning().obstacle(capture(odd, IMAGE))
    assert not GroupedKernelPruning().obstacle(begun().network)


# -- as data, as a place, as a run -------------------------------------------------------------------------------------


EDITS: tuple[Edit, ...] = (Drop("layer1.0"), Regroup("layer1.1.conv1", ((0, 1), (2, 3)), ((0,), (1,))))


def test_edits_are_text_and_nothing_else_is_read_as_one() -> None:
    assert edits_of(told(EDITS)) == EDITS and told(()) == "" and edits_of("") == ()
    for text in ("{}", "[1]", '[{"$": "ModelRef"}]', "no"):
        with pytest.raises(UserError, match="no stored change"):
            edits_of(text)


@pytest.mark.parametrize(
    "edit", [Drop("nowhere"), Regroup("layer1.1", ((0,),), ((0,),)), Regroup("conv1", ((0, 1),), ((0,),))], ids=str
)
def test_an_edit_of_another_network_is_refused(edit: Edit) -> None:
    with pytest.raises(UserError, match="cannot be changed"):
        edited(blocks(), (edit,))


def test_a_program_either_cuts_or_rebuilds(digits: Parts) -> None:
    from pruning_core.graph import Plan

    state = begun(blocks())
    rebuilt = state.rebuilt((Drop("layer1.0"),))
    with pytest.raises(ValueError, match="cannot be followed"):
        rebuilt.without(Plan({rebuilt.network.groups[0].key: (0,)}), rebuilt.model, None)
    cut = replace(state, plan=Plan({state.network.groups[0].key: (0,)}))
    with pytest.raises(ValueError, match="cannot be changed"):
        cut.rebuilt((Drop("layer1.0"),))


def run(method: Method, digits: Parts, model: nn.Module, share: float = 0.5, rounds: bool = True) -> State:
    """The state after the program, or after its first phase alone."""
    state = begun(model)
    phases = tuple(method.phases(Goal(state.network, Budget("macs", fraction=share))))
    return finished(perform(phases if rounds else phases[:1], state, setup(digits)))


@pytest.mark.parametrize("method", [DiscriminationBlocks(rounds=2), GroupedKernelPruning(groups=2)], ids=str)
def test_a_stopped_rebuilding_goes_on_exactly(method: Method, digits: Parts, tmp_path: Path) -> None:
    state = begun(blocks())
    phases = tuple(method.phases(Goal(state.network, Budget("macs", fraction=0.6))))
    whole = finished(perform(phases, state, setup(digits)))
    trainings = [number for number, phase in enumerate(phases) if isinstance(phase, Train)]
    stopped, number = perform(phases, begun(blocks()), setup(digits), Keeper(tmp_path / "place.pt")), 0
    for event in stopped:
        number += isinstance(event, Done)
        if isinstance(event, Epoch) and event.epoch == 1 and number == trainings[-1]:
            break
    stopped.close()
    end = finished(perform(phases, begun(blocks()), setup(digits), Keeper(tmp_path / "place.pt")))
    assert end.edits == whole.edits and whole.edits and same(end.model, whole.model)
    assert isinstance(phases[0], Rebuild)


@pytest.fixture(scope="module", params=[LayerPrune(score=NORM), GroupedKernelPruning()], ids=lambda m: m.card.key)
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    workspace = Workspace(tmp_path_factory.mktemp("built"))
    config = FineTune(epochs=1, batch_size=256, lr=0.02, device="cpu")
    spec = MethodRun(DEMOS[0].ref, DIGITS, request.param, Budget("macs", fraction=0.65), config)
    yield workspace, list(spec.run(workspace))


def test_a_rebuilt_network_is_measured_stored_and_comes_back(ended: tuple) -> None:
    workspace, events = ended
    (end,) = [event for event in events if isinstance(event, Treated)]
    phases = [event for event in events if isinstance(event, PhaseDone)]
    assert end.model.source == "rebuilt" and end.model.base == DEMOS[0].ref
    assert end.after.cost.macs <= 0.65 * end.before.cost.macs and phases[0].macs == end.after.cost.macs
    assert end.cut is not None and end.cut.top1 == phases[0].accuracy.top1
    again = load_model(ModelRef.from_json(end.model.to_json()), workspace)
    _, test = finished(both_splits(DIGITS, workspace))
    assert evaluate(again.model, fitted(test, DIGITS, again), device="cpu").top1 == end.after.accuracy.top1
    assert sum(p.numel() for p in again.model.parameters()) == end.after.cost.parameters
    told = origin_of(again)
    assert told is not None and len(told.cuts) == 1 and again.title.endswith("(rebuilt)")
    for event in events:
        assert PRODUCT.checked_event(dump(event)) == event


def test_a_rebuilt_network_can_be_cut_and_comes_back_too(ended: tuple) -> None:
    workspace, events = ended
    (end,) = [event for event in events if isinstance(event, Treated)]
    again = load_model(end.model, workspace)
    group = capture(again.model, IMAGE).groups[0]
    plan = f'{{"{group.key}": [0, 1]}}'
    small = load_model(ModelRef("pruned", end.model.name, base=end.model, plan=plan), workspace)
    assert sum(p.numel() for p in small.model.parameters()) < end.after.cost.parameters


def test_only_what_was_made_from_a_network_names_one() -> None:
    with pytest.raises(UserError, match="names the network it was made from"):
        ModelRef("rebuilt", "x")
