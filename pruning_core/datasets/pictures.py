"""Many pictures into one tensor: headers first, so that size and memory are known before a pixel is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median_low
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pruning_core.datasets import images
from pruning_core.datasets.findings import Finding, pixels
from pruning_core.datasets.images import COLOUR_MODES, Header, Kind
from pruning_core.datasets.levels import BYTES, Levels, of_floats, of_integers
from pruning_core.datasets.raw import Progress
from pruning_core.errors import UserError
from pruning_core.storage.memory import must_fit

MAX_TOTAL_BYTES = 6 << 30  # of all decoded images together
MAX_TOTAL_PIXELS = 100_000_000_000  # to be decoded: a quarter of an hour
COPIES = 2  # of the images while they are divided into parts
DECODING = 8  # bytes a pixel that decoding one picture takes on the way
EVERY = 500  # pictures between two words on the progress


class Pictures(Protocol):
    """Where the bytes of pictures come from."""

    def __len__(self) -> int: ...

    def name(self, at: int) -> str: ...

    def data(self, at: int) -> bytes: ...


def decoded(
    source: Pictures, name: str, size: tuple[int, int] | None, progress: Progress
) -> tuple[Tensor, tuple[Finding, ...]]:
    """uint8 (N, C, H, W), one channel only if every picture is grey; and what was done to them.

    size: (H, W) to bring all of them to, or None for that of most of them, else the median of the sides. Raises
    UserError when a picture does not decode or all of them together are too large for the memory.
    """
    told = headers(source, progress)
    wanted, common = (size, False) if size is not None else common_size(told)
    colour = any(each.kind.coloured for each in told)
    channels = 3 if colour else 1
    _check_budget(told, channels, wanted, name)
    levels = _levels(source, told, name, progress)
    out = np.empty((len(source), channels, *wanted), dtype=np.uint8)
    turned = transparent = 0
    for at, header in enumerate(told):
        picture = images.shown(source.name(at), source.data(at), header.kind, levels.get(header.kind, BYTES))
        turned, transparent = turned + picture.turned, transparent + picture.transparent
        image = picture.pixels
        if (image.height, image.width) != wanted:
            image = image.resize(wanted[::-1], Image.Resampling.BILINEAR)
        array = np.asarray(image)
        out[at] = array if array.ndim == 2 else array.transpose(2, 0, 1)
        if at % EVERY == 0:
            progress("decoding images", at, len(source))
    progress("decoding images", len(source), len(source))
    found = [*_converted(told), *(each.finding for each in dict.fromkeys(levels.values()) if each.finding)]
    if turned:
        found.append(pixels.Turned(turned, len(source)))
    if transparent:
        found.append(pixels.AlphaLeftOut(transparent, len(source)))
    if size is None and (resized := _resized(told, wanted, common)):
        found.append(resized)
    if not levels and out.max() == 1:
        out *= 255
        found.append(pixels.ZeroOne())
    return torch.from_numpy(out), tuple(found)


def common_size(headers: Sequence[Header]) -> tuple[tuple[int, int], bool]:
    """((H, W), whether at least half of the pictures have it); else the median height and width.

    One huge picture among small ones, or many of as many sizes, must not set the size of all.
    """
    size, count = Counter((each.height, each.width) for each in headers).most_common(1)[0]
    if 2 * count >= len(headers):
        return size, True
    return (median_low(each.height for each in headers), median_low(each.width for each in headers)), False


def headers(source: Pictures, progress: Progress) -> list[Header]:
    """What each says of itself. Raises UserError naming the one that is no picture, or too large."""
    found = []
    for at in range(len(source)):
        found.append(images.header(source.name(at), source.data(at)))
        if at % EVERY == 0:
            progress("looking at images", at, len(source))
    return found


def _check_budget(headers: Sequence[Header], channels: int, size: tuple[int, int], name: str) -> None:
    total = len(headers) * channels * size[0] * size[1]
    where = f"{len(headers):,} images of {name!r}, at {size[1]} x {size[0]} pixels,"
    way_out = "Choose a smaller size for them, or send fewer images."
    if total > MAX_TOTAL_BYTES:
        raise UserError(
            f"{where} take {total / 2**30:.1f} GiB of memory, more than the {MAX_TOTAL_BYTES / 2**30:.0f} GiB that "
            f"data may take. {way_out}"
        )
    largest = max(each.height * each.width for each in headers)
    must_fit(COPIES * total + DECODING * largest, where, way_out)
    decoding = sum(each.height * each.width for each in headers)
    if decoding > MAX_TOTAL_PIXELS:
        raise UserError(
            f"The images of {name!r} have {decoding / 1e9:,.0f} billion pixels together; at most "
            f"{MAX_TOTAL_PIXELS / 1e9:,.0f} billion are decoded. Send smaller versions of them."
        )


def _levels(source: Pictures, headers: Sequence[Header], name: str, progress: Progress) -> dict[Kind, Levels]:
    """How numbers other than bytes become bytes: by what all of them need together."""
    ends: dict[bool, tuple[float, float]] = {}
    odd = [at for at, each in enumerate(headers) if not each.kind.is_bytes]
    for done, at in enumerate(odd):
        floats = headers[at].kind is Kind.FLOAT
        low, high = images.extremes(source.name(at), source.data(at), headers[at].kind)
        if not np.isfinite([low, high]).all():
            of_floats(low, high, (1, len(headers)), name)  # refuses
        before = ends.get(floats, (low, high))
        ends[floats] = min(low, before[0]), max(high, before[1])
        if done % EVERY == 0:
            progress("reading how bright images are", done, len(odd))
    found = {}
    if True in ends:
        count = sum(each.kind is Kind.FLOAT for each in headers)
        found[Kind.FLOAT] = of_floats(*ends[True], (count, len(headers)), name)
    if False in ends:
        deep = [each for each in headers if each.kind in (Kind.DEEP, Kind.DEEP_COLOUR)]
        bits = 32 if any(each.mode == "I" for each in deep) else 16
        low, high = ends[False]
        found |= dict.fromkeys(
            (Kind.DEEP, Kind.DEEP_COLOUR), of_integers(int(low), int(high), bits, (len(deep), len(headers)), name)
        )
    return found


def _converted(headers: Sequence[Header]) -> list[Finding]:
    total = len(headers)
    coloured = sum(each.kind.coloured for each in headers)
    palette = sum(each.mode in ("P", "PA") for each in headers)
    other = [each.mode for each in headers if each.kind is Kind.COLOUR and each.mode not in COLOUR_MODES]
    cut, frames = sum(each.cut for each in headers), sum(each.frames for each in headers)
    found: list[Finding] = []
    if palette:
        found.append(pixels.Palette(palette, total))
    if other:
        found.append(pixels.OtherColours(len(other), total, tuple(sorted(set(other)))))
    if 0 < coloured < total:
        found.append(pixels.GreyAmongColour(total - coloured, total))
    if cut:
        found.append(pixels.UpperBits(cut, total))
    if frames:
        found.append(pixels.FirstFrame(frames, total))
    return found


def _resized(headers: Sequence[Header], size: tuple[int, int], common: bool) -> Finding | None:
    others = sum((each.height, each.width) != size for each in headers)
    if not others:
        return None
    by_area = sorted((each.height * each.width, (each.width, each.height)) for each in headers)
    return pixels.Resized(others, len(headers), size[1], size[0], common, by_area[0][1], by_area[-1][1])
