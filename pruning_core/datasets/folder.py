"""Image folders in zip files: one folder per class, at any depth, with or without train and test folders; or none."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from pruning_core.datasets import pictures, zip_names
from pruning_core.datasets.findings import Finding, archive
from pruning_core.datasets.findings.labels import Unlabelled
from pruning_core.datasets.listing import BARE, Listed, listing
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.datasets.safe_zip import open_zip, read_member
from pruning_core.datasets.targets import nothing
from pruning_core.errors import UserError, quoted
from pruning_core.storage.uploads import Root, artifacts


@dataclass(frozen=True, eq=False)
class Contents:
    """An open archive and the pictures in it."""

    archive: zipfile.ZipFile
    name: str
    listed: Sequence[Listed]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class Members:
    """Pictures of archives, in the order in which they are decoded."""

    chosen: Sequence[tuple[Contents, Listed]]

    def __len__(self) -> int:
        return len(self.chosen)

    def name(self, at: int) -> str:
        return self.chosen[at][1].name

    def data(self, at: int) -> bytes:
        contents, item = self.chosen[at]
        return read_member(contents.archive, contents.archive.infolist()[item.member], contents.name)


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """The images of one stored zip, or of two when ``ref.test_digest`` names a second one with the test images."""
    store = artifacts(root)
    test = store.path(ref.test_digest) if ref.test_digest else None
    return read_file(store.path(ref.digest), ref.name, ref.size, progress, test=test, code_page=ref.code_page)


def read_file(
    path: Path,
    name: str,
    size: tuple[int, int] | None,
    progress: Progress,
    *,
    test: Path | None = None,
    code_page: str | None = None,
) -> Raw:
    """Decode every image of the zip at ``path``, together with those of ``test``, a second one with test images.

    Together, because they share one size, one bit depth, and are all grey or all in colour. size: (H, W), or None as
    in ``pictures``. code_page: of names that do not say theirs. Raises UserError when an archive is unsafe, has no
    class folders in one part alone, or an image does not decode. Images without class folders have no labels.
    """
    files = (path,) if test is None else (path, test)
    with ExitStack() as opened:
        found = [_contents(opened.enter_context(open_zip(file, name)), name, code_page) for file in files]
        train, tests, said = _parts(found)
        images, converted = pictures.decoded(Members([*train, *tests]), name, size, progress)
    labels = sorted({item.label for _, item in train})
    number = {label: at for at, label in enumerate(labels)}
    numbers = torch.tensor([number[item.label] for _, item in (*train, *tests)], dtype=torch.int64)
    if labels == [BARE]:
        labels, numbers, said = [], nothing(len(images)), (*said, Unlabelled())
    names = tuple(item.name for _, item in (*train, *tests))
    findings = (*(each for contents in found for each in contents.findings), *said, *converted)
    if not tests:
        return Raw(images, numbers, tuple(labels), findings=findings, names=names)
    at = len(train)
    return Raw(images[:at], numbers[:at], tuple(labels), images[at:], numbers[at:], findings, names)


def code_pages(ref: DataRef, root: Root | None) -> list[str]:
    """In which code pages the names of a stored zip can be read, the likeliest first. Raises UserError."""
    with open_zip(artifacts(root).path(ref.digest), ref.name) as opened:
        return zip_names.candidates(opened.infolist())


def _contents(opened: zipfile.ZipFile, name: str, code_page: str | None) -> Contents:
    members = opened.infolist()
    names, read_as, sure = zip_names.decoded(members, code_page)
    listed, findings = listing(names, name)
    if read_as:
        example = next(each for each in names if not each.isascii())
        findings += (archive.CodePage(read_as, example, sure or code_page is not None),)
    return Contents(opened, name, listed, findings)


def _parts(
    found: Sequence[Contents],
) -> tuple[list[tuple[Contents, Listed]], list[tuple[Contents, Listed]], tuple[Finding, ...]]:
    """(training images, test images, what is to be said). No test images: they are divided later."""
    first = found[0]
    train = [(first, item) for item in first.listed if item.split != "test"]
    test = [(first, item) for item in first.listed if item.split == "test"]
    said: tuple[Finding, ...] = ()
    if len(found) == 2:
        said = (archive.OwnTestLeftOut(len(test)),) if test else ()
        test = [(found[1], item) for item in found[1].listed]
    lacking = sorted({item.label for _, item in test} - {item.label for _, item in train})
    if lacking and len(found) == 2:
        raise UserError(f"The test images hold the class {quoted(lacking[0])}, which the training images lack.")
    if lacking:
        raise UserError(
            f"The test folder of {first.name!r} holds the class {quoted(lacking[0])}, which its train folder lacks."
        )
    return train, test, said
