"""Images decoded together with what belongs to each: masks, or pictures that outputs are compared with."""

from __future__ import annotations

from fractions import Fraction

from torch import Tensor

from pruning_core.datasets import masks, pictures
from pruning_core.datasets.findings import Finding, places
from pruning_core.datasets.images import Header
from pruning_core.datasets.opened import Members, Opened
from pruning_core.datasets.paired import Pairs, Role
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.errors import UserError, quoted
from pruning_core.storage.memory import must_fit

BYTE = 255.0
FLOAT = 4  # bytes


def read(opened: Opened, found: Pairs, size: tuple[int, int] | None, progress: Progress) -> Raw:
    """Labels uint8 (N, H, W) of masks, or float32 (N, C, H', W') in [0, 1] of target pictures.

    size: (H, W), or None as in ``pictures``. Raises UserError naming the picture that does not fit its partner.
    """
    whole = Members([(opened, pair.image, pair.name) for pair in found.pairs])
    others = Members([(opened, pair.partner, pair.partner_name) for pair in found.pairs])
    images, converted = pictures.decoded(whole, opened.name, size, progress)
    headers = pictures.headers(whole, progress)
    wanted = (images.shape[2], images.shape[3])
    if found.role is Role.MASK:
        sides = [(each.height, each.width) for each in headers]
        labels, said = masks.decoded(others, sides, wanted, opened.name, progress)
    else:
        labels, said = _targets(others, headers, wanted, opened.name, progress)
    findings = (*found.findings, *opened.findings, *dict.fromkeys((*said, *converted)))
    names = tuple(pair.name for pair in found.pairs)
    train = sum(not pair.test for pair in found.pairs)
    if train == len(names):
        return Raw(images, labels, (), findings=findings, names=names)
    return Raw(images[:train], labels[:train], (), images[train:], labels[train:], findings, names)


def _targets(
    source: Members, images: list[Header], size: tuple[int, int], name: str, progress: Progress
) -> tuple[Tensor, tuple[Finding, ...]]:
    """Float32 (N, C, H', W'): as many times ``size`` as all targets have of the sides of their images."""
    headers = pictures.headers(source, progress)
    ratio = _ratio(source, headers, images)
    sides = round(size[0] * ratio), round(size[1] * ratio)
    channels = 3 if any(each.kind.coloured for each in headers) else 1
    needed = 2 * FLOAT * len(headers) * channels * sides[0] * sides[1]
    must_fit(needed, f"The target pictures of {name!r}", "Send fewer or smaller images.")
    found, converted = pictures.decoded(source, name, sides, progress)
    return found / BYTE, (places.TargetPictures(channels, round(float(ratio), 4)), *converted)


def _ratio(source: Members, targets: list[Header], images: list[Header]) -> Fraction:
    """How many times the height and width of its image every target has. Raises UserError where that differs."""
    first = Fraction(targets[0].height, images[0].height)
    for at, (target, image) in enumerate(zip(targets, images, strict=True)):
        if target.height != first * image.height or target.width != first * image.width:
            raise UserError(
                f"The target picture {quoted(source.name(at))} has {target.width} × {target.height} pixels and its "
                f"image {image.width} × {image.height}. All targets must be as many times as large as their images; "
                f"the first one, {quoted(source.name(0))}, is {float(first):g} times as high."
            )
    return first
