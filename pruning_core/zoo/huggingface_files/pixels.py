"""How images are prepared, from preprocessor_config.json: the size, and what is subtracted and divided by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pruning_core.zoo.huggingface_files.described import numbers_of

BYTE = 255
LARGEST = 4096  # pixels of a side
BLUE_FIRST = "its files say that it reads blue first: choose BGR where the data are read"


@dataclass(frozen=True)
class Pixels:
    """``side``: (H, W) of the images, None where nothing is said; ``mean``, ``std``: of pixels from 0 to 1, for each
    channel, () where nothing is said; ``notes``: what is to be said of it."""

    side: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def pixels(said: Mapping[str, Any]) -> Pixels:
    """What ``said`` tells; what is of another form than known ones tells nothing."""
    cropped = said.get("do_center_crop") and _side(said.get("crop_size"))
    notes = (BLUE_FIRST,) if said.get("do_flip_channel_order") is True else ()
    return Pixels(cropped or _side(said.get("size")), *_normalised(said), notes)


def _side(said: Any) -> tuple[int, int] | None:
    if isinstance(said, Mapping):
        said = [said.get("height", said.get("shortest_edge")), said.get("width", said.get("shortest_edge"))]
    values = said if isinstance(said, list) else [said, said]
    plain = len(values) == 2 and all(type(n) is int and 0 < n <= LARGEST for n in values)
    return (values[0], values[1]) if plain else None


def _normalised(said: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, deviation) that do at once what transformers does one after the other to pixels of 0 to 255."""
    scale = float(BYTE)
    if said.get("do_rescale", True):
        factor = numbers_of([said.get("rescale_factor", 1 / BYTE)])
        if not factor or factor[0] <= 0:
            return (), ()
        scale *= factor[0]
    shift = 1.0 if said.get("rescale_offset") is True else 0.0
    if said.get("do_normalize", True):
        mean, std = numbers_of(said.get("image_mean")), numbers_of(said.get("image_std"))
    else:
        mean, std = (0.0,), (1.0,)
    if not mean or len(mean) != len(std) or min(std) <= 0:
        return (), ()
    again = std if said.get("include_top") is True else (1.0,) * len(std)
    return tuple((m + shift) / scale for m in mean), tuple(s * a / scale for s, a in zip(std, again, strict=True))
