"""Where a program stands, on disk, complete enough to go on as if it had never stopped."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph import Plan
from pruning_core.graph.edits import Edit
from pruning_core.methods.state import Origin, Snap, State
from pruning_core.storage.artifacts import replacing
from pruning_core.training.checkpoint import Checkpoint, copied
from pruning_core.zoo.rebuilt import edits_of, told

EVERY = 30.0  # seconds between two saves inside a training; a crash loses no more


@dataclass(frozen=True, eq=False)
class Stored:
    """A network as a plan for the origin and the weights that are left; None for the origin's own."""

    plan: str
    weights: dict[str, Tensor] | None
    edits: str = ""

    @staticmethod
    def of(model: nn.Module, plan: Plan, origin: Origin, edits: tuple[Edit, ...] = ()) -> Stored:
        return Stored(plan.to_json(), None if model is origin.model else copied(model), told(edits))

    def model(self, origin: Origin) -> nn.Module:
        if self.weights is None:
            return origin.model
        plan, edits = Plan.from_json(self.plan), edits_of(self.edits)
        model = origin.cut(plan, edits) if plan or edits else copy.deepcopy(origin.model)
        model.load_state_dict(self.weights)
        return model

    def snap(self, origin: Origin) -> Snap:
        return Snap(self.model(origin), Plan.from_json(self.plan))


@dataclass(frozen=True, eq=False)
class Place:
    """``number`` phases are done; ``training`` stands inside the next one, where that is a training that has begun.

    A removal is not stored: where it lies behind, its proof does too.
    """

    number: int
    network: Stored
    snapshots: dict[str, Stored]
    learnt: dict[str, Tensor]
    training: Checkpoint | None = None
    uncut: Stored | None = None

    @staticmethod
    def of(number: int, state: State, training: Checkpoint | None = None) -> Place:
        return Place(
            number,
            Stored.of(state.model, state.plan, state.origin, state.edits),
            {key: Stored.of(snap.model, snap.plan, state.origin) for key, snap in state.snapshots.items()},
            {key: tensor.cpu() for key, tensor in state.learnt.items()},
            training,
            Stored.of(state.uncut.model, state.uncut.plan, state.origin) if state.uncut else None,
        )

    def state(self, origin: Origin) -> State:
        """What the next phase begins with."""
        return State(
            origin,
            self.network.model(origin),
            Plan.from_json(self.network.plan),
            {key: each.snap(origin) for key, each in self.snapshots.items()},
            self.learnt,
            uncut=self.uncut.snap(origin) if self.uncut else None,
            edits=edits_of(self.network.edits),
        )

    def epochs(self, number: int) -> float:
        """How much of the training in phase ``number`` lies behind: all (infinity), some, or -1 before it begins."""
        if number < self.number:
            return math.inf
        return self.training.position if self.training and number == self.number else -1.0

    def save(self, file: Path) -> None:
        """Completely or not at all."""
        plain = {
            "number": self.number,
            "network": vars(self.network),
            "snapshots": {key: vars(each) for key, each in self.snapshots.items()},
            "learnt": self.learnt,
            "training": self.training and self.training.plain(),
            "uncut": self.uncut and vars(self.uncut),
        }
        with replacing(file) as open_file:
            torch.save(plain, open_file)

    @staticmethod
    def load(file: Path) -> Place | None:
        """The place, or None where there is none that can be read."""
        try:
            plain: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return Place(
                plain["number"],
                Stored(**plain["network"]),
                {key: Stored(**each) for key, each in plain["snapshots"].items()},
                plain["learnt"],
                plain["training"] and Checkpoint.of(plain["training"]),
                plain["uncut"] and Stored(**plain["uncut"]),
            )
        except (OSError, RuntimeError, KeyError, TypeError, EOFError, UnpicklingError):
            return None


@dataclass
class Keeper:
    """Saves the place of one program in ``file``."""

    file: Path
    saved: float = field(default_factory=time.monotonic)

    def load(self) -> Place | None:
        return Place.load(self.file)

    def save(self, place: Place) -> None:
        place.save(self.file)
        self.saved = time.monotonic()

    def now_and_then(self, place: Callable[[], Place]) -> None:
        if time.monotonic() - self.saved > EVERY:
            self.save(place())
