"""95 % intervals for accuracies and for differences of accuracies on the same images."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from pruning_core.measuring.measures import TOP1, Drop

if TYPE_CHECKING:  # the first paint needs ``wilson`` before torch is there
    from torch import Tensor

Z = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


def wilson(hits: int, images: int) -> tuple[float, float]:
    """Wilson's score interval for ``hits`` of ``images`` (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927).

    It stays inside [0, 1] and keeps its width when all or none are right, where the textbook interval vanishes.
    """
    if images < 1:
        raise ValueError("an interval needs at least one image")
    share, z2n = hits / images, Z * Z / images
    centre = (share + z2n / 2) / (1 + z2n)
    half = Z * sqrt(share * (1 - share) / images + z2n / (4 * images)) / (1 + z2n)
    # At the ends the formula meets 0 and 1 but for rounding; the interval always holds what was measured.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def paired_bounds(lost: int, gained: int, images: int) -> tuple[float, float]:
    """The interval of the drop (lost - gained) / images when both networks saw the same images.

    Bonett and Price's adjusted Wald interval (J. Educ. Behav. Stat. 37, 2012): with one image added to each kind of
    disagreement, p = (lost + 1) / (n + 2) and q = (gained + 1) / (n + 2), it is
    (p - q) ± z sqrt((p + q - (p - q)^2) / (n + 2)).

    Pairing matters: only images on which the networks disagree count, so it is much narrower than two separate
    intervals. Where they never disagree it is ± z sqrt(2) / (n + 2), not zero: unseen images could differ.
    """
    if images < 1:
        raise ValueError("an interval needs at least one image")
    p, q, n = (lost + 1) / (images + 2), (gained + 1) / (images + 2), images + 2
    centre, half = p - q, Z * sqrt((p + q - (p - q) ** 2) / n)
    return max(-1.0, centre - half), min(1.0, centre + half)


def paired_drop(correct_base: Tensor, correct_new: Tensor, measure: str = TOP1) -> Drop:
    """Accuracy lost from base to new; both bool (N,), the same images in the same order. ``measure`` is its key."""
    if correct_base.shape != correct_new.shape or correct_base.ndim != 1:
        raise ValueError("a paired drop needs the same images on both sides, as (N,)")
    base, new = correct_base.bool().cpu(), correct_new.bool().cpu()
    lost, gained, images = int((base & ~new).sum()), int((new & ~base).sum()), len(base)
    low, high = paired_bounds(lost, gained, images)
    return Drop((lost - gained) / images, low, high, lost, gained, images, measure)


def unpaired_bounds(
    first: float, first_range: tuple[float, float], second: float, second_range: tuple[float, float]
) -> tuple[float, float]:
    """The interval of first - second from each accuracy with its own Wilson interval.

    Newcombe's hybrid score interval (Stat. Med. 17, 1998, method 10). It does not use that both networks saw the same
    images, so it is wider than ``paired_bounds``; for where only the counts are known.
    """
    low = first - second - sqrt((first - first_range[0]) ** 2 + (second_range[1] - second) ** 2)
    high = first - second + sqrt((first_range[1] - first) ** 2 + (second - second_range[0]) ** 2)
    return max(-1.0, low), min(1.0, high)
