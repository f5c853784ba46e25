"""Pruning in transfer learning: a few channels at a time go between updates, as the new data say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.allocation.pool import Pool
from pruning_core.graph import Network
from pruning_core.graph.modules import named_tensors
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.closing import Stepwise, closable
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.phases import Cut, Learnt, Phase, Train, Zeros
from pruning_core.methods.staged import staged
from pruning_core.methods.units import Slices
from pruning_core.taxonomy import Card, Data, Family, Paper
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch


@dataclass(frozen=True)
class TaylorSteps(HookSpec):
    """Add up what closing each channel would do to the loss; in ``rounds`` steps close those where it is least.

    Every step closes the same share of what is left, until ``budget`` is kept; what is closed stays closed.
    """

    watches: ClassVar = (
        Watch("open", "Channels that are open", "share"),
        Watch("effects", "Effects on the loss at the last step", "share of their layer's norm"),
    )
    budget: Budget = field(default_factory=lambda: Budget("macs", fraction=0.5))
    rounds: Annotated[int, Range(1, 200, "Steps", step=1)] = 10

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _TaylorSteps(self, model, network)


class _TaylorSteps(Stepwise):
    def __init__(self, spec: TaylorSteps, model: nn.Module, network: Network) -> None:
        super().__init__(model, network, (group.key for group in closable(network)), spec.rounds)
        tensors = named_tensors(model)
        self._goal = Goal(network, spec.budget)
        self._readers = {
            key: [
                Slices(weight, member.dim, torch.as_tensor(member.index, device=weight.device))
                for member in network.group(key).consumers
                if (weight := tensors[member.parameter]).dim() > 1
            ]
            for key in self.opened
        }
        self._effects = {key: torch.zeros(len(opened), dtype=torch.float64) for key, opened in self.opened.items()}
        self._shown = torch.zeros(1)

    @torch.no_grad()
    def after_backward(self, moment: Moment) -> None:
        """The gradient of a gate in front of all that read a channel, in absolute value for every batch."""
        for key, readers in self._readers.items():
            slopes = [
                (each.rows() * each.rows(each.tensor.grad)).sum(1) for each in readers if each.tensor.grad is not None
            ]
            if slopes:
                self._effects[key] += torch.stack(slopes).sum(0).abs().double().cpu()

    @torch.no_grad()
    def round(self, number: int) -> None:
        fair = {key: comparable(values, self.opened[key]) for key, values in self._effects.items()}
        pool = Pool.of(self.network, fair)
        plan = allocate(GlobalThreshold(normalise="none"), pool, staged(self._goal, number / self.rounds)).plan
        closed = {key: (~opened).nonzero().flatten().tolist() for key, opened in self.opened.items()}
        self._shown = torch.cat([fair[key][opened] for key, opened in self.opened.items()]).float()
        self.close({key: {*units, *plan.get(key, ())} for key, units in closed.items()})
        self._effects = {key: torch.zeros_like(values) for key, values in self._effects.items()}

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"open": self.share_open, "effects": self._shown}

    def state(self) -> Mapping[str, Any]:
        return {**super().state(), "effects": self._effects, "shown": self._shown}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        self._effects = {key: values.clone() for key, values in state["effects"].items()}
        self._shown = state["shown"]


def comparable(effects: Tensor, opened: Tensor) -> Tensor:
    """(C,) effects divided by their layer's norm, over open channels; closed ones rank below all of them."""
    norm = effects[opened].norm()
    return torch.where(opened, effects / norm if norm > 0 else effects, -1.0)


@dataclass(frozen=True)
class TransferPruning(Method):
    r"""Let a trained network learn new data, and meanwhile take away, a few at a time, what these data do not need.

    $\Theta_c = \sum_{\text{batches}} \left| \sum W_{:,c} \cdot \frac{\partial \mathcal{L}}{\partial W_{:,c}} \right|$,
    divided by the norm of all $\Theta$ of the layer: to first order what closing a channel does to the loss *on the new
    data*, added up over the updates between two cuts. What is read from channels that only the old task needed changes
    nothing here, so they go first. Adaptation comes before the first cut, and no weight is frozen.

    When it fails: where the new data are those that the network was trained on it is Taylor pruning in small steps and
    nothing more. Few updates between two cuts make noisy sums; few images of the new task make all of them so.
    """

    card: ClassVar = Card(
        key="transfer-prune",
        name="Pruning in transfer learning",
        family=Family.GRADIENT,
        data=Data.TRAINING,
        cost="one training; next to nothing for the sums, which use gradients that are there",
        paper=Paper(
            "Pruning Convolutional Neural Networks for Resource Efficient Inference",
            "Molchanov, Tyree, Karras, Aila, Kautz",
            "ICLR",
            2017,
            "1611.06440",
        ),
        builds_on=("surgeon",),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper removes single channels with tens to a thousand updates between them; here a step removes several, "
        "as many steps as you choose. The network keeps its head: it must tell as many classes apart as the new data "
        "have, and the first training makes it theirs."
    )
    in_paper: ClassVar = (
        InPaper("rounds", "one per channel, tens to 1,000 updates between them", False),
        InPaper("epochs", UNREAD),
    )

    rounds: Annotated[int, Range(1, 100, "Steps between updates", step=1)] = 10

    def phases(self, goal: Goal) -> Iterator[Phase]:
        yield Train(0.25, keep="last", name="adapt to the data")
        yield Train(0.45, (TaylorSteps(staged(goal, 1), self.rounds),), keep="last", name="close between updates")
        yield Cut(Learnt(), Zeros(), name="what is closed")
        yield Train(0.3, name="what is left")
