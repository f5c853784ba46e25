"""Average precision of detections as COCO defines it, of any weighting of the images.

Source: Lin et al., Microsoft COCO, ECCV 2014, and its reference code: of each class detections are sorted by score over
all images, each takes the free box of its class that it overlaps most, and precision, made falling, is read at 101
recalls; the mean is over classes that occur and over overlaps (IoU) of 0.5, 0.55 … 0.95. Boxes that stand for a crowd
count neither way. Which detection takes which box is a matter of one image, so that it is found out once and images can
be counted as often as a bootstrap wants.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pruning_core.numeric.detections import MOST, Detections

OVERLAPS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # to the bit as the reference has them
RECALLS = torch.from_numpy(np.linspace(0, 1, 101))
SHIFT = 2 * len(OVERLAPS)  # bits of a code below the class
AT_ONCE = 4_000_000  # numbers of one piece of a table (draws, detections)


def rows(found: Detections, targets: Tensor) -> Tensor:
    """(n, 200 + M) float64: scores, codes, then the classes of what is to be found, -1 where there is none.

    targets (n, M, 6): corners, class (-1: none), 1 for a crowd. A code is 0 for no detection, else class + 1 in its
    upper bits, and below at which overlaps it takes nothing that counts, and at which it takes a box.
    """
    hits, aside = matched(found, targets)
    bits = 1 << torch.arange(len(OVERLAPS))
    codes = (((found.classes + 1) << len(OVERLAPS)) + (aside * bits).sum(2) << len(OVERLAPS)) + (hits * bits).sum(2)
    codes = torch.where(found.classes >= 0, codes, 0)
    wanted = torch.where(targets[..., 5] == 0, targets[..., 4], -1.0)
    return torch.cat([found.scores, codes.double(), wanted.double()], 1)


def matched(found: Detections, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Two bool (n, 100, 10), by overlap: whether a detection takes a box, and whether it takes a crowd instead."""
    boxes, kinds = targets[..., :4].double(), targets[..., 4].long()
    crowd, there = targets[..., 5] > 0, kinds >= 0
    shares = _overlaps(found.boxes, boxes, crowd)  # (n, 100, M)
    shares = torch.where((found.classes[:, :, None] == kinds[:, None]) & there[:, None], shares, -1.0)
    least = torch.tensor(OVERLAPS, dtype=torch.float64)[None, :, None]
    free = (there & ~crowd)[:, None].repeat(1, len(OVERLAPS), 1)
    hits = torch.zeros(len(boxes), MOST, len(OVERLAPS), dtype=torch.bool)
    aside = torch.zeros_like(hits)
    if not boxes.shape[1]:
        return hits, aside
    for at in range(MOST):
        share = shares[:, at][:, None]
        near = share >= least
        able = torch.where(near & free, share, -1.0)
        best = able.shape[2] - 1 - able.flip(2).argmax(2)  # of equals the last, as the reference has it
        hits[:, at] = able.amax(2) >= 0
        free.scatter_(2, best[..., None], free.gather(2, best[..., None]) & ~hits[:, at][..., None])
        aside[:, at] = ~hits[:, at] & (near & crowd[:, None]).any(2)
    return hits, aside


def _overlaps(given: Tensor, wanted: Tensor, crowd: Tensor) -> Tensor:
    """(n, D, 4) and (n, M, 4) -> (n, D, M): intersection over union, and over the given box alone for a crowd."""
    low = torch.maximum(given[:, :, None, :2], wanted[:, None, :, :2])
    high = torch.minimum(given[:, :, None, 2:], wanted[:, None, :, 2:])
    both = (high - low).clamp_min(0).prod(3)
    own, other = _areas(given)[:, :, None], _areas(wanted)[:, None]
    either = torch.where(crowd[:, None], own.expand_as(both), own + other - both)
    return torch.where(either > 0, both / either, 0.0)


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1)


def value(rows: Tensor, weights: Tensor, overlaps: int = len(OVERLAPS)) -> Tensor:
    """Rows (N, 200 + M), counted ``weights`` (B, N) times each -> (B,), over the first so many overlaps.

    0 where there is nothing to be found in any image.
    """
    scores, codes, wanted = rows[:, :MOST], rows[:, MOST : 2 * MOST].long(), rows[:, 2 * MOST :]
    images = torch.arange(len(rows))[:, None].expand_as(codes)
    there = codes > 0
    order = scores[there].argsort(descending=True, stable=True)
    codes, images = codes[there][order], images[there][order]
    kinds = (codes >> SHIFT) - 1
    found = []
    for kind in wanted[wanted >= 0].unique().tolist():
        many = weights @ (wanted == kind).sum(1).double()
        mine = kinds == int(kind)
        found.append(_of_class(codes[mine], images[mine], weights, many, overlaps))
    return torch.stack(found).nanmean(0) if found else torch.zeros(len(weights), dtype=torch.float64)


def _of_class(codes: Tensor, images: Tensor, weights: Tensor, many: Tensor, overlaps: int) -> Tensor:
    """Of detections (D,) by falling score -> (B,); NaN where a sample has none (``many`` is 0) to be found."""
    taking = (codes & ((1 << overlaps) - 1)) > 0
    last = int(taking.nonzero().max()) + 1 if bool(taking.any()) else 0  # what comes after the last hit changes nothing
    codes, images = codes[:last], images[:last]
    each = max(1, AT_ONCE // max(1, last))
    parts = [_of_draws(codes, w[:, images], m, overlaps) for w, m in zip(weights.split(each), many.split(each))]
    return torch.cat(parts)


def _of_draws(codes: Tensor, counted: Tensor, many: Tensor, overlaps: int) -> Tensor:
    before = counted.cumsum(1)
    total = torch.zeros(len(counted), dtype=torch.float64)
    for overlap in range(overlaps):
        at = ((codes >> overlap) & 1).nonzero().flatten()
        if len(at):
            aside = (codes >> (len(OVERLAPS) + overlap)) & 1
            seen = before[:, at]
            if bool(aside.any()):
                seen = seen - (counted * aside).cumsum(1)[:, at]
            total += _read(counted[:, at].cumsum(1), seen, many)
    return torch.where(many > 0, total / overlaps, torch.nan)


def _read(right: Tensor, seen: Tensor, many: Tensor) -> Tensor:
    """Hits and detections so far (B, T), at every hit, and how many there are to be found (B,) -> mean precision."""
    falling = (right / seen.clamp_min(1)).flip(1).cummax(1).values.flip(1)
    recalls = right / many.clamp_min(1)[:, None]
    places = torch.searchsorted(recalls, RECALLS.expand(len(recalls), -1).contiguous())
    return torch.cat([falling, torch.zeros(len(falling), 1, dtype=torch.float64)], 1).gather(1, places).mean(1)


def of_class(rows: Tensor, kind: int) -> Tensor:
    """Rows (N, 200 + M) as if there were things of the class ``kind`` alone."""
    codes, wanted = rows[:, MOST : 2 * MOST].long(), rows[:, 2 * MOST :]
    codes = torch.where((codes >> SHIFT) - 1 == kind, codes, 0)
    return torch.cat([rows[:, :MOST], codes.double(), torch.where(wanted == kind, wanted, -1.0)], 1)


def found_in(rows: Tensor, least: float) -> Tensor:
    """Rows (N, 200 + M) -> (N,): around how many things of each image lies a box of their class, with an overlap of
    half at least and a score of ``least`` at least."""
    codes = rows[:, MOST : 2 * MOST].long()
    return ((rows[:, :MOST] >= least) & ((codes & 1) > 0)).sum(1)


def to_find(rows: Tensor) -> Tensor:
    """Rows (N, 200 + M) -> (N,): how many things there are in each image."""
    return (rows[:, 2 * MOST :] >= 0).sum(1)
