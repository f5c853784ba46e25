"""The hooks of one training, each called at those moments only that it takes part in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.loss import Objective, ObjectiveSpec
from pruning_core.training.watch import Watched, seen

MOMENTS: tuple[Callable[..., Any], ...] = (
    Hook.overrides,
    Hook.penalty,
    Hook.epoch_start,
    Hook.after_backward,
    Hook.after_step,
    Hook.epoch_end,
    Hook.learnt,
    Hook.watched,
)


class Begun:
    """``stack`` stops every hook that has begun, also when a later one cannot begin.

    Raises ValueError where there are hooks and no ``network``.
    """

    def __init__(self, specs: Sequence[HookSpec], model: nn.Module, network: Network | None, stack: ExitStack) -> None:
        self._hooks: list[Hook] = []
        for spec in specs:
            if network is None:
                raise ValueError("hooks need the captured network")
            hook = spec.begin(model, network)
            stack.callback(hook.stop, model)
            self._hooks.append(hook)
        self._parameters = [list(hook.parameters()) for hook in self._hooks]
        self.undecayed = [parameter for hook in self._hooks for parameter in hook.undecayed()]
        self._taking = {method: [h for h in self._hooks if _has(h, method)] for method in MOMENTS}
        self._names = _aliases(model) if self._taking[Hook.overrides] else {}

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for own in self._parameters for parameter in own]

    @property
    def penalises(self) -> bool:
        return bool(self._taking[Hook.penalty])

    def overrides(self, moment: Moment) -> dict[str, Tensor]:
        """What all hooks together exchange. Raises ValueError for an unknown name, and for one exchanged twice."""
        found: dict[str, Tensor] = {}
        for hook in self._taking[Hook.overrides]:
            for name, tensor in hook.overrides(moment).items():
                if name not in self._names:
                    raise ValueError(f"{type(hook).__name__} exchanges {name!r}, which the network does not have")
                if not found.keys().isdisjoint(self._names[name]):
                    raise ValueError(f"{name!r} is exchanged by two hooks")
                found[name] = tensor
        return found

    def folded(self, state: dict[str, Tensor], overrides: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``state`` (on the CPU) with these exchanges made, under every name that a shared tensor has."""
        exchanged: dict[str, Tensor] = {}
        for name, tensor in overrides.items():
            value = tensor.detach().to("cpu", copy=True).contiguous()
            exchanged |= {each: value for each in self._names[name] if each in state}
        return {**state, **exchanged}

    def penalty(self, moment: Moment) -> Tensor | None:
        """The sum of what the hooks ask for; None where none asks."""
        parts = [part for hook in self._taking[Hook.penalty] if (part := hook.penalty(moment)) is not None]
        return sum(parts[1:], parts[0]) if parts else None

    def at(self, what: Callable[[Hook, Moment], None], moment: Moment) -> None:
        """``what`` is one of Hook's own methods, such as ``Hook.after_step``: called of every hook that has it."""
        for hook in self._taking[what]:
            getattr(hook, what.__name__)(moment)

    def watched(self, moment: Moment) -> tuple[Watched, ...]:
        return tuple(
            seen(key, tensor) for hook in self._taking[Hook.watched] for key, tensor in hook.watched(moment).items()
        )

    def learnt(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """What the hooks had learnt when they were in these ``states``. Raises ValueError for a name used twice."""
        found: dict[str, Tensor] = {}
        telling = self._taking[Hook.learnt]
        if telling:
            self.load(states)
        for hook in telling:
            new = dict(hook.learnt())
            if not found.keys().isdisjoint(new):
                raise ValueError(f"{type(hook).__name__} learnt what another hook has learnt too")
            found |= new
        return found

    def state(self) -> list[dict[str, Any]]:
        """Of every hook a copy on its device."""
        return [
            {"parameters": [p.detach().clone() for p in own], "own": copy.deepcopy(dict(hook.state()))}
            for hook, own in zip(self._hooks, self._parameters)
        ]

    @torch.no_grad()
    def load(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Raises ValueError for the states of other hooks."""
        if [len(state["parameters"]) for state in states] != [len(own) for own in self._parameters]:
            raise ValueError("this checkpoint was made with other hooks")
        for hook, own, state in zip(self._hooks, self._parameters, states):
            for parameter, value in zip(own, state["parameters"]):
                parameter.copy_(value)
            hook.load(state["own"])


def _has(hook: Hook, method: Callable[..., Any]) -> bool:
    return getattr(type(hook), method.__name__) is not method


def _aliases(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """For every name of a parameter or buffer all names of the same one."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    shared: dict[int, list[str]] = {}
    for name, tensor in named:
        shared.setdefault(id(tensor), []).append(name)
    return {name: tuple(shared[id(tensor)]) for name, tensor in named}


@dataclass(frozen=True, eq=False)
class Company:
    """Who takes part in a training beside the network; ``others`` are the networks that the objective may ask for."""

    hooks: tuple[HookSpec, ...]
    network: Network | None
    objective: ObjectiveSpec
    others: Mapping[str, nn.Module]

    def begin(self, model: nn.Module, stack: ExitStack) -> tuple[Begun, Objective]:
        hooks = Begun(self.hooks, model, self.network, stack)
        return hooks, self.objective.begin_on(model, self.network, self.others)
