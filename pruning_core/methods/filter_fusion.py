"""Dynamic-coded filter fusion (DCFF): the filters that stay are sums of all, ever more of themselves alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import exp
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest
from pruning_core.graph import Network
from pruning_core.graph.modules import named_tensors
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.gates import Gates
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Cut, Learnt, Phase, Train, Widths
from pruning_core.methods.staged import staged
from pruning_core.methods.units import Slices, joined, producers, uniform_counts, without_channels
from pruning_core.numeric.distances import euclidean
from pruning_core.taxonomy import Card, Data, Family, Paper, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

FIRST, LAST = 1.0, 1e4  # the temperature at both ends, as in the paper


def temperature(done: float, reach: float) -> float:
    """FIRST at the start, LAST at the end of a training: the paper's curve over ``reach`` of its epochs."""
    whole = 2 * (LAST - FIRST) * (1 + exp(-reach)) / (1 - exp(-reach))
    return whole / (1 + exp(-reach * done)) + FIRST - whole / 2


def closeness(rows: Tensor, heat: float) -> Tensor:
    """(C, fan) -> (C, C): row k says how close each filter is to filter k, as shares that add up to 1."""
    return torch.softmax(-euclidean(rows) * heat, dim=1)


def distinctness(shares: Tensor) -> Tensor:
    """(C, C) -> (C,): the sum of Kullback-Leibler divergences of a filter's shares from those of all others."""
    logs = shares.clamp_min(torch.finfo(shares.dtype).tiny).log()
    own = (shares * logs).sum(1)  # (C,)
    return len(shares) * own - (shares @ logs.T).sum(1)


@dataclass(frozen=True)
class FusedFilters(HookSpec):
    """At the start of each epoch the most distinct filters are chosen; in every step they are sums of all filters.

    ``counts`` filters of each group are left out. ``reach``: how many epochs of the paper's the temperature runs
    through.
    """

    watches: ClassVar = (
        Watch("temperature", "Temperature", "1 / distance"),
        Watch("own", "Share of a fused filter that is its own", "share"),
        Watch("changed", "Chosen filters that were not chosen before", "share"),
    )
    counts: Mapping[str, int] = field(default_factory=dict)
    reach: Annotated[float, Range(0.1, 20.0, "Reach of the temperature")] = 6.0

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _FusedFilters(self, model, network)


class _FusedFilters(Hook):
    def __init__(self, spec: FusedFilters, model: nn.Module, network: Network) -> None:
        self._spec = spec
        self._filters = {key: own for key, own in producers(model, network).items() if spec.counts.get(key)}
        tensors = named_tensors(model)
        self._names = {id(tensor): name for name, tensor in tensors.items()}
        self._biases = {key: _biases(own, self._names, tensors) for key, own in self._filters.items()}
        self._gates = Gates.of(model, network, self._filters)
        self._shares: dict[str, Tensor] = {}  # (C, C) by group key; constants while an epoch lasts
        self._chosen: dict[str, Tensor] = {}  # (C,) 1 for what is kept, else 0
        self._heat, self._changed = FIRST, 0.0
        self._choose(0.0)

    def epoch_start(self, moment: Moment) -> None:
        self._choose(moment.done)

    @torch.no_grad()
    def _choose(self, done: float) -> None:
        before = self._chosen
        self._heat = temperature(done, self._spec.reach)
        self._shares, self._chosen = {}, {}
        for key, own in self._filters.items():
            rows = joined(own)
            shares = closeness(rows, self._heat)
            chosen = torch.ones(len(rows), dtype=rows.dtype, device=rows.device)
            chosen[list(lowest(distinctness(shares), self._spec.counts[key]))] = 0
            self._shares[key], self._chosen[key] = shares.to(rows.dtype), chosen
        new = [(chosen > before[key]).sum() / chosen.sum() for key, chosen in self._chosen.items() if key in before]
        self._changed = float(torch.stack(new).mean()) if new else 0.0

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        found: dict[str, Tensor] = {}
        for key, own in self._filters.items():
            for each in (*own, *self._biases[key]):
                name = self._names[id(each.tensor)]
                found[name] = self._fused(key, each, found.get(name, each.tensor))
        return self._gates.exchanged(self._chosen, found)

    def _fused(self, key: str, each: Slices, tensor: Tensor) -> Tensor:
        rows = each.rows(tensor)
        sums = torch.where(self._chosen[key][:, None] > 0, self._shares[key] @ rows, rows)
        return each.replaced(sums, tensor)

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        own = [shares.diagonal()[self._chosen[key] > 0] for key, shares in self._shares.items()]
        return {
            "temperature": torch.tensor(self._heat),
            "own": torch.cat(own),
            "changed": torch.tensor(self._changed),
        }

    def learnt(self) -> Mapping[str, Tensor]:
        return {key: chosen.double().cpu() for key, chosen in self._chosen.items()}

    def state(self) -> Mapping[str, Any]:
        return {"shares": self._shares, "chosen": self._chosen, "heat": self._heat, "changed": self._changed}

    def load(self, state: Mapping[str, Any]) -> None:
        for own, stored in ((self._shares, state["shares"]), (self._chosen, state["chosen"])):
            for key, value in stored.items():
                own[key] = value.to(own[key].device).clone()
        self._heat, self._changed = state["heat"], state["changed"]


def _biases(own: list[Slices], names: Mapping[int, str], tensors: Mapping[str, Tensor]) -> list[Slices]:
    """The biases of layers that make a group: they are fused as the filters are."""
    found = []
    for each in own:
        bias = tensors.get(f"{names[id(each.tensor)].rpartition('.')[0]}.bias")
        if bias is not None and each.dim == 0 and len(bias) == len(each.tensor):
            found.append(Slices(bias, 0, each.index))
    return found


@dataclass(frozen=True)
class FilterFusion(Method):
    r"""Train with the most distinct filters only, each fused with all that are like it, until each is itself again.

    $\tilde F_k = \sum_j P_{kj} F_j$ with $P_k = \operatorname{softmax}_j(-\|F_k - F_j\|_2\, T)$: the filters whose
    shares $P_k$ differ most from those of the others, by the sum of Kullback-Leibler divergences, are kept, and the
    network computes with their fused forms alone, while gradients reach every filter. The choice is made anew in each
    epoch. As the temperature $T$ rises, $P_k$ becomes 1 for the filter itself; the fused filters are what is cut out.

    When it fails: at the first, low temperatures filters of a trained network are averaged with all others, and what it
    knew is lost for a while: the method was made to train from scratch. Widths are fixed beforehand.
    """

    card: ClassVar = Card(
        key="dcff",
        name="Filter fusion (DCFF)",
        family=Family.REDUNDANCY,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training; all pairs of filters in each epoch, and one product more per layer in each step",
        paper=Paper(
            "Training Compact CNNs for Image Classification Using Dynamic-Coded Filter Fusion",
            "Lin M., Ji, Chen B., Chao, Liu J., Zeng, Tian Y., Tian Q.",
            "TNNLS",
            2022,
            "2107.06916",
        ),
        published=(
            Published("ResNet-56", "CIFAR-10", "93.26 % at 55.9 % fewer FLOPs", "lmbxmu/DCFF", True),
            Published("VGG-16", "CIFAR-10", "93.47 % at 76.8 % fewer FLOPs", "lmbxmu/DCFF", True),
            Published("ResNet-50", "ImageNet", "75.60 % at 63.0 % fewer FLOPs", "lmbxmu/DCFF", True),
        ),
        builds_on=("l1", "hrank"),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains 300 epochs on CIFAR-10 from scratch with a rate given for every layer; here the given "
        "network is trained on for a few, every layer loses the same share, and the temperature runs through a few of "
        "the paper's epochs."
    )
    in_paper: ClassVar = (
        InPaper("reach", "300: as many as it trains"),
        InPaper("epochs", "300 (CIFAR-10), 90 or 180 (ImageNet)"),
        InPaper("lr", "0.1, a tenth after 150 and 225 epochs"),
        InPaper("batch_size", "256"),
        InPaper("weight_decay", "5e-4"),
    )

    reach: Annotated[
        float,
        Range(
            0.1, 20.0, "Reach of the temperature", log=True, help="in epochs of the paper's; large: filters part soon"
        ),
    ] = 6.0

    def obstacle(self, network: Network) -> str:
        return without_channels(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        counts = uniform_counts(goal.network, staged(goal, 1))
        yield Train(1.0, (FusedFilters(counts, self.reach),), keep="last", name="with fused filters")
        yield Cut(Learnt(), Widths(counts), name="what was fused into others")
