"""What comes with images and is no class of each: numbers, several yes or no, a class at every place, pictures."""

from __future__ import annotations

from enum import Enum

import numpy as np
import torch
from torch import Tensor

from pruning_core.errors import UserError, clip

CHANNELS = (1, 3)
BYTE = 255.0
MOST_CLASSES = 256  # at every place, so that a place takes a byte
BOXES = "boxes"  # as annotations are read
NUMBERS = 6  # of a box among labels: corners as shares of the sides, its class (-1: none) and 1 for a crowd
NOBODY = 255  # the label of a place that nobody labelled, as in Pascal VOC
NO_TOKEN = -100  # the same where there may be more classes, as PyTorch's losses have it


class Labels(Enum):
    """What came with each image."""

    NOTHING = "nothing"
    CLASSES = "the number of its class"
    NUMBERS = "one or more numbers"
    MASKS = "the number of a class at every place"
    PICTURES = "a picture"
    BOXES = "boxes around what is in it"


def nothing(images: int) -> Tensor:
    """(N, 0): images alone."""
    return torch.zeros(images, 0)


def are_targets(given: np.ndarray) -> bool:
    """Whether ``given`` (N, …) are no classes of images: not one whole number or name for each, and no one-hot rows."""
    if given.dtype.kind not in "biuf" or given.ndim == 0:
        return False
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim == 1:
        return given.dtype.kind == "f" and bool((given != np.rint(given)).any())
    if given.ndim > 2:
        return True
    return not bool(((given == 0) | (given == 1)).all() and (given.sum(1) == 1).all())


def nobody(labels: Tensor) -> int:
    """What stands among ``labels`` (N, …), classes at places, where nobody labelled a place."""
    return NOBODY if labels.dtype == torch.uint8 else NO_TOKEN


def targets(given: np.ndarray, name: str, sides: tuple[int, ...] = ()) -> Tensor:
    """float32 (N, …); of whole numbers at places uint8 (N, H, W), a class each; of pictures float32 (N, C, H, W) in
    [0, 1]. ``sides``: those of inputs that are no pictures; whole numbers at these places are classes, int64 where a
    byte does not tell them apart.

    Raises UserError for numbers that are not finite, and for more classes than a byte tells apart.
    """
    if sides and given.dtype.kind in "iu" and given.shape[1:] == sides and (given.ndim > 2 or given.max() > 1):
        return _at_places(given, name)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.dtype.kind == "f":
        if not bool(np.isfinite(given).all()):
            raise UserError(f"The labels of {name!r} are not all finite. Repair or leave out those that are not.")
        return torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))
    if given.ndim == 3:
        low, high = int(given.min()), int(given.max())
        if low < 0 or high >= MOST_CLASSES:
            raise UserError(
                f"The labels of {name!r} have the shape {clip(str(given.shape))} and run from {low} to {high}. A label "
                f"at every place is the number of a class from 0 to {MOST_CLASSES - 1}."
            )
        return torch.from_numpy(np.ascontiguousarray(given, dtype=np.uint8))
    if given.ndim == 4 and given.dtype == np.uint8:
        if given.shape[3] in CHANNELS and given.shape[1] not in CHANNELS:
            given = given.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32) / np.float32(BYTE))
    return torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))


def _at_places(given: np.ndarray, name: str) -> Tensor:
    low, high = int(given.min()), int(given.max())
    if low < 0 and (low != NO_TOKEN or bool(((given < 0) & (given != NO_TOKEN)).any())):
        raise UserError(
            f"The labels of {name!r} run from {low} to {high}. A label at every place is the number of a class from 0 "
            f"on, or {NO_TOKEN} where nobody labelled it."
        )
    byte = low >= 0 and high < (MOST_CLASSES if given.ndim > 2 else NOBODY)
    return torch.from_numpy(np.ascontiguousarray(given, dtype=np.uint8 if byte else np.int64))
