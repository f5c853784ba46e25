"""Which files of an archive are pictures of which class, and what else lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pruning_core.datasets.findings import Finding, archive
from pruning_core.datasets.images import SUFFIXES
from pruning_core.datasets.leftovers import beside, is_left_behind, suffix
from pruning_core.errors import UserError, quoted

TRAIN_NAMES = frozenset({"train", "training"})
TEST_NAMES = frozenset({"test", "testing", "val", "valid", "validation"})
PLAIN_TEST = frozenset({"test", "testing"})
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})
BARE = ""  # the label of a picture without a class folder


@dataclass(frozen=True)
class Listed:
    """One picture of an archive: which member it is, what it is called, and what its folders say."""

    member: int
    name: str
    split: str  # "train", "test", or "" where the archive has one split only
    label: str


def listing(
    names: Sequence[str], name: str, suffixes: frozenset[str] = SUFFIXES, what: str = "images"
) -> tuple[list[Listed], tuple[Finding, ...]]:
    """The pictures among ``names``, sorted by class and name as torchvision's ImageFolder does; and what was odd.

    A name that ends in a slash is a folder. Pictures that all lie in one folder, or one per part, have no class
    (``BARE``). ``suffixes``: of what is read instead of pictures, and ``what`` it is called. Raises UserError when
    there are none, or one class folder in each part.
    """
    left_behind = [each for each in names if is_left_behind(each)]
    kept = [(at, each) for at, each in enumerate(names) if not is_left_behind(each)]
    paths = {at: tuple(each.split("/")) for at, each in kept if suffix(each) in suffixes}
    others = [each for _, each in kept if not each.endswith("/") and suffix(each) not in suffixes]
    if not paths:
        raise UserError(_nothing(others, name, suffixes))
    depth = _common_depth(list(paths.values()))
    tops = {path[depth] for path in paths.values() if len(path) > depth + 1}
    splits = bool(tops) and all(top.lower() in TRAIN_NAMES | TEST_NAMES for top in tops)
    listed, inner = [], []
    for at, path in paths.items():
        folders = path[depth:-1]
        split = ""
        if splits and folders:
            split = "train" if folders[0].lower() in TRAIN_NAMES else "test"
            folders = folders[1:]
        listed.append(Listed(at, "/".join(path), split, folders[0] if folders else BARE))
        if len(folders) > 1:
            inner.append(listed[-1])
    found: list[Finding] = []
    if splits and not any(item.split == "train" for item in listed):
        listed = [Listed(item.member, item.name, "", item.label) for item in listed]  # they are all there is
        found.append(archive.OnlyOnePart(min(tops)))
    elif splits:
        found += _test_folders(tops)
    elif depth and (above := next(iter(paths.values()))[depth - 1]).lower() in TRAIN_NAMES | TEST_NAMES:
        found.append(archive.OnlyOnePart(above))
    labels = {item.label for item in listed}
    if labels == {BARE}:
        return sorted(listed, key=lambda item: (item.split == "test", item.name)), (
            *found,
            *beside(left_behind, others),
        )
    loose = next((item for item in listed if item.label == BARE), None)
    if loose is not None:
        raise UserError(
            f"{name!r} has no class folder around {quoted(loose.name)}. Put one folder per class into the zip, and "
            f"each of the {what} into the folder of its class; or all {what} into one folder, if they have no classes."
        )
    if len(labels) < 2:
        raise UserError(_one_class(name, what))
    if inner:
        found.append(archive.Subfolders(len(inner), inner[0].name, inner[0].label))
    found += beside(left_behind, others)
    found += _no_class(kept, labels, next(iter(paths.values()))[:depth], splits)
    found += _order(labels)
    return sorted(listed, key=lambda item: (item.split == "test", item.label, item.name)), tuple(found)


def _common_depth(paths: list[tuple[str, ...]]) -> int:
    """How many leading folders all images share; "train" is among them only where it has no counterpart."""
    folders = {path[:-1] for path in paths}
    depth = 0
    while all(len(parts) > depth for parts in folders) and len({parts[depth] for parts in folders}) == 1:
        depth += 1
    return depth


def _one_class(name: str, what: str) -> str:
    return (
        f"{name!r} holds one folder of {what}, so there are no classes to tell apart. Put one folder per class into "
        "the zip."
    )


def _nothing(others: list[str], name: str, suffixes: frozenset[str]) -> str:
    inside = next((each for each in others if suffix(each) in ARCHIVES), None)
    if inside is not None:
        return f"{name!r} holds no images but another archive, {quoted(inside)}. Unpack that one and send its folders."
    kinds = ", ".join(sorted(suffixes))
    return f"{name!r} holds no images ({kinds}). Put one folder of images per class into it."


def _test_folders(tops: set[str]) -> list[Finding]:
    testing = tuple(sorted(top for top in tops if top.lower() in TEST_NAMES))
    plain = len(testing) == 1 and testing[0].lower() in PLAIN_TEST
    return [] if plain or not testing else [archive.TestFolders(testing)]


def _no_class(kept: list[tuple[int, str]], labels: set[str], above: tuple[str, ...], splits: bool) -> list[Finding]:
    """Folders that stand where classes stand and are none."""
    depth = len(above) + splits
    folders = [parts for _, each in kept if len(parts := tuple(each.split("/"))) > depth + 1]
    names = {parts[depth] for parts in folders if parts[: len(above)] == above} - labels
    return [archive.EmptyFolders(tuple(sorted(names)))] if names else []


def _order(labels: set[str]) -> list[Finding]:
    found: list[Finding] = []
    if all(label.isdecimal() for label in labels) and sorted(labels) != sorted(labels, key=int):
        found.append(archive.NumbersAsText(tuple(sorted(labels))))
    alike: dict[str, str] = {}
    for label in sorted(labels):
        other = alike.setdefault(label.strip().casefold(), label)
        if other != label:
            return [*found, archive.Alike((other, label))]
    return found
