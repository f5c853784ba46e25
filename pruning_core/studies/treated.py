"""What running a method reports."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.graph import Cost, Proof
from pruning_core.measuring.measures import Accuracy, AverageMacs, Drop, Latency
from pruning_core.sparsity.weights import Sparsity
from pruning_core.zoo import ModelRef


@dataclass(frozen=True)
class PhaseDone:
    """Phase ``number`` (from 0) is performed: what the network costs and gets right now.

    ``accuracy`` is that on the test images; after a training it is that of the weights that were kept. ``plan`` is the
    JSON of what is gone so far, in units of the network that the method began with. ``seconds`` since the phase before
    it was done (or the run went on), measuring included; ``images`` counts those trained on, repeated ones each time.
    ``sparsity`` is what is left of weights with zeros in them; None before a method sets any. ``average`` is what an
    image needs where gates open image by image; None where there are none.
    """

    number: int
    accuracy: Accuracy
    macs: int
    parameters: int
    plan: str
    seconds: float
    images: int
    sparsity: Sparsity | None = None
    average: AverageMacs | None = None


@dataclass(frozen=True)
class Standing:
    """One network as it stands before or after a method.

    ``cost`` is that of the dense network. Where a method sets weights to zero, ``sparsity`` is what of it is left, and
    ``compressed`` the latency with kernels that skip zeros, where PyTorch has them for these layers on this device.
    ``average``: what a test image needs where gates open image by image; None for a network without gates.
    """

    accuracy: Accuracy
    latency: Latency
    cost: Cost
    sparsity: Sparsity | None = None
    compressed: Latency | None = None
    average: AverageMacs | None = None


@dataclass(frozen=True)
class Treated:
    """A method has come to its end with ``model``.

    ``cut`` is the accuracy right after the last removal, before anything mended it; None where nothing was removed.
    ``drop`` is paired on the same test images, before against after. ``proof`` is that of the last removal; None where
    it lies in an earlier attempt. ``images`` and ``seconds`` are those of all phases together, ``seeds`` those of the
    trainings.
    """

    model: ModelRef
    before: Standing
    after: Standing
    cut: Accuracy | None
    drop: Drop
    proof: Proof | None
    images: int
    seconds: float
    seeds: tuple[int, ...]
