"""Image folders in a zip file: one folder per class, at any depth, with or without train and test folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pruning_core.datasets import decoded
from pruning_core.datasets.images import SUFFIXES, Pictures
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.datasets.safe_zip import open_zip, read_member
from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root, artifacts, directory

TRAIN_NAMES = frozenset({"train", "training"})
TEST_NAMES = frozenset({"test", "testing", "val", "valid", "validation"})


@dataclass(frozen=True)
class Listed:
    """One image of an archive: where it is and what its folders say."""

    member: str
    split: str  # "train", "test", or "" where the archive has one split only
    label: str


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """The images of one stored zip, or of two when ``ref.test_digest`` names a second one with the test images."""
    if not ref.test_digest:
        return _cached(ref.digest, ref, root, progress)
    train = _cached(ref.digest, ref, root, progress)
    test = _whole(_cached(ref.test_digest, ref, root, progress))
    strange = sorted(set(test.classes) - set(train.classes))
    if strange:
        raise UserError(f"The test images hold the class {strange[0]!r}, which the training images lack.")
    images = test.images
    if images.shape[1:] != train.images.shape[1:]:
        raise UserError("Training and test images differ in size or colour. Choose one size for both.")
    number = torch.tensor([train.classes.index(name) for name in test.classes])
    return Raw(train.images, train.labels, train.classes, images, number[test.labels], train.notes + test.notes)


def _cached(digest: str, ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """Decoding takes seconds per ten thousand images, so it is done once for each archive and size."""
    place = decoded.place(directory(root), digest, ref.size)
    kept = decoded.load(place)
    if kept is not None:
        return kept
    raw = read_file(artifacts(root).path(digest), ref.name, ref.size, progress)
    decoded.save(place, raw)
    return raw


def read_file(path: Path, name: str, size: tuple[int, int] | None, progress: Progress) -> Raw:
    """Decode every image of the zip at ``path``; ``size`` (H, W) or the commonest one of its images.

    Raises UserError when the archive is unsafe, has no class folders, or an image does not decode.
    """
    with open_zip(path, name) as archive:
        listed = listing([info.filename for info in archive.infolist() if not info.is_dir()], name)
        pictures = Pictures(name, size)
        for done, item in enumerate(listed):
            pictures.add(item.member, read_member(archive, item.member, name))
            if done % 500 == 0:
                progress("decoding images", done, len(listed))
        progress("decoding images", len(listed), len(listed))
    images, notes = pictures.stacked()
    classes = tuple(sorted({item.label for item in listed}))
    number = {label: at for at, label in enumerate(classes)}
    labels = torch.tensor([number[item.label] for item in listed], dtype=torch.int64)
    testing = torch.tensor([item.split == "test" for item in listed])
    if not testing.any():
        return Raw(images, labels, classes, notes=notes)
    lacking = sorted(set(classes) - {item.label for item in listed if item.split == "train"})
    if lacking:
        raise UserError(f"The test folder of {name!r} holds the class {lacking[0]!r}, which its train folder lacks.")
    return Raw(*_part(images, labels, ~testing), classes, *_part(images, labels, testing), notes)


def listing(names: list[str], archive: str) -> list[Listed]:
    """Which member is an image of which class, sorted by class and name as torchvision's ImageFolder does.

    Raises UserError when there are no images or no two class folders.
    """
    paths = [tuple(name.split("/")) for name in names if _is_picture(name)]
    if not paths:
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(f"{archive!r} holds no images ({kinds}). Put one folder of images per class into it.")
    one_class = (
        f"{archive!r} holds one folder of images, so there are no classes to tell apart. Put one folder per class into "
        "the zip."
    )
    if len({path[:-1] for path in paths}) == 1:
        raise UserError(one_class)
    depth = _common_depth(paths)
    tops = {path[depth] for path in paths if len(path) > depth + 1}
    splits = bool(tops) and all(top.lower() in TRAIN_NAMES | TEST_NAMES for top in tops)
    listed = []
    for path in paths:
        folders = path[depth:-1]
        split = ""
        if splits and folders:
            split = "train" if folders[0].lower() in TRAIN_NAMES else "test"
            folders = folders[1:]
        if not folders:
            raise UserError(
                f"{archive!r} has no class folder around {'/'.join(path)!r}. Put one folder per class into the zip, "
                "and every image into the folder of its class."
            )
        listed.append(Listed("/".join(path), split, folders[0]))
    if splits and not any(item.split == "train" for item in listed):
        listed = [Listed(item.member, "", item.label) for item in listed]  # only a test folder: it is all there is
    if len({item.label for item in listed}) < 2:
        raise UserError(one_class)
    return sorted(listed, key=lambda item: (item.split == "test", item.label, item.member))


def _is_picture(name: str) -> bool:
    hidden = name.startswith((".", "__MACOSX/")) or "/." in name or "/__MACOSX/" in name
    return os.path.splitext(name)[1].lower() in SUFFIXES and not hidden


def _common_depth(paths: list[tuple[str, ...]]) -> int:
    """How many leading folders all images share; "train" is among them only where it has no counterpart."""
    folders = {path[:-1] for path in paths}
    depth = 0
    while all(len(parts) > depth for parts in folders) and len({parts[depth] for parts in folders}) == 1:
        depth += 1
    return depth


def _whole(raw: Raw) -> Raw:
    """All images of an archive as one part, whatever its folders say."""
    if raw.test_images is None or raw.test_labels is None:
        return raw
    images, labels = torch.cat((raw.images, raw.test_images)), torch.cat((raw.labels, raw.test_labels))
    return Raw(images, labels, raw.classes, notes=raw.notes)


def _part(images: Tensor, labels: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    return images[chosen], labels[chosen]
