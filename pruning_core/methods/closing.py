"""Channels that are closed while a network trains, and may be opened again with the weights they had."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph import Group, Member, Network, Role
from pruning_core.graph.modules import named_tensors
from pruning_core.graph.removing.silence import silenced_members
from pruning_core.methods.units import cuttable
from pruning_core.training.hooks import Hook, Moment


def closable(network: Network) -> list[Group]:
    """The exact groups whose channels fall silent by zeros in the weights that read them."""
    return [
        group
        for group in cuttable(network)
        if all(member.role is Role.CONSUMER for member in silenced_members(network, group.key))
    ]


class Closing(Hook):
    """A closed channel is read as zero, which is what removing it would do, and all its weights stand still.

    Standing still takes more than gradients of zero: weight decay and momentum would move what nobody looks at.
    """

    def __init__(self, model: nn.Module, network: Network, keys: Iterable[str]) -> None:
        tensors = named_tensors(model)
        self.network = network
        wanted = set(keys)
        groups = [group for group in closable(network) if group.key in wanted]
        self._open = {group.key: torch.ones(group.size, dtype=torch.bool) for group in groups}
        self._owned = [
            (group.key, member, tensors[member.parameter])
            for group in groups
            for member in group.members
            if isinstance(tensors[member.parameter], nn.Parameter)
        ]
        self._factors: dict[str, Tensor] = {}
        self._still: dict[str, Tensor] = {}  # entries that belong to closed channels, by parameter
        self._kept: dict[str, Tensor] = {}  # the values that those entries keep
        self._parameters = {member.parameter: tensor for _, member, tensor in self._owned}

    @property
    def opened(self) -> Mapping[str, Tensor]:
        """Group key -> (C,) bool, which channels are open."""
        return self._open

    @torch.no_grad()
    def close(self, closed: Mapping[str, Iterable[int]]) -> None:
        """From now on exactly these channels of the named groups are closed; those of other groups stay as they are."""
        for key, units in closed.items():
            self._open[key] = torch.ones_like(self._open[key])
            self._open[key][list(units)] = False
        self._place()
        self._kept = {name: self._parameters[name].detach().clone() for name in self._still}

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        return {name: self._parameters[name] * factor for name, factor in self._factors.items()}

    @torch.no_grad()
    def after_step(self, moment: Moment) -> None:
        for name, still in self._still.items():
            parameter = self._parameters[name]
            parameter.copy_(torch.where(still, self._kept[name], parameter))

    @property
    def share_open(self) -> Tensor:
        return torch.cat(list(self._open.values())).float().mean()

    def learnt(self) -> Mapping[str, Tensor]:
        """1 for an open channel, 0 for a closed one."""
        return {key: opened.double() for key, opened in self._open.items()}

    def state(self) -> Mapping[str, Any]:
        return {"open": self._open, "kept": self._kept}

    def load(self, state: Mapping[str, Any]) -> None:
        self._open = {key: opened.clone() for key, opened in state["open"].items()}
        self._place()
        self._kept = {name: kept.to(self._parameters[name].device) for name, kept in state["kept"].items()}

    def _place(self) -> None:
        """Where the closed channels lie: every entry that they own, and the entries that read them."""
        self._factors, self._still = {}, {}
        for key, member, parameter in self._owned:
            if self._open[key].all():
                continue
            shut = shut_along(member, parameter, self._open[key])
            name = member.parameter
            before = self._still.get(name)
            self._still[name] = shut.expand_as(parameter).clone() if before is None else before | shut
            if member.role is Role.CONSUMER:
                factor = (~shut).to(parameter.dtype)
                self._factors[name] = self._factors[name] * factor if name in self._factors else factor


class Stepwise(Closing):
    """A closing in ``rounds`` equal parts of a training, the last one at its end."""

    def __init__(self, model: nn.Module, network: Network, keys: Iterable[str], rounds: int) -> None:
        super().__init__(model, network, keys)
        self.rounds, self._made = rounds, 0

    @abstractmethod
    def round(self, number: int) -> None:
        """``number`` counts from 1; the weights have just made a step."""

    def after_step(self, moment: Moment) -> None:
        super().after_step(moment)
        if self._made + 1 < self.rounds and moment.done * self.rounds >= self._made + 1:
            self._next()

    def epoch_end(self, moment: Moment) -> None:
        while moment.done >= 1 and self._made < self.rounds:
            self._next()

    def _next(self) -> None:
        self._made += 1
        self.round(self._made)

    def state(self) -> Mapping[str, Any]:
        return {**super().state(), "made": self._made}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        self._made = state["made"]


def shut_along(member: Member, parameter: Tensor, opened: Tensor) -> Tensor:
    """True where a closed unit owns an entry along the member's dimension; broadcasts to the parameter."""
    shut = torch.zeros(parameter.shape[member.dim], dtype=torch.bool)
    shut[torch.as_tensor(member.index)[~opened].reshape(-1)] = True
    sides = [1] * parameter.dim()
    sides[member.dim] = -1
    return shut.to(parameter.device).view(sides)
