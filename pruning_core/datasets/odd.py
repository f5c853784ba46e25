"""What looks odd about a decoded set as a whole: copies, classes without images, pictures that show nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.datasets.findings import Finding, copies, labels, numbers, pixels
from pruning_core.datasets.raw import Raw

CHUNK = 1 << 24  # bytes of images looked at together
UNEQUAL = 10  # times as many images in one class as in another
DARK = 64  # a brightest byte below this wastes two bits and more
Numbers = NDArray[np.int64]


def look(raw: Raw) -> tuple[Finding, ...]:
    """Everything odd about the images and labels of ``raw``, beside what its reader found."""
    if raw.images.dtype == torch.uint8:
        return (*_classes(raw), *_pixels(raw), *_copies(raw))
    return (*_classes(raw), *_constant(raw), *_rows(raw))


# -- classes -----------------------------------------------------------------------------------------------------------


def _classes(raw: Raw) -> list[Finding]:
    if not raw.classes:
        return []
    counts = {"training" if raw.test_labels is not None else "": raw.labels}
    if raw.test_labels is not None:
        counts["test"] = raw.test_labels
    found: list[Finding] = []
    for part, given in counts.items():
        many = torch.bincount(given, minlength=len(raw.classes))
        empty = tuple(raw.classes[int(at)] for at in torch.nonzero(many == 0).flatten())
        if empty:
            found.append(labels.Missing(part, empty, len(raw.classes)))
    many = torch.bincount(raw.labels, minlength=len(raw.classes))
    least = int(torch.where(many > 0, many, many.max()).argmin())
    most = int(many.argmax())
    if int(many[most]) >= UNEQUAL * int(many[least]):
        shares = float(many[most] / many.sum())
        found.append(
            labels.Unequal(raw.classes[least], int(many[least]), raw.classes[most], int(many[most]), round(shares, 4))
        )
    return found


# -- pixels ------------------------------------------------------------------------------------------------------------


def _pixels(raw: Raw) -> list[Finding]:
    total = blank = largest = 0
    grey, one = raw.images.shape[1] == 3, True
    for part in _chunks(raw):
        flat = part.flatten(2)  # (n, C, H * W)
        highest = flat.amax(2)
        blank += int((highest == flat.amin(2)).all(1).sum())
        total, largest = total + len(part), max(largest, int(highest.max()))
        grey = grey and bool((part[:, :1] == part[:, 1:]).all())
        one = one and bool((part == raw.images[:1]).all())
    found: list[Finding] = []
    if one and total > 1:
        return [copies.AllEqual(total, largest == 0)]
    if blank and flat.shape[2] > 1:
        found.append(copies.Blank(blank, total))
    if 1 < largest < DARK:
        found.append(pixels.TooDark(largest))
    if grey:
        found.append(pixels.GreyAsColour())
    return found


# -- what is no picture ------------------------------------------------------------------------------------------------


def _constant(raw: Raw) -> list[Finding]:
    """Columns that tell nothing."""
    if raw.images.ndim != 2:
        return []
    still = torch.nonzero(raw.images.amin(0) == raw.images.amax(0)).flatten()
    return [numbers.Constant(len(still), raw.images.shape[1], int(still[0]) + 1)] if len(still) else []


def _rows(raw: Raw) -> list[Finding]:
    pairs = _pairs(raw)
    if len(pairs.copy) == 0:
        return []
    total = len(raw.labels) + (0 if raw.test_labels is None else len(raw.test_labels))
    given = raw.labels if raw.test_labels is None else torch.cat([raw.labels, raw.test_labels])
    apart = 0
    if given.numel():
        other = given[torch.from_numpy(pairs.copy)] != given[torch.from_numpy(pairs.of)]
        apart = int(other.reshape(len(other), -1).any(1).sum())
    return [numbers.RepeatedRows(len(pairs.copy), total, apart)]


# -- copies ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pair:
    """Images (n,) that are copies, and of which (n,): the first of their kind. Numbers count training images first."""

    copy: Numbers
    of: Numbers


def _copies(raw: Raw) -> list[Finding]:
    pairs = _pairs(raw)
    if len(pairs.copy) == 0:
        return []
    parts = (raw.labels,) if raw.test_labels is None else (raw.labels, raw.test_labels)
    train, total = len(raw.images), sum(map(len, parts))
    given = torch.cat(parts).numpy() if raw.classes else np.zeros(total)
    if len(pairs.copy) == total - 1:
        return []  # all of them are one picture, which is said already
    found: list[Finding] = []
    other_class = given[pairs.copy] != given[pairs.of]
    if other_class.any():
        torn = np.isin(pairs.of, pairs.of[other_class])  # every copy of a picture that has two labels
        count = int(torn.sum()) + len(np.unique(pairs.of[torn]))
        at = int(np.flatnonzero(other_class)[0])
        found.append(copies.Contradictory(count, total, _example(raw, pairs, at)))
    leaked = (pairs.copy >= train) & (pairs.of < train)
    if leaked.any():
        at = int(np.flatnonzero(leaked)[0])
        found.append(copies.Leaked(int(leaked.sum()), total - train, _example(raw, pairs, at)))
    plain = ~other_class & ~leaked
    if plain.any():
        found.append(copies.Repeated(int(plain.sum()), total, divided=raw.test_labels is None))
    return found


def _example(raw: Raw, pairs: _Pair, at: int) -> tuple[str, str]:
    return raw.called(int(pairs.copy[at])), raw.called(int(pairs.of[at]))


def _pairs(raw: Raw) -> _Pair:
    """Copies by a hash of the pixels, each compared with its original: a hash alone could be forged."""
    hashes = np.concatenate([_hashes(part) for part in _chunks(raw)])
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.r_[True, hashes[order][1:] != hashes[order][:-1]])
    first = np.repeat(order[starts], np.diff(np.r_[starts, len(order)]))
    again = first != order
    copy, of = order[again], first[again]
    step = max(1, CHUNK // max(1, raw.images[0].numel()))
    same = [
        (_taken(raw, copy[at : at + step]) == _taken(raw, of[at : at + step])).flatten(1).all(1).numpy()
        for at in range(0, len(copy), step)
    ]
    kept = np.concatenate(same) if same else np.zeros(0, dtype=bool)
    return _Pair(copy[kept], of[kept])


def _hashes(images: Tensor) -> NDArray[np.uint64]:
    """(n,): a sum of the bytes in words of eight, each times an odd number of its own."""
    flat = images.flatten(1).contiguous().numpy().view(np.uint8)
    words = np.zeros((len(flat), -(-flat.shape[1] // 8) * 8), dtype=np.uint8)
    words[:, : flat.shape[1]] = flat
    factors = np.random.default_rng(0).integers(2**63, size=words.shape[1] // 8, dtype=np.uint64) * 2 + 1
    return (words.view(np.uint64) * factors).sum(1, dtype=np.uint64)


def _taken(raw: Raw, at: Numbers) -> Tensor:
    """The images with these numbers."""
    if raw.test_images is None:
        return raw.images[torch.from_numpy(at)]
    train = len(raw.images)
    out = torch.empty((len(at), *raw.images.shape[1:]), dtype=raw.images.dtype)
    testing = torch.from_numpy(at >= train)
    out[~testing] = raw.images[torch.from_numpy(at[at < train])]
    out[testing] = raw.test_images[torch.from_numpy(at[at >= train] - train)]
    return out


def _chunks(raw: Raw) -> list[Tensor]:
    """Views of all images, training images first, small enough to compute with."""
    parts = [raw.images] if raw.test_images is None else [raw.images, raw.test_images]
    step = max(1, CHUNK // max(1, raw.images[0].numel()))
    return [piece for part in parts for piece in part.split(step)]
