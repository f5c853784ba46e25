"""Scores of quick arithmetic that are trusted only where they are clear; the rest is computed again precisely.

An image is doubtful where its two best classes are nearer than ``SAFETY`` times the largest error of the best class's
lead that was seen so far. Leads and errors are shares of an image's largest score, because rounding errs in proportion:
a removal that shrinks all scores shrinks the errors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SAFETY = 2.0
SAMPLE = 4  # the least clear images, computed again in any case: they tell how wrong this removal's scores are
FINE = 1e-3  # what only float32 keeps below: of a removal with such errors one sample is enough


def rechecked(
    rough: Tensor, error: float, again: Callable[[Tensor], Tensor], known: float | None = None
) -> tuple[Tensor, float]:
    """``rough`` (n, K) with the scores of doubtful images replaced; and the largest error known now.

    error: of the unpruned network's scores, from ``error_of``. again: takes (m,) image numbers in rising order, gives
    their (m, K) precise scores. known: what this returned for the same removal on other images, if it did.
    """
    sample = 0 if known is not None and known < FINE else SAMPLE
    error = max(error, known or 0.0)
    rough = rough.clone()
    best = rough.topk(2, dim=1).values
    leads = (best[:, 0] - best[:, 1]) / _largest(rough)
    order = leads.argsort()
    checked = 0
    while checked < len(order):
        doubtful = max(int((leads < SAFETY * error).sum()), sample if checked == 0 else 0)
        if doubtful <= checked:
            break
        rows = order[checked:doubtful].sort().values
        sure = again(rows)
        error = max(error, error_of(rough[rows], sure))
        rough[rows] = sure
        checked = doubtful
    return rough, error


def error_of(rough: Tensor, sure: Tensor) -> float:
    """How wrong ``rough`` (n, K) is at most about its best class's lead over another, as a share; 0 for no image."""
    best = rough.argmax(1, keepdim=True)
    wrong = rough - sure
    shares = (wrong.gather(1, best) - wrong).abs().amax(1) / _largest(rough)
    return float(shares.max()) if len(shares) else 0.0


def _largest(scores: Tensor) -> Tensor:
    """(n, K) -> (n,): how far the most extreme class is from the mean of all; only differences matter."""
    away = (scores - scores.mean(dim=1, keepdim=True)).abs().amax(1)
    return away.clamp_min(torch.finfo(away.dtype).tiny)
