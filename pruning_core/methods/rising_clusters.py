"""Cluster pruning in a single shot (CUP-SS): while it trains, the height at which channels count as alike rises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.criteria import ClusterPruning
from pruning_core.graph import Network, Plan, Role
from pruning_core.graph.modules import named_tensors
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.gates import Gates
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.phases import Cut, Learnt, Phase, Train, Within
from pruning_core.methods.staged import staged
from pruning_core.methods.units import Slices, cuttable, without_channels
from pruning_core.numeric.trees import absorption, ward
from pruning_core.taxonomy import Card, Data, Family, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

HALF = Budget("macs", fraction=0.5)
Entry = tuple[float, str, int]  # the height at which a channel is absorbed, its group and its number


def features(slices: list[Slices]) -> Tensor:
    """(C, d): the norms of the kernels that make each channel, and of those that read it, side by side."""
    parts = []
    for each in slices:
        moved = each.tensor.detach().movedim(each.dim, 0)[each.index.reshape(-1)]  # (C k, other side, …)
        kernels = moved.reshape(*each.index.shape, moved.shape[1], -1)  # (C, k, other side, kernel)
        parts.append(kernels.double().square().sum((1, 3)).sqrt())
    return torch.cat(parts, 1)


@dataclass(frozen=True)
class RisingClusters(HookSpec):
    """At the start of each epoch what is closer than a height is clustered, and one channel of each cluster is kept.

    The height rises in a straight line, from 0 to what the given network needs for ``budget``, after ``until`` of the
    training; nothing more goes as soon as the budget is kept. Absorbed channels stay silent.
    """

    watches: ClassVar = (
        Watch("height", "Height of the cut", "Ward's distance"),
        Watch("heights", "Heights at which channels are absorbed", "Ward's distance"),
        Watch("cost", "Cost of what is left", "share"),
    )
    budget: Budget = HALF
    until: Annotated[float, Range(0.0, 1.0, "Share of the training that clusters")] = 0.5

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _RisingClusters(self, model, network)


class _RisingClusters(Hook):
    def __init__(self, spec: RisingClusters, model: nn.Module, network: Network) -> None:
        self._network, self._kind, self._until = network, spec.budget.kind, spec.until
        self._around, self._gates = _around(model, network), Gates.of(model, network)
        self._gone: list[Entry] = []  # in the order in which they went
        self._open: dict[str, Tensor] = {}  # (C,) 0 for what is gone, by the groups that lost something
        self._whole = self._cost(())
        self._limit = spec.budget.limit(self._whole)
        self._queue, self._height = self._absorbed(), 0.0
        needed = self._needed()
        self._slope = self._queue[needed - 1][0] if needed else 0.0

    def epoch_start(self, moment: Moment) -> None:
        """What is absorbed goes for good: its weights become zero, so that others no longer see them."""
        rising = moment.done < self._until
        self._height = self._slope * moment.done / self._until if rising else inf
        self._queue = self._absorbed()
        below = sum(height <= self._height for height, _, _ in self._queue)
        self._gone += self._queue[: min(below, self._needed())]
        for key, units in self._plan().items():
            for each in self._around[key]:
                each.zero(units)
        self._close()

    def _close(self) -> None:
        self._open = {}
        for key, units in self._plan().items():
            self._open[key] = torch.ones(self._gates.sizes[key], device=self._around[key][0].tensor.device)
            self._open[key][list(units)] = 0

    def _absorbed(self) -> list[Entry]:
        """Channels that are left, in the order in which a rising height absorbs them; one of each group never is."""
        found: list[Entry] = []
        plan = self._plan()
        for key, slices in self._around.items():
            rows = features(slices)
            left = [unit for unit in range(len(rows)) if unit not in set(plan.get(key, ()))]
            if len(left) > 1:
                heights = absorption(ward(rows[left]), rows[left].norm(dim=1)).tolist()
                stays = max(range(len(left)), key=lambda place: heights[place])
                found += [(heights[place], key, unit) for place, unit in enumerate(left) if place != stays]
        return sorted(found, key=lambda entry: entry[0])

    def _needed(self) -> int:
        """How many of the queue must go so that the budget is kept; all of it where that is not enough."""
        low, high = 0, len(self._queue)
        while low < high:
            middle = (low + high) // 2
            kept = self._cost(self._queue[:middle]) <= self._limit
            low, high = (low, middle) if kept else (middle + 1, high)
        return low

    def _plan(self, more: Iterable[Entry] = ()) -> Plan:
        drop: dict[str, list[int]] = {}
        for _, key, unit in (*self._gone, *more):
            drop.setdefault(key, []).append(unit)
        return Plan(drop)

    def _cost(self, more: Iterable[Entry]) -> float:
        cost = self._network.cost(self._plan(more))
        return cost.macs if self._kind == "macs" else cost.parameters

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        return self._gates.exchanged(self._open)

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {
            "height": torch.tensor(min(self._height, self._slope)),
            "heights": torch.tensor([height for height, _, _ in self._queue] or [0.0]),
            "cost": torch.tensor(self._cost(()) / self._whole),
        }

    def learnt(self) -> Mapping[str, Tensor]:
        """What is gone ranks below all others, what went first the lowest; those by their height."""
        order = [*self._gone, *self._absorbed()]
        places = {(key, unit): float(place) for place, (_, key, unit) in enumerate(order)}
        return {
            key: torch.tensor([places.get((key, unit), float(len(order))) for unit in range(size)])
            for key, size in self._gates.sizes.items()
        }

    def state(self) -> Mapping[str, Any]:
        return {"gone": _plain(self._gone), "queue": _plain(self._queue), "height": self._height}

    def load(self, state: Mapping[str, Any]) -> None:
        self._gone, self._queue = ([(h, key, unit) for h, key, unit in state[name]] for name in ("gone", "queue"))
        self._height = state["height"]
        self._close()


def _plain(entries: list[Entry]) -> list[list[Any]]:
    return [list(entry) for entry in entries]


def _around(model: nn.Module, network: Network) -> dict[str, list[Slices]]:
    """Group key -> the weights that make its channels and those that read them."""
    tensors = named_tensors(model)
    return {
        group.key: [
            Slices(tensor, member.dim, torch.as_tensor(member.index, device=tensor.device))
            for member in group.members
            if member.role is not Role.CARRIER and (tensor := tensors[member.parameter]).dim() > 1
        ]
        for group in cuttable(network)
    }


@dataclass(frozen=True)
class ClustersWhileTraining(Method):
    r"""Cluster channels at a height that rises while the network trains, keep one of each cluster, stop at the budget.

    $t(e) = k\,e, \quad f_c = (\|W_{c,i}\|_F)_i \oplus (\|W'_{o,c}\|_F)_o$: at the start of each epoch, channels whose
    clusters in Ward's trees of $f$ join below the height $t$ are alike, and the one of largest $\|f\|_2$ stands for
    them from then on. One height for all layers, so each finds its own width, and one training is all it takes.

    When it fails: norms forget the sign and the shape of kernels, so different detectors can look alike. The training
    that is left after the last cut must be long enough to get over it.
    """

    card: ClassVar = Card(
        key="cup-ss",
        name="Clusters while training (CUP-SS)",
        family=Family.CLUSTERING,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="one training; a cluster tree per layer in each epoch",
        paper=ClusterPruning.card.paper,
        published=(
            Published(
                "ResNet-56",
                "CIFAR-10",
                "93.36 % at .12G of .25G multiply-adds counted twice",
                "duggalrahul/CUP_Public",
                True,
            ),
            Published("ResNet-50", "ImageNet", "74.40 % at 2.20x fewer FLOPs", "duggalrahul/CUP_Public", True),
        ),
        builds_on=("cup",),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains from scratch, with a given slope of the height (0.02 to 0.035 per epoch on CIFAR-10), until "
        "the budget is kept; here the given network is trained on for a few epochs, and the slope follows from the "
        "height at which that network would keep to the budget."
    )
    in_paper: ClassVar = (
        InPaper("until", "where its slope of 0.02 to 0.035 per epoch meets the budget"),
        InPaper("epochs", "160", False),
    )

    until: Annotated[
        float,
        Range(0.1, 0.9, "Rises until", step=0.05, help="the share of the training after which the budget is kept"),
    ] = 0.5

    def obstacle(self, network: Network) -> str:
        return without_channels(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        budget = staged(goal, 1)
        yield Train(1.0, (RisingClusters(budget, self.until),), keep="last", name="height rises")
        yield Cut(Learnt(), Within(GlobalThreshold(normalise="none", floor=0.0), budget), name="what was absorbed")
