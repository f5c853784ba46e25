"""What applying a plan came to, as records."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.graph import Cost, LayerCost, Proof
from pruning_core.measuring.measures import Accuracy, Drop, Latency
from pruning_core.zoo import ModelRef


@dataclass(frozen=True)
class Figures:
    """What was measured and counted of one network; ``thop_macs`` is None where thop cannot count it."""

    accuracy: Accuracy
    latency: Latency
    cost: Cost
    thop_macs: int | None


@dataclass(frozen=True)
class Recovered:
    """The smaller network after ``recovery`` (its card's name), which looked at ``images`` images of the fitted part.

    ``trained``: that weights changed too, not statistics alone. ``seconds``: what the recovery took.
    """

    recovery: str
    model: ModelRef
    accuracy: Accuracy
    drop: Drop
    images: int
    trained: bool
    seconds: float


@dataclass(frozen=True)
class Apart:
    """How far the output called ``name`` is from the original's for ``images`` test images, as a share of its size:
    just cut, and after the recovery, None where there was none."""

    name: str
    images: int
    after: float
    recovered: float | None


@dataclass(frozen=True)
class Pruned:
    """The smaller network ``model``, its proof, and both networks on the same images.

    ``form`` and ``notes`` are the removal's. ``drop`` is paired, before against after. ``layers`` are the rows of the
    layer table (before, after). ``recovered`` is None where the recovery does nothing to this network. ``apart``: of
    each output, where the network gives several.
    """

    model: ModelRef
    form: str
    notes: tuple[str, ...]
    proof: Proof
    before: Figures
    after: Figures
    drop: Drop
    layers: tuple[tuple[LayerCost, LayerCost], ...]
    recovered: Recovered | None
    apart: tuple[Apart, ...] = ()
