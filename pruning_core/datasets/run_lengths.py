"""Masks as COCO stores them in run lengths: how many pixels are not of a thing, then how many are, and so on, column by
column; as a list of numbers, or packed into a text of five bits a character.

Read here, and not by the reference's C code: these texts come from strangers.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from pruning_core.errors import UserError, quoted

LONGEST = 7  # characters of one packed number


def understood(given: dict[str, Any], sides: tuple[int, int], where: str) -> tuple[int, ...]:
    """The runs in ``given``, a "size" and "counts", of an image with (H, W) ``sides``.

    Raises UserError where they are of another size, KeyError, TypeError or ValueError where they are none.
    """
    height, width = (int(side) for side in given["size"])
    if (height, width) != sides:
        raise UserError(
            f"A mask in run lengths in {quoted(where)} has {width} × {height} pixels, and its image has {sides[1]} × "
            f"{sides[0]}. Export it again for the images that were annotated."
        )
    counts = given["counts"]
    runs = _unpacked(counts) if isinstance(counts, str) else tuple(int(each) for each in counts)
    if min(runs, default=-1) < 0:
        raise ValueError("a run of less than no pixel")
    if sum(runs) != height * width:
        raise UserError(
            f"The run lengths of a mask in {quoted(where)} add up to {sum(runs):,} pixels, and {width} × {height} are "
            f"{height * width:,}. The file is damaged or was cut short; export it again."
        )
    return runs


def mask(runs: tuple[int, ...], sides: tuple[int, int]) -> np.ndarray:
    """bool (H, W)."""
    ends = np.fromiter(accumulate(runs), dtype=np.int64, count=len(runs))
    changes = np.zeros(sides[0] * sides[1] + 1, dtype=np.int64)
    np.add.at(changes, ends, 1)
    inside: np.ndarray = changes[:-1].cumsum() % 2 == 1
    return inside.reshape(sides[1], sides[0]).T


def _unpacked(text: str) -> tuple[int, ...]:
    """From the third run on, numbers are differences to the run before the last."""
    found: list[int] = []
    number = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift >= 5 * LONGEST:
            raise ValueError("no run length is written so")
        number |= (code & 31) << shift
        shift += 5
        if not code & 32:
            number -= (1 << shift) if code & 16 else 0
            found.append(number + (found[-2] if len(found) > 2 else 0))
            number = shift = 0
    if shift:
        raise ValueError("a run length that does not end")
    return tuple(found)
