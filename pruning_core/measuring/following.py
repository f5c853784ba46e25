"""How near a network stays to the one that it was cut from: for any network and any inputs, without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.measuring.measure import Against, Averaged, Decided, Summed, Unscaled, flat, ratio
from pruning_core.numeric.outputs import Takes


@dataclass(frozen=True)
class Agreement(Decided):
    """Share of images for which both networks decide for the same class."""

    key: ClassVar = "agreement"
    name: ClassVar = "Agreement"
    says: ClassVar = "share of images for which the network decides as the unpruned one does"
    against: ClassVar = Against.NETWORK

    def target(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(1)


@dataclass(frozen=True)
class PlaceAgreement(Averaged):
    """Share of the places of an image, such as its pixels, at which both networks decide for the same class."""

    key: ClassVar = "place_agreement"
    name: ClassVar = "Agreement of places"
    says: ClassVar = "share of places at which the network decides for the same class as the unpruned one"
    against: ClassVar = Against.NETWORK

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return bool(places) and width > 1

    def target(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(1)  # (n, C, …) -> (n, …)

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return flat(outputs.argmax(1) == targets).mean(1, keepdim=True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)


@dataclass(frozen=True)
class OutputError(Summed):
    """How far the outputs are from those of the unpruned network, as a share of what these are.

    The root of the summed squared differences over the root of the summed squares, over all images together.
    """

    key: ClassVar = "output_error"
    name: ClassVar = "Output error"
    says: ClassVar = "distance of the outputs from those of the unpruned network, as a share of their size"
    rises: ClassVar = False
    against: ClassVar = Against.NETWORK

    @property
    def takes(self) -> Takes:
        return Takes.NUMBERS

    @property
    def title(self) -> str:
        return "Relative output error"

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = flat(targets)
        return torch.stack([(flat(outputs) - wanted).square().sum(1), wanted.square().sum(1)], 1)

    def from_sums(self, sums: Tensor) -> Tensor:
        return ratio(sums[:, 0], sums[:, 1]).sqrt()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = targets.to(outputs.dtype)
        return (outputs - wanted).square().sum() / wanted.square().sum().clamp_min(1e-12)


@dataclass(frozen=True)
class Cosine(Unscaled):
    """Whether the outputs for an image point the same way: 1 is the same direction, 0 none in common."""

    key: ClassVar = "cosine"
    name: ClassVar = "Cosine similarity"
    says: ClassVar = "mean cosine between the outputs of both networks for an image: 1 is the same direction"
    against: ClassVar = Against.NETWORK

    @property
    def takes(self) -> Takes:
        return Takes.NUMBERS

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cosine_similarity(flat(outputs), flat(targets))[:, None]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 1 - F.cosine_similarity(outputs.flatten(1), targets.to(outputs.dtype).flatten(1)).mean()


@dataclass(frozen=True)
class Divergence(Unscaled):
    """Kullback and Leibler's divergence of the class probabilities from those of the unpruned network, in nats."""

    key: ClassVar = "divergence"
    name: ClassVar = "Divergence of scores"
    says: ClassVar = "mean divergence (KL, in nats) of the class probabilities from those of the unpruned network"
    rises: ClassVar = False
    against: ClassVar = Against.NETWORK

    def reads(self, width: int, places: tuple[int, ...], of_classes: bool) -> bool:
        return width > 1 and (of_classes or bool(places))

    def rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _divergences(outputs.double(), targets.double())[:, None]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return _divergences(outputs, targets.to(outputs.dtype)).mean()


def _divergences(scores: Tensor, wanted: Tensor) -> Tensor:
    """(n, K, …) class scores -> (n,): summed over classes, averaged over places."""
    each = F.kl_div(F.log_softmax(scores, 1), F.log_softmax(wanted, 1), reduction="none", log_target=True).sum(1)
    return each.flatten(1).mean(1) if each.dim() > 1 else each
