"""NumPy archives: arrays ``images``, ``labels`` and, if wanted, ``classes`` and a test part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.datasets.safe_zip import open_zip
from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root, artifacts

IMAGES = ("images", "train_images", "x_train", "x", "data", "X")
LABELS = ("labels", "train_labels", "y_train", "y", "targets", "target")
TEST_IMAGES = ("test_images", "x_test")
TEST_LABELS = ("test_labels", "y_test")
CLASSES = ("classes", "class_names", "label_names", "target_names")


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """The arrays of a stored ``.npz``; see ``read_file``."""
    return read_file(artifacts(root).path(ref.digest), ref.name)


def read_file(path: Path, name: str) -> Raw:
    """images (N, H, W), (N, H, W, C) or (N, C, H, W), bytes or floats in [0, 1]; labels (N,), numbers or names.

    Nothing pickled is read. Raises UserError when the file is damaged or an array is missing, of another shape, out of
    range or not finite.
    """
    with open_zip(path, name):
        pass
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(_arrays(archive))
    except Exception as error:  # np.load raises whatever its parsers raise on hostile headers
        raise UserError(
            f"{name!r} is not a NumPy archive that can be read safely: {_reason(error)}. "
            "Save plain arrays with numpy.savez(file, images=…, labels=…)."
        ) from error
    images = _one_of(arrays, IMAGES, "images", name)
    labels = _one_of(arrays, LABELS, "labels", name)
    given = next((arrays[key] for key in CLASSES if key in arrays), None)
    numbers, classes = _classes(labels, None if given is None else [str(item) for item in given.ravel()], name)
    pixels, notes = _bytes(images, name)
    test_images = test_labels = None
    if any(key in arrays for key in TEST_IMAGES):
        test_images, _ = _bytes(_one_of(arrays, TEST_IMAGES, "test images", name), name)
        found = _one_of(arrays, TEST_LABELS, "test labels", name)
        test_labels = _matched(found, labels, classes, given is not None, name)
        if test_images.shape[1:] != pixels.shape[1:]:
            raise UserError(f"Training and test images of {name!r} differ in size. Store both at one size.")
    return Raw(pixels, numbers, classes, test_images, test_labels, notes)


def _arrays(archive: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    wanted = {*IMAGES, *LABELS, *TEST_IMAGES, *TEST_LABELS, *CLASSES}
    for key in archive:
        if key in wanted:
            yield key, archive[key]


def _one_of(arrays: Mapping[str, np.ndarray], keys: Sequence[str], what: str, name: str) -> np.ndarray:
    for key in keys:
        if key in arrays:
            return arrays[key]
    raise UserError(f"{name!r} holds no {what}: an array called {keys[0]!r} is needed. Save it with that name.")


def _bytes(images: np.ndarray, name: str) -> tuple[Tensor, tuple[str, ...]]:
    """uint8 (N, C, H, W) and what was assumed."""
    notes: tuple[str, ...] = ()
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
        notes = ("channels were stored last",)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape[2:]:
        raise UserError(
            f"The images of {name!r} have the shape {images.shape}. Expected (N, H, W), (N, H, W, C) or (N, C, H, W) "
            "with 1 or 3 channels."
        )
    if len(images) == 0:
        raise UserError(f"{name!r} holds no images. Choose data with at least two images per class.")
    if np.issubdtype(images.dtype, np.floating):
        low, high = float(images.min()), float(images.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise UserError(f"The images of {name!r} hold values that are not finite. Clean them first.")
        if low < 0 or high > 1:
            raise UserError(
                f"The images of {name!r} are floats from {low:g} to {high:g}. Floats must lie in [0, 1]: store pixels "
                "before normalisation, or as bytes."
            )
        images = np.rint(images * 255)
        notes += ("floats in [0, 1] were turned into bytes",)
    elif images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
        raise UserError(f"The images of {name!r} are {images.dtype}. Store bytes (0 to 255) or floats in [0, 1].")
    return torch.from_numpy(np.ascontiguousarray(images.astype(np.uint8))), notes


def _classes(labels: np.ndarray, given: list[str] | None, name: str) -> tuple[Tensor, tuple[str, ...]]:
    """Labels as int64 (N,) counting from 0, and the class names."""
    labels = _flat(labels, name)
    if given is not None and np.issubdtype(labels.dtype, np.integer):
        return torch.from_numpy(labels.astype(np.int64)), tuple(given)
    found, numbers = np.unique(labels, return_inverse=True)
    names = tuple(str(item) for item in found)
    if given is not None:
        if set(names) - set(given):
            raise UserError(f"{name!r} has the label {min(set(names) - set(given))!r}, which is not among its classes.")
        numbers, names = np.array([given.index(item) for item in names])[numbers], tuple(given)
    return torch.from_numpy(numbers.astype(np.int64).ravel()), names


def _matched(test: np.ndarray, train: np.ndarray, classes: tuple[str, ...], named: bool, name: str) -> Tensor:
    """Test labels by the numbering of the training labels."""
    test = _flat(test, name)
    if named and np.issubdtype(test.dtype, np.integer):
        return torch.from_numpy(test.astype(np.int64))
    known = {item: number for number, item in enumerate(classes)}
    unknown = sorted({str(item) for item in np.unique(test)} - set(known))
    if unknown:
        raise UserError(f"The test part of {name!r} has the label {unknown[0]!r}, which its training part lacks.")
    return torch.tensor([known[str(item)] for item in test], dtype=torch.int64)


def _flat(labels: np.ndarray, name: str) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuUSb":
        raise UserError(
            f"The labels of {name!r} are {labels.dtype} of shape {labels.shape}. Expected one whole number or name per "
            "image, of shape (N,)."
        )
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    return labels.astype(np.int64) if labels.dtype.kind in "iub" else labels


def _reason(error: Exception) -> str:
    if "allow_pickle" in str(error):
        return "it holds pickled objects"
    return "it is damaged or of another kind"
