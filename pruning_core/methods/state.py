"""What the phases of a program hand on, and what they all work with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from torch import Tensor, nn

from pruning_core.allocation.shortcuts import Coupled, Shortcuts
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, Removal, capture, remove
from pruning_core.graph.edits import Edit, edited
from pruning_core.training.config import FineTune

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Setup:
    """The images and settings of a program; phases take from it what they need.

    ``proof``: the images that removals are proved on. ``fit``, ``held_out``, ``test``: to train and to measure on.
    ``config`` is shared out among all trainings. ``seed`` draws the images that are scored and recovered on.
    """

    proof: Dataset
    fit: Dataset | None = None
    held_out: Dataset | None = None
    test: Dataset | None = None
    config: FineTune = field(default_factory=FineTune)
    seed: int = 0
    device: str = "auto"


def needed(value: T | None, what: str) -> T:
    """Raises ValueError where a program was set up without what one of its phases needs."""
    if value is None:
        raise ValueError(f"this program needs {what}")
    return value


@dataclass(frozen=True, eq=False)
class Origin:
    """The network that a program begins with, on the CPU in evaluation mode. Never changed.

    ``example``: the arguments that it is captured with, as soon as somebody asks, where ``known`` is not its capture.
    ``shortcuts`` says which groups stay whole, in this network and in all that are made of it.
    """

    model: nn.Module
    example: Tensor | tuple[Any, ...]
    known: Network | None = None
    shortcuts: Shortcuts = field(default_factory=Coupled)

    @cached_property
    def network(self) -> Network:
        """Raises UserError when the network cannot be captured."""
        return self.shortcuts.narrowed(self.known or capture(self.model, self.example))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Units by group key."""
        return {group.key: group.size for group in self.network.groups}

    def cut(self, plan: Plan, edits: tuple[Edit, ...] = ()) -> nn.Module:
        """Without the units of ``plan``, or with the ``edits``; with the weights that it has."""
        if edits:
            return edited(self.model, edits)
        return remove(self.model, self.network, plan).model if plan else self.model


@dataclass(frozen=True, eq=False)
class Snap:
    """A network at one moment, and what had been removed by then."""

    model: nn.Module
    plan: Plan


@dataclass(frozen=True, eq=False)
class State:
    """A network between two phases. No phase changes it: each returns another one.

    ``plan`` is all that is gone, in units of ``origin``. ``removal`` is the last removal with its proof. ``learnt`` is
    what the hooks of the last training have learnt. ``snapshots`` by key. ``uncut`` is the network before the removals
    since which no weight has changed: what mending aims at. ``edits`` are all changes of the build; a program either
    removes units or changes the build, since what is left of a group could not be followed through both.
    """

    origin: Origin
    model: nn.Module
    plan: Plan = field(default_factory=Plan)
    snapshots: Mapping[str, Snap] = field(default_factory=dict)
    learnt: Mapping[str, Tensor] = field(default_factory=dict)
    removal: Removal | None = None
    uncut: Snap | None = None
    edits: tuple[Edit, ...] = ()

    @staticmethod
    def of(model: nn.Module, network: Network, shortcuts: Shortcuts | None = None) -> State:
        """A program begins: ``network`` is the capture of ``model``."""
        return State(Origin(model, network.example, network, shortcuts or Coupled()), model)

    @staticmethod
    def begun(model: nn.Module, example: Tensor | tuple[Any, ...]) -> State:
        """A program begins that perhaps needs no capture, as training alone does not."""
        return State(Origin(model, example), model)

    @cached_property
    def network(self) -> Network:
        """The capture of ``model`` as it is now; made when somebody asks.

        Groups stay whole that the origin does not have: of attention with one head left, the channels inside it.
        """
        if not self.plan and not self.edits:
            return self.origin.network
        now = self.origin.shortcuts.narrowed(capture(self.model, self.origin.network.example))
        new = self._new(now) if self.plan else set()
        return replace(now, whole=now.whole | new) if len(new) < len(now.groups) else now

    def without(self, plan: Plan, model: nn.Module, removal: Removal | None) -> State:
        """``model`` is the network after the removal of ``plan``, counted in units of the network as it is now."""
        if self.edits:
            raise ValueError("units of a network whose build was changed cannot be followed")
        uncut = self.uncut or Snap(self.model, self.plan)
        whole = self.plan.then(plan, self.origin.sizes)
        return replace(self, model=model, plan=whole, removal=removal, uncut=uncut)

    def rebuilt(self, edits: tuple[Edit, ...]) -> State:
        """With more changes of the build. Raises UserError where they do not fit."""
        if self.plan:
            raise ValueError("the build of a network that was cut cannot be changed")
        return replace(self, model=edited(self.model, edits), edits=(*self.edits, *edits), snapshots={}, uncut=None)

    def _new(self, now: Network) -> set[str]:
        """The groups of ``now`` that are not those of the origin without what is gone."""
        alive = self.origin.network.after(self.plan)
        return {group.key for group in now.groups if group.size != len(alive.get(group.key, ()))}

    def check_followed(self, keys: Iterable[str]) -> None:
        """Raises UserError for groups whose units can no longer be told apart from those of the origin."""
        followed = {group.key for group in self.network.groups} - self._new(self.network)
        lost = [key for key in keys if key not in followed]
        if lost:
            raise UserError(
                f"{lost[0]} cannot be followed through several cuts: once cut, this network is a recorded program. "
                "Cut it at once instead."
            )
