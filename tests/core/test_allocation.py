"""The allocations against oracles worked by hand, and what limits make of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning_core.allocation.budget import allocate
from pruning_core.allocation.by_hand import ByHand
from pruning_core.allocation.by_sensitivity import BySensitivity
from pruning_core.allocation.global_threshold import NORMALISE, GlobalThreshold
from pruning_core.allocation.isomorphic import classes
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.strategies import ALLOCATIONS
from pruning_core.allocation.uniform import Uniform
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from tests.core.allocation_nets import chain_network, normed_network, random_scores, residual_network


def test_lowest_is_stable_and_breaks_ties_by_index():
    scores = torch.tensor([2.0, 1.0, 1.0, 3.0, 1.0])
    assert lowest(scores, 0) == ()
    assert lowest(scores, 2) == (1, 2)
    assert lowest(scores, 4) == (0, 1, 2, 4)


def test_lowest_keeps_a_channel():
    with pytest.raises(ValueError, match="at least one"):
        lowest(torch.rand(3), 3)


@given(st.integers(1, 4096), st.integers(0, 99))
def test_removed_count_is_the_floor_of_the_decimal_ratio(size, percent):
    """29 % of 100 is 29, although 0.29 * 100 is 28.999… in floating point."""
    assert removed_count(percent / 100, size) == min(size - 1, percent * size // 100)


def test_uniform_removes_the_same_share_of_every_group():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    done = allocate(Uniform(0.3), pool)
    assert done.counts() == {"stem": 4, "a1": 7, "b1": 2}  # floor of 4.8, 7.2 and 2.4
    for key, units in done.plan.items():
        assert units == lowest(random_scores(network)[key], len(units))
    assert done.cost == network.cost(done.plan)


def test_by_hand_takes_each_ratio_and_leaves_the_rest():
    network = residual_network()
    pool = Pool.of(network, random_scores(network))
    assert allocate(ByHand({"a1": 0.5, "b1": 0.99}), pool).counts() == {"a1": 12, "b1": 7}
    assert allocate(ByHand({"a1": 0.5, "b1": 0.25}, factor=0.5), pool).counts() == {"a1": 6, "b1": 1}


def test_by_hand_refuses_whole_layers_and_unknown_ones():
    with pytest.raises(UserError, match=r"\[0, 1\)"):
        ByHand({"a1": 1.0})
    pool = Pool.of(residual_network(), random_scores(residual_network()))
    with pytest.raises(UserError, match="no group named 'nowhere'"):
        allocate(ByHand({"nowhere": 0.5}), pool)


SENSITIVITY = {"0": [(0.1, 0.001), (0.3, 0.004), (0.5, 0.02)], "3": [(0.1, 0.01), (0.3, 0.05), (0.5, 0.2)]}


@pytest.mark.parametrize(("interpolate", "first", "second"), [(False, 30, 10), (True, 37, 10)])
def test_sensitivity_gives_each_layer_what_costs_the_same(interpolate, first, second):
    """The sheet's oracle: at a drop of .01 layer A loses .3 and B .1; on the line to (.5, .02) A reaches .375."""
    network = chain_network(100, 100)
    pool = Pool.of(network, random_scores(network))
    done = allocate(BySensitivity(SENSITIVITY, tolerance=0.01, interpolate=interpolate), pool)
    assert done.counts() == {"0": first, "3": second}


def test_sensitivity_never_goes_beyond_what_was_measured():
    network = chain_network(100, 100)
    pool = Pool.of(network, random_scores(network))
    assert allocate(BySensitivity(SENSITIVITY, tolerance=0.5), pool).counts() == {"0": 50, "3": 50}
    assert allocate(BySensitivity({"0": SENSITIVITY["0"]}, tolerance=0.5), pool).counts() == {"0": 50}


def test_sensitivity_takes_the_largest_tolerated_ratio_of_a_noisy_curve():
    network = chain_network(100, 100)
    pool = Pool.of(network, random_scores(network))
    noisy = {"0": [(0.2, 0.03), (0.4, -0.01), (0.6, 0.05)]}
    assert allocate(BySensitivity(noisy, tolerance=0.0, interpolate=False), pool).counts() == {"0": 40}


def test_sensitivity_needs_a_measurement():
    network = chain_network(100, 100)
    pool = Pool.of(network, random_scores(network))
    with pytest.raises(UserError, match="sensitivity sweep"):
        allocate(BySensitivity(), pool)


def two_layers(a: list[float], b: list[float]) -> Pool:
    return Pool.of(chain_network(len(a), len(b)), {"0": torch.tensor(a), "3": torch.tensor(b)})


def test_a_global_threshold_never_empties_a_layer():
    """The sheet's oracle: raw scores A [.1, .2], B [1, 2] at 50 % would empty A; one is kept, so A0 and B0 go."""
    done = allocate(GlobalThreshold(0.5, normalise="none", floor=0.0), two_layers([0.1, 0.2], [1.0, 2.0]))
    assert done.plan == Plan({"0": [0], "3": [0]})


def test_a_global_threshold_cuts_where_the_scores_are_low():
    pool = two_layers([0.1, 0.2, 0.3, 0.4], [1.0, 5.0, 2.0, 9.0])
    assert allocate(GlobalThreshold(0.5, "none", floor=0.0), pool).plan == Plan({"0": [0, 1, 2], "3": [0]})
    # divided by their means .25 and 4.25: A .4 .8 1.2 1.6, B .24 1.18 .47 2.1
    assert allocate(GlobalThreshold(0.5, "mean", floor=0.0), pool).plan == Plan({"0": [0, 1], "3": [0, 2]})
    # divided by their largest: A .25 .5 .75 1, B .11 .56 .22 1
    assert allocate(GlobalThreshold(0.25, "max", floor=0.0), pool).plan == Plan({"3": [0, 2]})
    # at most half of each layer may go
    assert allocate(GlobalThreshold(0.5, "none", floor=0.5), pool).plan == Plan({"0": [0, 1], "3": [0, 2]})


def test_the_criterion_says_what_is_fair_unless_somebody_else_does():
    pool = two_layers([0.1, 0.2, 0.3, 0.4], [1.0, 5.0, 2.0, 9.0])
    values = {key: torch.as_tensor(scores) for key, scores in pool.values.items()}
    for by in ("none", "mean", "max"):
        fair = Pool.of(pool.network, values, fair=by)
        named = allocate(GlobalThreshold(0.5, by, floor=0.0), pool).plan
        assert allocate(GlobalThreshold(0.5, floor=0.0), fair).plan == named
        assert allocate(GlobalThreshold(0.5, "none", floor=0.0), fair).plan == Plan({"0": [0, 1, 2], "3": [0]})


@pytest.mark.parametrize("normalise", sorted(NORMALISE))
def test_a_normalisation_keeps_the_order_within_a_layer(normalise):
    scores = torch.randn(50, dtype=torch.float64).numpy()
    assert (NORMALISE[normalise](scores).argsort() == scores.argsort()).all()
    zeros = torch.zeros(5, dtype=torch.float64).numpy()
    assert abs(NORMALISE[normalise](zeros)).max() < 1  # nothing is divided by zero


@pytest.mark.parametrize("normalise", ["mean", "L2", "max", "rank"])
def test_a_normalised_threshold_does_not_care_for_the_scale_of_a_layer(normalise):
    network = residual_network()
    scores = random_scores(network)
    larger = {**scores, "a1": scores["a1"] * 1000}
    allocation = GlobalThreshold(0.5, normalise)
    assert allocate(allocation, Pool.of(network, scores)).plan == allocate(allocation, Pool.of(network, larger)).plan


def test_a_cost_penalty_moves_removal_to_costly_layers():
    network = chain_network(16, 8)
    pool = Pool.of(network, random_scores(network))
    assert pool.macs_per_channel["0"] == 8 * 8 * 9 * (1 + 8)  # its own 9 weights and the 8 x 9 that read it
    assert pool.macs_per_channel["3"] == 8 * 8 * 9 * 16 + 4
    plain, priced = (allocate(GlobalThreshold(0.5, penalty=p), pool).counts() for p in (0.0, 1.0))
    assert priced["3"] > plain["3"]
    assert sum(priced.values()) == sum(plain.values())


def test_isomorphic_layers_are_ranked_among_themselves():
    network = chain_network(8, 8, 8)
    assert classes(network, ["0", "3", "6"]) == [("0", "3"), ("6",)]  # the last one is read by a linear layer
    scores = {"0": torch.arange(8.0), "3": torch.arange(8.0) + 100, "6": torch.arange(8.0) + 1000}
    done = allocate(GlobalThreshold(0.5, "none", floor=0.0, isomorphic=True), Pool.of(network, scores))
    assert done.counts() == {"0": 7, "3": 1, "6": 4}


def test_kept_channels_are_rounded_up_and_it_is_said():
    network = residual_network()
    pool = Pool.of(network, random_scores(network), Limits(multiple=8))
    done = allocate(Uniform(0.4), pool)  # keeps 10 of 16 and 15 of 24; 8 of 8 are one multiple
    assert done.counts() == {"a1": 8}
    assert any("multiples of 8" in note and "7 channels more" in note for note in done.notes)
    assert any("1 group is left whole" in note for note in done.notes)


def test_protected_groups_are_left_alone():
    network = residual_network()
    done = allocate(Uniform(0.5), Pool.of(network, random_scores(network), Limits(protected=("stem",))))
    assert set(done.plan) == {"a1", "b1"}
    assert done.notes == ("1 group is protected.",)


def test_caps_and_floors_hold_back():
    network = residual_network()
    pool = Pool.of(network, random_scores(network), Limits(floor=0.3, caps={"a1": 0.25}))
    done = allocate(Uniform(0.95), pool)
    assert done.counts() == {"stem": 11, "a1": 6, "b1": 5}
    assert any("holds back 3 groups" in note for note in done.notes)


def test_approximate_groups_are_pruned_only_when_asked():
    network = normed_network()
    scores = random_scores(network)
    inexact = {g.key for g in network.groups if not g.exact}
    assert inexact
    assert not inexact & set(allocate(Uniform(0.5), Pool.of(network, scores)).plan)
    assert inexact < set(allocate(Uniform(0.5), Pool.of(network, scores, Limits(approximate=True))).plan)


def test_limits_that_leave_nothing_are_a_sentence():
    network = residual_network()
    with pytest.raises(UserError, match="No layer of this network may lose a channel"):
        Pool.of(network, random_scores(network), Limits(multiple=32))
    with pytest.raises(UserError, match="no group named"):
        Pool.of(network, random_scores(network), Limits(protected=("nowhere",)))
    with pytest.raises(UserError, match=r"\[0, 1\)"):
        Limits(caps={"a1": 1.0})


def test_scores_must_fit_and_be_finite():
    network = residual_network()
    scores = random_scores(network)
    with pytest.raises(UserError, match="24 channels"):
        Pool.of(network, {**scores, "a1": torch.rand(3)})
    with pytest.raises(UserError, match="not all finite"):
        Pool.of(network, {**scores, "a1": torch.full((24,), float("nan"))})


def test_groups_without_scores_keep_all_and_it_is_said():
    network = residual_network()
    scores = random_scores(network)
    del scores["b1"]
    done = allocate(Uniform(0.5), Pool.of(network, scores))
    assert "b1" not in done.plan
    assert any("not be judged" in note for note in done.notes)


def test_every_allocation_says_what_it_is():
    keys = [cls.card.key for cls in ALLOCATIONS]
    assert len(set(keys)) == len(keys)
    for cls in ALLOCATIONS:
        assert cls.__doc__
        assert hasattr(cls(), cls.strength)
        assert all((cls.card.name, cls.card.idea, cls.card.formula, cls.card.cost, cls.card.fails))
