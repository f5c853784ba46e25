"""Patterns of zeros: the hand-worked examples, what a share and a budget leave, and what it is worth in bytes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.errors import UserError
from pruning_core.graph import capture
from pruning_core.sparsity.compressed import CompressedConv, CompressedLinear, compressed
from pruning_core.sparsity.fitting import kept, share_within
from pruning_core.sparsity.kernel_patterns import FIXED, KernelPatterns, fitted, library, natural
from pruning_core.sparsity.patterns import NEVER, Blocks, Columns, Elements, Kernels, NofM, Vectors
from pruning_core.sparsity.weights import Bill, Sparsity, prunable, shapes
from tests.core.small_programs import network

EXAMPLE = {"a": torch.tensor([[0.5, -0.1, 0.3, -0.9]]).abs(), "b": torch.tensor([[0.05, 0.2]])}
KERNEL = torch.tensor([0.1, 0.2, 0.3, 0.4, 5, 0.6, 0.7, 0.8, 0.9]).reshape(3, 3)
BLOCKS: list[type[Blocks]] = [Elements, Vectors, Kernels, Columns]


def gone(masks: dict[str, Tensor]) -> dict[str, list[int]]:
    return {name: (~mask).flatten().nonzero().flatten().tolist() for name, mask in masks.items()}


# -- elements and blocks -----------------------------------------------------------------------------------------------


def test_a_network_wide_ranking_and_one_for_each_layer() -> None:
    assert gone(kept(Elements().levels(EXAMPLE), 0.5)) == {"a": [1], "b": [0, 1]}
    assert gone(kept(Elements("layer").levels(EXAMPLE), 0.5)) == {"a": [1, 2], "b": [0]}


def test_exactly_so_many_are_kept_also_among_equals() -> None:
    same = {"a": torch.ones(3, 4), "b": torch.ones(2, 4)}
    for share, count in ((0.0, 0), (0.05, 1), (0.5, 10), (0.99, 19), (1.0, 20)):
        assert sum(int(mask.sum()) for mask in kept(Elements().levels(same), share).values()) == count


def test_what_is_gone_stays_gone_at_every_share() -> None:
    importance = {"a": torch.tensor([[1.0, -NEVER, -3.0, 2.0]])}
    assert gone(kept(Elements().levels(importance), 1.0)) == {"a": [1]}
    assert gone(kept(Elements().levels({"a": torch.tensor([[1.0, NEVER, 2.0]])}), 0.0)) == {"a": [0, 2]}
    half = {"a": torch.tensor([[[[1.0, -NEVER, 0.0]]], [[[-NEVER] * 3]]])}
    assert gone(kept(Vectors().levels(half), 1.0)) == {"a": [3, 4, 5]}


@pytest.mark.parametrize("pattern", BLOCKS)
@given(shape=st.lists(st.integers(1, 4), min_size=2, max_size=5), seed=st.integers(0, 99), share=st.floats(0, 1))
def test_blocks_go_whole_and_the_better_ones_stay(
    pattern: type[Blocks], shape: list[int], seed: int, share: float
) -> None:
    weight = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    own = pattern()
    assert torch.equal(own.placed(own.blocks(weight), weight), weight)
    mask = kept(own.levels({"w": weight}), share)["w"]
    blocks = own.blocks(mask.float())
    assert bool(((blocks == 0).all(1) | (blocks == 1).all(1)).all())
    means = own.blocks(weight).double().mean(1)
    stay = blocks[:, 0] == 1
    if stay.any() and not stay.all():
        assert float(means[stay].min()) >= float(means[~stay].max())
    assert int(mask.sum()) <= share * weight.numel() + 1e-6


def test_what_a_block_is() -> None:
    weight = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2).float()
    assert Vectors().blocks(weight)[1].tolist() == [2, 3], "a row of a kernel"
    assert Kernels().blocks(weight)[1].tolist() == [4, 5, 6, 7], "what one channel reads of another"
    assert Columns().blocks(weight)[1].tolist() == [1, 13], "one position in all filters"
    assert len(Vectors().blocks(torch.ones(3, 5))) == 15, "a linear layer has no rows of kernels"


# -- N of M ------------------------------------------------------------------------------------------------------------


def test_two_of_four_along_the_input_channels() -> None:
    row = torch.tensor([1, -4, 3, 0.5, 2, 2.5, -0.1, 0])
    assert gone(kept(NofM().levels({"w": row.abs()[None]}), 1.0)) == {"w": [0, 3, 6, 7]}
    kernels = torch.rand(6, 8, 3, 3)
    mask = kept(NofM().levels({"w": kernels}), 1.0)["w"]
    assert bool((mask.reshape(6, 2, 4, 3, 3).sum(2) == 2).all()), "blocks lie along the input channels"
    assert not bool((mask.reshape(6, 8, 9)[:, :, :8].reshape(-1, 4).sum(1) == 2).all()), "and not inside kernels"
    assert bool(kept(NofM().levels({"w": torch.rand(6, 3, 3, 3)}), 1.0)["w"].all()), "3 is no multiple of 4"


# -- patterns inside kernels -------------------------------------------------------------------------------------------


def test_the_natural_pattern_and_the_one_that_keeps_most() -> None:
    assert natural(KERNEL) == {4, 6, 7, 8}
    known = ({4, 5, 7, 8}, {0, 1, 3, 4}, {3, 4, 6, 7}, {1, 2, 4, 5}, {3, 6, 7, 8})
    flat = KERNEL.flatten()
    norms = [float(flat[list(places)].norm()) for places in known]
    assert norms == pytest.approx([5.178, 5.021, 5.127, 5.049, 1.449], abs=1e-3)
    mask = fitted(KERNEL.reshape(1, 9), tuple(frozenset(places) for places in known))
    assert set(mask[0].nonzero().flatten().tolist()) == {4, 5, 7, 8}


def test_the_library_holds_the_most_frequent_patterns_and_each_has_the_centre() -> None:
    weak = torch.tensor([9.0, 8, 7, 1, 0, 1, 1, 1, 1]).reshape(3, 3)  # the smallest in the middle
    weights = torch.stack([KERNEL, KERNEL, weak]).reshape(3, 1, 3, 3)
    assert library([weights], 8) == (frozenset({4, 6, 7, 8}), frozenset({0, 1, 2, 4}))
    assert library([weights], 1) == (frozenset({4, 6, 7, 8}),)
    assert all(4 in places and len(places) == 4 for places in FIXED)
    assert library([torch.rand(4, 4, 1, 1)], 2) == FIXED[:2], "without kernels the fixed ones"


def kernels_of(norms: list[list[float]]) -> Tensor:
    """A kernel for every norm, all of it in the centre."""
    weight = torch.zeros(len(norms), len(norms[0]), 3, 3)
    weight[:, :, 1, 1] = torch.tensor(norms)
    return weight


def test_every_filter_keeps_as_many_kernels_or_a_layer_its_strongest() -> None:
    importance = {"first": torch.ones(2, 1, 3, 3), "w": kernels_of([[4, 3, 2, 1], [8, 7, 6, 5]])}
    for balanced, left in ((True, [[0, 1], [0, 1]]), (False, [[], [0, 1, 2, 3]])):
        mask = kept(KernelPatterns(balanced=balanced).levels(importance), 0.5)["w"]
        assert [each.nonzero().flatten().tolist() for each in mask.flatten(2).any(2)] == left


@pytest.mark.parametrize("pattern", [KernelPatterns(), KernelPatterns(6, False)], ids=str)
def test_every_kernel_has_four_entries_or_none(pattern: KernelPatterns) -> None:
    torch.manual_seed(0)
    importance = {"first": torch.rand(8, 3, 3, 3), "w": torch.rand(8, 8, 3, 3), "one": torch.rand(8, 8, 1, 1)}
    importance["head"] = torch.rand(10, 8)
    masks = kept(pattern.levels(importance), 0.6)
    counts = masks["w"].flatten(2).sum(2)
    assert set(counts.unique().tolist()) == {0, 4} and bool(masks["w"][counts > 0][:, 1, 1].all())
    assert bool(masks["first"].all()) and bool(masks["head"].all()), "the first layer and linear ones stay"
    assert int(masks["one"].sum()) <= 0.6 * 64
    known = set(FIXED) if not pattern.count else set(library(importance.values(), pattern.count))
    used = {frozenset(each.nonzero().flatten().tolist()) for each in masks["w"].reshape(64, 9)} - {frozenset()}
    assert used <= known


# -- budgets and bytes -------------------------------------------------------------------------------------------------


def test_the_weights_that_may_be_zero_are_those_that_multiply() -> None:
    model = network()
    captured = capture(model, torch.zeros(1, 1, 8, 8))
    assert list(prunable(model, captured)) == ["0.weight", "3.weight", "9.weight"]
    assert prunable(model, captured)["3.weight"] is model[3].weight
    assert shapes(captured)["3.weight"] == (12, 8, 3, 3) and shapes(captured)["9.weight"] == (10, 48)


@pytest.mark.parametrize("kind", ["macs", "parameters"])
def test_a_budget_is_kept_to_and_used_up(kind: str) -> None:
    model = network()
    captured = capture(model, torch.zeros(1, 1, 8, 8))
    levels = Elements().levels({name: weight.detach().abs() for name, weight in prunable(model, captured).items()})
    budget = Budget("macs" if kind == "macs" else "parameters", fraction=0.3)
    cost = captured.cost()
    limit = 0.3 * (cost.macs if kind == "macs" else cost.parameters)
    bill = Bill.of(model, captured)
    masks = kept(levels, share_within(levels, bill, budget, limit))
    with torch.no_grad():
        for name, mask in masks.items():
            prunable(model, captured)[name].mul_(mask)
    left = Sparsity.of(model, captured)
    found, most = (left.macs, 64) if kind == "macs" else (left.parameters, 1)  # what one more weight would cost
    assert limit - most <= found <= limit
    with pytest.raises(UserError, match="no zero can save"):
        share_within(levels, bill, Budget("parameters", amount=10), 10)


def test_bytes_of_zeros_as_stored() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(8, 64))
    found = Sparsity.of(model, capture(model, torch.zeros(1, 1, 8, 8)))
    alive = 8 + 32
    assert (found.zeros, found.weights) == (8 * 64 - 8, 8 * 64 + 32)
    assert found.parameters == found.macs + 12 == alive + 12
    assert found.dense == 4 * (8 * 64 + 32 + 12)
    assert found.bitmask == 4 * (alive + 12) + (8 * 64 + 32) // 8
    assert found.csr == 4 * (alive + 12) + 4 * alive + 4 * (9 + 5)


# -- kernels that skip zeros -------------------------------------------------------------------------------------------


def test_layers_that_skip_zeros_say_the_same() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 6, (3, 1), padding=(0, 2), dilation=(2, 1), bias=False),
        nn.Conv2d(6, 6, 3, groups=2), nn.Flatten(1), nn.Linear(198, 5),
    ).eval()  # fmt: skip
    x = torch.rand(2, 3, 18, 18)
    captured = capture(model, x)
    assert compressed(model, captured) is None, "nothing is zero"
    with torch.no_grad():
        for weight in prunable(model, captured).values():
            weight.mul_(torch.rand_like(weight) > 0.7)
    skipping = compressed(model, captured)
    assert skipping is not None and torch.allclose(skipping(x), model(x), atol=1e-5)
    kinds = [type(layer) for layer in skipping]
    assert kinds == [CompressedConv, nn.ReLU, CompressedConv, nn.Conv2d, nn.Flatten, CompressedLinear]
    assert type(model[0]) is nn.Conv2d
