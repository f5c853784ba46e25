"""Structured ADMM: the weights are drawn, ever more strongly, to the nearest network with enough empty filters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest
from pruning_core.graph import Network
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import InPaper, ours
from pruning_core.methods.phases import Cut, Learnt, Phase, Train, Widths
from pruning_core.methods.staged import staged
from pruning_core.methods.units import joined, producers, uniform_counts
from pruning_core.taxonomy import Card, Data, Family, Paper, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch


def projected(rows: Tensor, count: int) -> Tensor:
    """The nearest (C, fan) with ``count`` empty rows: those of smallest norm become zero."""
    nearest = rows.clone()
    if count:
        nearest[list(lowest(rows.norm(dim=1), count))] = 0
    return nearest


@dataclass(frozen=True)
class NearSparse(HookSpec):
    """rho / 2 times the squared distance of the weights from Z - U; Z and U are renewed after each epoch.

    ``counts`` filters of each group are empty in Z. rho is multiplied by ``growth`` after each epoch.
    """

    watches: ClassVar = (
        Watch("residual", "Distance from the sparse network", "share of the weights' norm"),
        Watch("norms", "Filter norms", "L2 norm"),
    )
    counts: Mapping[str, int] = field(default_factory=dict)
    rho: Annotated[float, Range(1e-5, 10.0, "Penalty rho", log=True)] = 1e-2
    growth: Annotated[float, Range(1.0, 10.0, "Growth of rho per epoch")] = 1.5

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _NearSparse(self, model, network)


class _NearSparse(Hook):
    def __init__(self, spec: NearSparse, model: nn.Module, network: Network) -> None:
        self._counts = spec.counts
        self._filters = {key: own for key, own in producers(model, network).items() if spec.counts.get(key)}
        self._rho, self._growth = spec.rho, spec.growth
        weights = {key: joined(own).detach() for key, own in self._filters.items()}
        self._sparse = {key: projected(rows, self._counts[key]) for key, rows in weights.items()}
        self._dual = {key: torch.zeros_like(rows) for key, rows in weights.items()}

    def penalty(self, moment: Moment) -> Tensor | None:
        if not self._filters:
            return None
        parts = [
            (joined(own) - self._sparse[key] + self._dual[key]).square().sum() for key, own in self._filters.items()
        ]
        return 0.5 * self._rho * torch.stack(parts).sum()

    @torch.no_grad()
    def epoch_end(self, moment: Moment) -> None:
        for key, own in self._filters.items():
            rows = joined(own)
            self._sparse[key] = projected(rows + self._dual[key], self._counts[key])
            self._dual[key] += rows - self._sparse[key]
        self._rho *= self._growth

    @torch.no_grad()
    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        weights = {key: joined(own) for key, own in self._filters.items()}
        if not weights:
            return {"residual": torch.tensor(0.0), "norms": torch.zeros(1)}
        off = torch.stack([(rows - self._sparse[key]).square().sum() for key, rows in weights.items()]).sum()
        whole = torch.stack([rows.square().sum() for rows in weights.values()]).sum()
        return {
            "residual": (off / whole).sqrt(),
            "norms": torch.cat([rows.norm(dim=1) for rows in weights.values()]),
        }

    def learnt(self) -> Mapping[str, Tensor]:
        """Empty filters of Z rank below all others, those by their norm."""
        return {key: rows.norm(dim=1).double().cpu() for key, rows in self._sparse.items()}

    def state(self) -> Mapping[str, Any]:
        return {"rho": self._rho, "sparse": self._sparse, "dual": self._dual}

    def load(self, state: Mapping[str, Any]) -> None:
        self._rho = state["rho"]
        for own, stored in ((self._sparse, state["sparse"]), (self._dual, state["dual"])):
            for key, rows in stored.items():
                own[key] = rows.to(own[key].device).clone()


@dataclass(frozen=True)
class StructuredADMM(Method):
    r"""Train near a network with empty filters, found anew after each epoch, until both are one; then cut.

    $\min \mathcal{L}(W) + \tfrac{\rho}{2}\sum_l \|W_l - Z_l + U_l\|_F^2$, where $Z = \Pi_S(W + U)$ has its smallest
    filters empty and the dual $U \leftarrow U + W - Z$ remembers how long a weight has resisted: the hard constraint
    "so many filters are zero" is split from the training, so that both are solved in turns.

    When it fails: the weights must come near Z before the cut, which takes many epochs or a large rho; the residual
    that is shown says how far they are. Widths are fixed beforehand, the same share for every layer.
    """

    card: ClassVar = Card(
        key="admm-filters",
        name="ADMM, filters",
        family=Family.PROXY,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training with a penalty, one projection per epoch, and a training after the cut",
        paper=Paper(
            "A Systematic DNN Weight Pruning Framework using Alternating Direction Method of Multipliers",
            "Zhang T., Ye, Zhang K., Tang, Wen, Fardad, Wang",
            "ECCV",
            2018,
            "1804.03294",
        ),
        published=(
            Published(
                "LeNet-5", "MNIST", "430.5K to 6.05K weights at 99.2 % (elements)", "KaiqiZhang/admm-pruning", True
            ),
        ),
        builds_on=("mag",),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "AlexNet took 40 rounds of ADMM with several epochs each; here every epoch is a round, and rho grows from one "
        "to the next so that few suffice."
    )
    in_paper: ClassVar = (
        InPaper("rho", "1e-2 (a port), 1e-4 (NNI)", False),
        InPaper("epochs", "40 rounds of several epochs (AlexNet)"),
        InPaper("weight_decay", "5e-4", False),
        *ours("growth"),
    )

    rho: Annotated[float, Range(1e-5, 10.0, "Penalty rho", log=True)] = 1e-2
    growth: Annotated[float, Range(1.0, 10.0, "Growth of rho per epoch", step=0.1)] = 1.5

    def phases(self, goal: Goal) -> Iterator[Phase]:
        counts = uniform_counts(goal.network, staged(goal, 1))
        yield Train(0.6, (NearSparse(counts, self.rho, self.growth),), keep="last", name="near the sparse network")
        yield Cut(Learnt(), Widths(counts), name="its empty filters")
        yield Train(0.4, name="what is left")
