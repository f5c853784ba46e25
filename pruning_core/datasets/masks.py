"""The number of a class at every pixel, as a picture stores it: grey levels, or places in a palette."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pruning_core.datasets import images
from pruning_core.datasets.findings import Finding, places
from pruning_core.datasets.pictures import EVERY, Pictures
from pruning_core.datasets.raw import Progress
from pruning_core.datasets.targets import NOBODY
from pruning_core.errors import UserError, quoted
from pruning_core.storage.memory import must_fit

LOSSY = "JPEG"


def decoded(
    source: Pictures, sides: Sequence[tuple[int, int]], size: tuple[int, int], name: str, progress: Progress
) -> tuple[Tensor, tuple[Finding, ...]]:
    """uint8 (N, H, W) of ``size``, each brought to it by nearest pixels; and what there is to say of them.

    sides: (H, W) of the image that each mask belongs to, which it must have too. Raises UserError naming the mask that
    has other sides, colours, numbers beyond a byte, or was packed with loss.
    """
    must_fit(2 * len(source) * size[0] * size[1], f"The masks of {name!r}", "Send fewer or smaller images.")
    out = np.empty((len(source), *size), dtype=np.uint8)
    counts = np.zeros(256, dtype=np.int64)
    for at, expected in enumerate(sides):
        mask = _numbers(source.name(at), source.data(at), expected)
        counts += np.bincount(mask.ravel(), minlength=256)
        if mask.shape != size:
            mask = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
        out[at] = mask
        if at % EVERY == 0:
            progress("decoding masks", at, len(source))
    found: list[Finding] = []
    if counts[0] and counts[NOBODY] and not counts[1:NOBODY].any():
        np.minimum(out, 1, out=out)
        counts[1], counts[NOBODY] = counts[NOBODY], 0
        found.append(places.BlackAndWhite())
    known = np.flatnonzero(counts[:NOBODY])
    if not len(known):
        raise UserError(f"All pixels of all masks of {name!r} are {NOBODY}, which says that nobody labelled them.")
    unknown = round(float(counts[NOBODY] / counts.sum()), 6)
    found.insert(0, places.Masks(len(known), int(known[0]), int(known[-1]), unknown))
    return torch.from_numpy(out), tuple(found)


def _numbers(name: str, data: bytes, sides: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W)."""
    header = images.header(name, data)
    if (header.height, header.width) != sides:
        raise UserError(
            f"The mask {quoted(name)} has {header.width} × {header.height} pixels and its image {sides[1]} × "
            f"{sides[0]}. Store both at one size."
        )
    if header.format == LOSSY:
        raise UserError(
            f"The mask {quoted(name)} is a JPEG, which changes the numbers of classes a little. Store masks as PNG."
        )
    values = images.stored(name, data)
    if values.ndim == 3 and (values[..., :1] == values).all():
        values = values[..., 0]
    if values.ndim == 3:
        raise UserError(
            f"The mask {quoted(name)} is in colour, and which class a colour stands for is not said. Store it in grey "
            f"or with a palette: the number of the class at each pixel, {NOBODY} where nobody labelled it."
        )
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > NOBODY:
        raise UserError(
            f"The mask {quoted(name)} holds numbers from {values.min():g} to {values.max():g}. A pixel is the number "
            f"of its class from 0 to {NOBODY - 1}, or {NOBODY} where nobody labelled it."
        )
    return values.astype(np.uint8)
