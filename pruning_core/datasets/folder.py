"""Image folders in zip files: one folder per class, at any depth, with or without train and test folders; or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.datasets import pictures
from pruning_core.datasets.findings import Finding, archive
from pruning_core.datasets.findings.labels import Unlabelled
from pruning_core.datasets.images import SUFFIXES
from pruning_core.datasets.listing import BARE, Listed, listing
from pruning_core.datasets.opened import Members, Opened
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.targets import nothing
from pruning_core.errors import UserError, quoted


@dataclass(frozen=True, eq=False)
class Contents:
    """An open archive and the pictures in it."""

    opened: Opened
    listed: Sequence[Listed]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class Sorted:
    """What archives hold, training part first: ``labels`` int64 (N,) of ``classes``, or (N, 0) where there are none;
    the first ``train`` are the training part."""

    members: Members
    labels: Tensor
    classes: tuple[str, ...]
    train: int
    findings: tuple[Finding, ...]

    def raw(self, inputs: Tensor, findings: tuple[Finding, ...]) -> Raw:
        """With ``inputs`` (N, …), what its members decode to."""
        names = tuple(item[2] for item in self.members.chosen)
        said, at = (*self.findings, *findings), self.train
        if at == len(names):
            return Raw(inputs, self.labels, self.classes, findings=said, names=names)
        return Raw(inputs[:at], self.labels[:at], self.classes, inputs[at:], self.labels[at:], said, names)


def read(archives: Sequence[Opened], size: tuple[int, int] | None, progress: Progress) -> Raw:
    """Decode every image of an archive, together with those of a second one, which holds test images.

    Together, because they share one size, one bit depth, and are all grey or all in colour. size: (H, W), or None as
    in ``pictures``. Raises UserError when there are class folders in one part alone, or an image does not decode.
    Images without class folders have no labels.
    """
    found = sorted_out(archives)
    return found.raw(*pictures.decoded(found.members, archives[0].name, size, progress))


def sorted_out(archives: Sequence[Opened], suffixes: frozenset[str] = SUFFIXES, what: str = "images") -> Sorted:
    """Which members are of which class and part. Raises UserError as ``read`` does."""
    found = [_contents(each, suffixes, what) for each in archives]
    train, tests, said = _parts(found)
    whole = [*train, *tests]
    labels = sorted({item.label for _, item in train})
    number = {label: at for at, label in enumerate(labels)}
    numbers = torch.tensor([number[item.label] for _, item in whole], dtype=torch.int64)
    if labels == [BARE]:
        labels, numbers, said = [], nothing(len(whole)), (*said, Unlabelled())
    members = Members([(contents.opened, item.member, item.name) for contents, item in whole])
    findings = (*(each for contents in found for each in contents.findings), *said)
    return Sorted(members, numbers, tuple(labels), len(train), findings)


def _contents(opened: Opened, suffixes: frozenset[str], what: str) -> Contents:
    listed, findings = listing(opened.names, opened.name, suffixes, what)
    return Contents(opened, listed, findings + opened.findings)


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
            f"The test folder of {first.opened.name!r} holds the class {quoted(lacking[0])}, which its train folder "
            "lacks."
        )
    return train, test, said
