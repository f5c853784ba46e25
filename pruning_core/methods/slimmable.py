"""Training one network at several widths at once, channels in a fixed order: what AutoSlim searches in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.graph import Network
from pruning_core.graph.modules import named_tensors
from pruning_core.knobs import Range
from pruning_core.measuring.forward import main_output
from pruning_core.methods.closing import closable, shut_along
from pruning_core.methods.units import joined, producers
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.loss import Forward, Objective, ObjectiveSpec, training_loss
from pruning_core.training.watch import Watch

Narrowest = Annotated[float, Range(0.05, 0.95, "Narrowest width", step=0.05, help="share of each layer's channels")]


class Slimmable:
    """A network whose layers can be read at any width: the channels with the largest filters stay to the last."""

    def __init__(self, model: nn.Module, network: Network) -> None:
        tensors = named_tensors(model)
        made = producers(model, network)
        groups = [group for group in closable(network) if group.key in made]
        sums = {group.key: joined(made[group.key]).detach().abs().sum(1).cpu() for group in groups}
        self.order = {key: values.argsort(descending=True, stable=True) for key, values in sums.items()}
        self._readers = [
            (group.key, member, tensors[member.parameter]) for group in groups for member in group.consumers
        ]
        self._statistics = {
            name: value for name, value in tensors.items() if name in dict(model.named_buffers())
        }  # those of the widest network: narrower ones must not move them

    def at(self, shares: Mapping[str, float]) -> dict[str, Tensor]:
        """What is exchanged so that the network is read at so wide layers; at least one channel each."""
        found: dict[str, Tensor] = {name: value.clone() for name, value in self._statistics.items()}
        for key, member, parameter in self._readers:
            opened = torch.zeros(len(self.order[key]), dtype=torch.bool)
            opened[self.order[key][: max(1, round(shares[key] * len(opened)))]] = True
            factor = (~shut_along(member, parameter, opened)).to(parameter.dtype)
            found[member.parameter] = found.get(member.parameter, parameter) * factor
        return found

    def evenly(self, share: float) -> dict[str, Tensor]:
        return self.at(dict.fromkeys(self.order, share))


@dataclass(frozen=True)
class Sandwich(ObjectiveSpec):
    """Every step at the widest, the narrowest, and ``between`` random widths, which learn what the widest says.

    The widest alone learns from labels. Events report its loss.
    """

    narrowest: Narrowest = 0.25
    between: Annotated[int, Range(0, 8, "Random widths per step", step=1)] = 2

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return True

    def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
        raise ValueError("a sandwich of widths needs the captured network")

    def begin_on(self, model: nn.Module, network: Network | None, others: Mapping[str, nn.Module]) -> Objective:
        return self.begin(model, others) if network is None else _Sandwich(self, Slimmable(model, network))


@dataclass(frozen=True, eq=False)
class _Sandwich(Objective):
    spec: Sandwich
    slim: Slimmable

    def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        output = forward(x)
        total, main = training_loss(output, y, 0.0)
        wanted = main_output(output).detach().float().softmax(1)  # the teacher learns nothing from its students
        low = self.spec.narrowest
        drawn = (low + (1 - low) * torch.rand(self.spec.between, len(self.slim.order))).tolist()
        for shares in (dict.fromkeys(self.slim.order, low), *(dict(zip(self.slim.order, each)) for each in drawn)):
            scores = main_output(forward(x, self.slim.at(shares))).float()
            total = total + F.cross_entropy(scores, wanted)
        return total, main


@dataclass(frozen=True)
class WidthOrder(HookSpec):
    """The order in which channels of a sandwich leave; and how accurate it is at three widths."""

    watches: ClassVar = (
        Watch("widest", "Accuracy at full width, on one training batch", "share"),
        Watch("half", "Accuracy at half the width, on the same batch", "share"),
        Watch("narrowest", "Accuracy at the narrowest width, on the same batch", "share"),
    )
    narrowest: Narrowest = 0.25

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _WidthOrder(self.narrowest, model, network)


class _WidthOrder(Hook):
    def __init__(self, narrowest: float, model: nn.Module, network: Network) -> None:
        self._slim = Slimmable(model, network)
        self._shares = {"widest": 1.0, "half": 0.5, "narrowest": narrowest}
        self._accuracies = dict.fromkeys(self._shares, 0.0)
        self._batch = torch.zeros(0)
        self._handle = model.register_forward_pre_hook(self._reader())

    def _reader(self) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        """No method of this object, which copies of the network would copy too."""

        def read(model: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._batch = inputs[0].detach()  # the last one before a step's end is the step's

        return read

    @torch.no_grad()
    def after_step(self, moment: Moment) -> None:
        """Late in every epoch, with the statistics of the batch; the very last one may be a small rest."""
        if moment.labels is None or moment.step != max(0, moment.steps - 2):
            return
        for name, share in self._shares.items():
            scores = main_output(functional_call(moment.model, self._slim.evenly(share), (self._batch,)))
            self._accuracies[name] = float((scores.argmax(1) == moment.labels).float().mean())

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {name: torch.tensor(accuracy) for name, accuracy in self._accuracies.items()}

    def learnt(self) -> Mapping[str, Tensor]:
        """C for the channel that stays to the last, 1 for the one that goes first."""
        return {key: (len(order) - order.argsort()).double() for key, order in self._slim.order.items()}

    def stop(self, model: nn.Module) -> None:
        self._handle.remove()

    def state(self) -> Mapping[str, Any]:
        return {"accuracies": dict(self._accuracies)}

    def load(self, state: Mapping[str, Any]) -> None:
        self._accuracies = dict(state["accuracies"])
