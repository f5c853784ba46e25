"""Soft filter pruning: after every epoch the least important filters become zero, and may grow again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import exp
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest
from pruning_core.criteria import Criterion, GeometricMedian, L2Norm, score
from pruning_core.graph import Network
from pruning_core.knobs import Toggle
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Absorb, Cut, Phase, Recover, Train, Widths
from pruning_core.methods.staged import staged
from pruning_core.methods.units import joined, producers, uniform_counts
from pruning_core.taxonomy import Card, Data, Family, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

RAMP = 3.0  # how concave the rising number is: after a quarter of the training it is a little over half its end


@dataclass(frozen=True)
class SoftZeros(HookSpec):
    """After each epoch the ``counts`` lowest filters of each group by ``criterion`` are set to zero, and train on.

    ``asymptotic``: the number rises over the epochs, quickly at first, so that less is destroyed while the learning
    rate is high. The criterion needs no images.
    """

    watches: ClassVar = (
        Watch("norms", "Filter norms before they are zeroed", "L2 norm"),
        Watch("returned", "Zeroed filters that had grown back", "share"),
    )
    counts: Mapping[str, int] = field(default_factory=dict)
    criterion: Criterion = field(default_factory=L2Norm)
    asymptotic: bool = False

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _SoftZeros(self, model, network)


class _SoftZeros(Hook):
    def __init__(self, spec: SoftZeros, model: nn.Module, network: Network) -> None:
        self._spec, self._network = spec, network
        self._filters = producers(model, network)
        self._zeroed: dict[str, tuple[int, ...]] = {}
        self._norms, self._returned = torch.zeros(1), torch.tensor(0.0)

    @torch.no_grad()
    def epoch_end(self, moment: Moment) -> None:
        self._look()
        values = score(moment.model, self._network, (self._spec.criterion,), None)[self._spec.criterion].values
        self._zeroed = {}
        for key, count in self._spec.counts.items():
            now = round(count * _rate(moment.done)) if self._spec.asymptotic else count
            units = lowest(values[key], now) if key in values and now else ()
            for each in self._filters.get(key, ()):
                each.zero(units)
            self._zeroed[key] = tuple(int(unit) for unit in units)

    def _look(self) -> None:
        norms = {key: joined(own).norm(dim=1) for key, own in self._filters.items()}
        self._norms = torch.cat(list(norms.values()))
        before = [norms[key][list(units)] for key, units in self._zeroed.items() if units and key in norms]
        self._returned = (torch.cat(before) > 0).float().mean() if before else torch.tensor(0.0)

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"norms": self._norms, "returned": self._returned}

    def state(self) -> Mapping[str, Any]:
        zeroed = {key: list(units) for key, units in self._zeroed.items()}
        return {"zeroed": zeroed, "norms": self._norms, "returned": self._returned}

    def load(self, state: Mapping[str, Any]) -> None:
        self._zeroed = {key: tuple(units) for key, units in state["zeroed"].items()}
        self._norms, self._returned = state["norms"], state["returned"]


def _rate(done: float) -> float:
    """The share of the final rate after ``done`` of the training: 0 at the start, 1 at the end, concave."""
    return (1 - exp(-RAMP * done)) / (1 - exp(-RAMP))


@dataclass(frozen=True)
class SoftFilterPruning(Method):
    r"""Set the filters of smallest norm to zero after every epoch, but let them grow again; cut at the end.

    $W_i \leftarrow 0$ for the $\lfloor P\,C \rfloor$ filters of smallest $\|W_i\|_2$, at the end of each epoch: a
    filter that was zeroed by mistake takes part in the next epoch and may come back. Every layer loses the same share,
    and what is zero at the end is removed; its constant is handed on, statistics are renewed, and no training follows.

    When it fails: with a high learning rate every zeroing throws the network back, so the given one needs a low one. A
    zeroed filter still passes the constant of its batch norm on; where padding ends such a constant, what reads it
    cannot be given all of it.
    """

    card: ClassVar = Card(
        key="sfp",
        name="Soft filter pruning",
        family=Family.MAGNITUDE,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training; a pass over the weights after each epoch",
        paper=L2Norm.card.paper,
        published=(
            Published("ResNet-56", "CIFAR-10", "93.59 to 93.36 % at 2.11x", "table of the ACSP paper", False),
            Published("ResNet-50", "ImageNet", "74.6 % at 41.8 % fewer FLOPs", "table of a transform paper", False),
        ),
        builds_on=("l1",),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains 200 epochs on CIFAR-10 (a tenth of the learning rate when it starts from a trained network); "
        "here it is a few epochs from the given one."
    )
    in_paper: ClassVar[tuple[InPaper, ...]] = (
        InPaper("asymptotic", "off; on in its later form (ASFP)"),
        InPaper("epochs", "200 (CIFAR-10), 100 (ImageNet)"),
        InPaper("lr", "0.1; 0.01 from a trained network"),
        InPaper("batch_size", "128"),
        InPaper("weight_decay", "5e-4"),
    )
    criterion: ClassVar[Criterion] = L2Norm()

    asymptotic: Annotated[
        bool, Toggle("Rising number", help="zero few filters at first and all of them at the end (ASFP)")
    ] = False

    def phases(self, goal: Goal) -> Iterator[Phase]:
        counts = uniform_counts(goal.network, staged(goal, 1))
        hook = SoftZeros(counts, self.criterion, self.asymptotic)
        yield Train(1.0, (hook,), keep="last", name="zeros that may grow again")
        yield Cut(self.criterion, Widths(counts), name="what is zero")
        yield Absorb(name="their shifts")
        yield Recover(name="statistics")


@dataclass(frozen=True)
class SoftGeometricMedian(SoftFilterPruning):
    r"""Soft pruning of the filters nearest to the geometric median of their layer, which the others can replace.

    $W_i \leftarrow 0$ for the $\lfloor P\,C \rfloor$ filters of smallest $\sum_j \|W_i - W_j\|_2$, at the end of each
    epoch; they may grow again. What is closest to all others is easiest to replace by them, however large it is.

    When it fails: where norms differ much the sum follows the norm, and it does what soft filter pruning does. A zeroed
    filter is far from the median of the others, so the same ones are not chosen again by themselves.
    """

    card: ClassVar = Card(
        key="fpgm-soft",
        name="Soft geometric median (FPGM)",
        family=Family.REDUNDANCY,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training; all pairs of filters after each epoch",
        paper=GeometricMedian.card.paper,
        published=GeometricMedian.card.published,
        builds_on=("sfp", "l1"),
    )
    in_paper: ClassVar = (
        InPaper("asymptotic", "off"),
        InPaper("epochs", "200"),
        InPaper("lr", "0.1; 0.01 from a trained network"),
    )
    criterion: ClassVar[Criterion] = GeometricMedian()
