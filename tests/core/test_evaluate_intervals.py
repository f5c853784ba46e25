"""The intervals, against published values, exact coverage and their own symmetries."""

from __future__ import annotations

from math import comb, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pruning_core.measuring.intervals import Z, paired_bounds, paired_drop, wilson

COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
@settings(deadline=None)
def test_wilson_is_the_score_interval(counts: tuple[int, int]) -> None:
    hits, images = counts
    expected = binomtest(hits, images).proportion_ci(0.95, "wilson")
    low, high = wilson(hits, images)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0.0 <= low <= hits / images <= high <= 1.0 and high > low


def test_wilson_worked_by_hand() -> None:
    # Newcombe, Stat. Med. 17 (1998), table I, method 3: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_a_paired_interval_holds_the_drop_and_mirrors(counts: tuple[int, int, int]) -> None:
    lost, gained, images = counts[0], min(counts[1], counts[2] - counts[0]), counts[2]
    low, high = paired_bounds(lost, gained, images)
    assert -1.0 <= low <= (lost - gained) / images <= high <= 1.0 and high > low
    assert paired_bounds(gained, lost, images) == pytest.approx((-high, -low))


def test_without_disagreement_the_interval_is_narrow_but_not_zero() -> None:
    low, high = paired_bounds(0, 0, 448)
    assert high == -low == pytest.approx(Z * sqrt(2) / 450)


def test_a_paired_interval_is_narrower_than_two_separate_ones() -> None:
    lost, gained, images = 12, 3, 500
    low, high = paired_bounds(lost, gained, images)
    apart = [b - a for a, b in (wilson(450, images), wilson(441, images))]
    assert high - low < sum(apart) / 2


@pytest.mark.parametrize(("p", "q"), [(0.02, 0.02), (0.1, 0.02), (0.3, 0.05), (0.05, 0.0), (0.002, 0.002)])
def test_coverage_is_at_least_94_percent(p: float, q: float) -> None:
    """Exact: the probability, over all outcomes of 80 images, that the interval holds the true drop."""
    images, covered = 80, 0.0
    for lost in range(images + 1):
        for gained in range(images - lost + 1):
            same = images - lost - gained
            chance = comb(images, lost) * comb(images - lost, gained) * p**lost * q**gained * (1 - p - q) ** same
            low, high = paired_bounds(lost, gained, images)
            covered += chance * (low <= p - q <= high)
    assert covered >= 0.94


def test_paired_drop_counts_disagreements() -> None:
    base = torch.tensor([1, 1, 1, 0, 0, 1], dtype=torch.bool)
    new = torch.tensor([1, 0, 0, 1, 0, 1], dtype=torch.bool)
    drop = paired_drop(base, new)
    assert (drop.lost, drop.gained, drop.images, drop.drop) == (2, 1, 6, pytest.approx(1 / 6))
    assert (drop.low, drop.high) == paired_bounds(2, 1, 6) and drop.within_noise
    assert not paired_drop(torch.ones(200).bool(), torch.arange(200) > 40).within_noise
    with pytest.raises(ValueError, match="same images"):
        paired_drop(base, new[:3])
    for empty in (lambda: wilson(0, 0), lambda: paired_bounds(0, 0, 0)):
        with pytest.raises(ValueError, match="at least one"):
            empty()
