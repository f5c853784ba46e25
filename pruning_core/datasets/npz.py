"""NumPy archives: arrays ``images`` or ``inputs`` and, if wanted, ``labels``, ``classes`` and a test part."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pruning_core.datasets import npy, npz_inputs
from pruning_core.datasets.any_labels import labelled, unlabelled
from pruning_core.datasets.findings import Finding, archive, pixels
from pruning_core.datasets.given_labels import check_count
from pruning_core.datasets.levels import BYTES, Levels, of_floats, of_integers
from pruning_core.datasets.npy import Array
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.datasets.safe_zip import open_zip
from pruning_core.errors import UserError, clip
from pruning_core.storage.memory import must_fit
from pruning_core.storage.uploads import Root, artifacts

IMAGES = ("images", "train_images", "x_train", "x", "data", "X")
LABELS = ("labels", "train_labels", "y_train", "y", "targets", "target")
TEST_IMAGES = ("test_images", "x_test")
TEST_LABELS = ("test_labels", "y_test")
CLASSES = ("classes", "class_names", "label_names", "target_names")
DEEPEST = 2  # bytes of a whole number that may stand for brightness beyond a byte
CHUNK = 1 << 24  # bytes of an array that are converted together
CHANNELS = (1, 3, 4)
MAX_IMAGES = 5_000_000
COPIES = 2  # of the images while they are divided into parts


@dataclass(frozen=True)
class Layout:
    """How the axes of an array of images are read: ``order`` brings them to (N, C, H, W), ``shape`` is what is kept."""

    order: tuple[int, ...]
    shape: tuple[int, int, int, int]
    findings: tuple[Finding, ...] = ()


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """The arrays of a stored ``.npz``; see ``read_file``."""
    return read_file(artifacts(root).path(ref.digest), ref.name, progress)


def read_file(path: Path, name: str, progress: Progress) -> Raw:
    """images (N, H, W), (N, H, W, C) or (N, C, H, W), bytes or floats; labels (N,), numbers or names, or one-hot rows;
    or targets (N, …) of any other shape, or none at all. Instead of images, ``inputs`` of any shape, or several called
    ``inputs/…``.

    Nothing pickled is read. Raises UserError when the file is damaged or an array is missing, of another shape, out of
    range, not finite or too large for the memory.
    """
    with open_zip(path, name) as opened:
        if keys := npz_inputs.parts_of({info.filename.removesuffix(".npy"): info for info in opened.infolist()}):
            return _of_inputs(opened, keys, name, progress)
        arrays = {key: npy.declared(opened, member, name) for key, member in _wanted(opened).items()}
        parts, label_parts = [_one_of(arrays, IMAGES, "images", name)], list[Array]()
        there = any(key in arrays for key in LABELS)
        if there:
            label_parts.append(_one_of(arrays, LABELS, "labels", name))
        if any(key in arrays for key in TEST_IMAGES):
            parts.append(_one_of(arrays, TEST_IMAGES, "test images", name))
            if there:
                label_parts.append(_one_of(arrays, TEST_LABELS, "test labels", name))
        layouts = [layout(part.shape, name) for part in parts]
        for part, given in zip_longest(parts, label_parts):
            _check_count(part, given, name)
        if len({each.shape[1:] for each in layouts}) > 1:
            raise UserError(f"Training and test images of {name!r} differ in size. Store both at one size.")
        needed = COPIES * sum(prod(each.shape) for each in layouts)
        must_fit(needed, f"The images of {name!r}", "Store fewer or smaller images.")
        names = _names(opened, arrays, name)
        given = [npy.values(opened, each, name) for each in label_parts]
        counts = [each.shape[0] for each in layouts]
        numbers, classes, said = labelled(given, names, name) if given else unlabelled(counts)
        progress("decoding images", 0, len(parts))
        images, converted = _pixels([npy.values(opened, each, name) for each in parts], layouts, name)
        progress("decoding images", len(parts), len(parts))
        said = (*_left_out(opened, (*parts, *label_parts)), *layouts[0].findings, *said, *converted)
    if len(parts) == 1:
        return Raw(images[0], numbers[0], classes, findings=said)
    return Raw(images[0], numbers[0], classes, images[1], numbers[1], said)


def _of_inputs(opened: zipfile.ZipFile, keys: list[list[str]], name: str, progress: Progress) -> Raw:
    """Numbers as they are, for a network that reads no pictures."""
    members = {info.filename.removesuffix(".npy"): info for info in opened.infolist()}
    parts = [[npy.declared(opened, members[key], name) for key in part] for part in keys]
    arrays = {key: npy.declared(opened, member, name) for key, member in _wanted(opened).items()}
    given: list[Array] = []
    if any(key in arrays for key in LABELS):
        given.append(_one_of(arrays, LABELS, "labels", name))
        if len(parts) > 1:
            given.append(_one_of(arrays, TEST_LABELS, "test labels", name))
    for part, part_labels in zip_longest(parts, given):
        _check_count(part[0], part_labels, name)
    names = _names(opened, arrays, name)
    progress("reading numbers", 0, len(parts))
    found, told = npz_inputs.joined(opened, parts, name)
    counts = [len(each) for each in found]
    labels, classes, said = (
        labelled([npy.values(opened, each, name) for each in given], names, name, npz_inputs.sides(found[0], told))
        if given
        else unlabelled(counts)
    )
    progress("reading numbers", len(parts), len(parts))
    findings = (told, *_left_out(opened, [*(each for part in parts for each in part), *given]), *said)
    if len(found) == 1:
        return Raw(found[0], labels[0], classes, findings=findings)
    return Raw(found[0], labels[0], classes, found[1], labels[1], findings)


def _check_count(images: Array, numbers: Array | None, name: str) -> None:
    """Before any of them is read."""
    count = images.shape[0] if images.shape else 0
    if count > MAX_IMAGES:
        raise UserError(f"{name!r} holds {count:,} images; at most {MAX_IMAGES:,} are read. Send fewer.")
    if numbers is None:
        return
    given = numbers.shape[0] if numbers.shape else 0
    if count != given:
        raise UserError(
            f"The data set {name!r} holds {count} images and {given} labels. Every image needs exactly one label."
        )


def _names(opened: zipfile.ZipFile, arrays: Mapping[str, Array], name: str) -> list[str] | None:
    """The names of the classes, where the file gives them."""
    given = next((arrays[key] for key in CLASSES if key in arrays), None)
    if given is None:
        return None
    check_count(prod(given.shape), name)
    return [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
            for item in npy.values(opened, given, name).ravel().tolist()]  # fmt: skip


def layout(shape: tuple[int, ...], name: str) -> Layout:
    """Which axis is which. Raises UserError when it cannot be told, or there is nothing."""
    first, last = len(shape) == 4 and shape[1] in CHANNELS, len(shape) == 4 and shape[3] in CHANNELS
    order = (0, 3, 1, 2) if last and not first else tuple(range(len(shape)))
    ordered = tuple(shape[axis] for axis in order)
    count, *rest = ordered if len(shape) == 4 else (*shape[:1], 1, *shape[1:])
    if not (len(shape) == 3 or first or last) or 0 in rest:
        raise UserError(
            f"The images of {name!r} have the shape {clip(str(shape))}. Expected (N, H, W), (N, H, W, C) or "
            "(N, C, H, W) with 1 or 3 channels. If they are no pictures, call the array inputs."
        )
    if count == 0:
        raise UserError(f"{name!r} holds no images. Choose data with at least two images per class.")
    found: list[Finding] = []
    if first and last:
        found.append(pixels.EitherAxis(shape))
    elif last:
        found.append(pixels.ChannelsLast(shape))
    channels, height, width = rest
    if channels == 4:
        found.append(pixels.FourthChannel())
    return Layout(order, (count, min(3, channels), height, width), tuple(found))


def _wanted(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    wanted = {*IMAGES, *LABELS, *TEST_IMAGES, *TEST_LABELS, *CLASSES}
    named = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    return {key: info for key, info in named.items() if key in wanted}


def _one_of(arrays: Mapping[str, Array], keys: Sequence[str], what: str, name: str) -> Array:
    for key in keys:
        if key in arrays:
            return arrays[key]
    raise UserError(f"{name!r} holds no {what}: an array called {keys[0]!r} is needed. Save it with that name.")


def _left_out(opened: zipfile.ZipFile, read: Sequence[Array]) -> tuple[Finding, ...]:
    """The arrays that nobody asked for: another part, or the same thing under a second name."""
    known = {each.member.filename for each in read} | {f"{key}.npy" for key in CLASSES}
    names = tuple(each.filename.removesuffix(".npy") for each in opened.infolist() if each.filename not in known)
    return (archive.ArraysLeftOut(names),) if names else ()


def _pixels(parts: list[np.ndarray], layouts: Sequence[Layout], name: str) -> tuple[list[Tensor], tuple[Finding, ...]]:
    """uint8 (N, C, H, W) of each part, all of one kind of numbers by the same levels. Empties ``parts`` on the way."""
    levels: dict[str, Levels] = {}
    total = sum(len(part) for part in parts)
    for kind in sorted({_kind(part) for part in parts}):
        levels[kind] = _levels([part for part in parts if _kind(part) == kind], total, name)
    out = []
    for place in layouts:
        part = parts.pop(0)
        out.append(_ordered(part, place, levels[_kind(part)]))
    return out, tuple(each.finding for each in levels.values() if each.finding)


def _kind(part: np.ndarray) -> str:
    return "iu" if part.dtype.kind in "iu" else part.dtype.kind


def _levels(parts: list[np.ndarray], total: int, name: str) -> Levels:
    kind, size = _kind(parts[0]), max(part.dtype.itemsize for part in parts)
    if kind not in ("iu", "f", "b"):
        raise UserError(
            f"The images of {name!r} are {clip(str(parts[0].dtype))}. Store bytes (0 to 255) or floats in [0, 1]."
        )
    if kind == "b":
        return Levels(0, 1, pixels.ZeroOne())
    low, high = np.min([part.min() for part in parts]), np.max([part.max() for part in parts])
    counts = sum(len(part) for part in parts), total
    if kind == "f":
        return of_floats(float(low), float(high), counts, name)
    if high > 255 and size > DEEPEST:
        raise UserError(
            f"The images of {name!r} are {parts[0].dtype} up to {int(high):,}. Store bytes (0 to 255) or floats in "
            "[0, 1]."
        )
    return of_integers(int(low), int(high), 8 * DEEPEST if size == DEEPEST else 8, counts, name)


def _ordered(part: np.ndarray, place: Layout, levels: Levels) -> Tensor:
    part = part.transpose(place.order)
    part = part[:, None] if part.ndim == 3 else part[:, : place.shape[1]]
    if part.dtype == np.uint8 and levels == BYTES:
        return torch.from_numpy(np.ascontiguousarray(part))
    out = np.empty(place.shape, dtype=np.uint8)
    step = max(1, CHUNK // prod(place.shape[1:]))
    for at in range(0, len(part), step):
        out[at : at + step] = levels.bytes(part[at : at + step])
    return torch.from_numpy(out)
