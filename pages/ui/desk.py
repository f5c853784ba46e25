"""What one visitor has chosen, as a value, and how it is written down. No streamlit here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.storage.artifacts import replacing
from pruning_core.storage.opening import ended_the_server
from pruning_core.storage.workspace import Workspace
from pruning_core.zoo import DEMOS, ModelRef
from pruning_core.zoo.factory import factory_ref, named_at_start

PLANS_KEPT = 50


@dataclass(frozen=True)
class Desk:
    """The model and data in view, and the plan last made for each model (by the model's key).

    ``made``: what made a plan, as JSON text, by the digest of model and plan.
    """

    model: ModelRef
    data: DataRef
    plans: Mapping[str, Plan] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """The plan for the model in view; empty when there is none."""
        return self.plans.get(self.model.key, Plan())

    def with_model(self, model: ModelRef, data: DataRef) -> Desk:
        return replace(self, model=model, data=data)

    def with_data(self, data: DataRef) -> Desk:
        return replace(self, data=data)

    def with_plan(self, plan: Plan, made: str = "") -> Desk:
        """``made``: what made it, as JSON text; "" for what nobody can say."""
        others = {key: kept for key, kept in self.plans.items() if key != self.model.key}
        newest = [*others.items(), (self.model.key, plan)][-PLANS_KEPT:]
        place = _place(self.model, plan)
        told = {key: kept for key, kept in self.made.items() if key != place}
        if made or place in self.made:  # an undo brings back a plan whose making is known
            told[place] = made or self.made[place]
        return replace(self, plans=dict(newest), made=dict([*told.items()][-PLANS_KEPT:]))

    def made_by(self, model: ModelRef, plan: Plan) -> str:
        """What made ``plan`` for ``model``, as JSON text; "" when it is not known."""
        return self.made.get(_place(model, plan), "")

    def to_json(self) -> str:
        plans = {key: plan.to_json() for key, plan in self.plans.items()}
        return json.dumps(
            {"model": self.model.to_json(), "data": self.data.to_json(), "plans": plans, "made": dict(self.made)}
        )

    @staticmethod
    def from_json(text: str) -> Desk:
        """Raises ValueError, KeyError, TypeError or UserError for text of another version."""
        stored = json.loads(text)
        plans = {key: Plan.from_json(plan) for key, plan in stored["plans"].items()}
        return Desk(
            ModelRef.from_json(stored["model"]), DataRef.from_json(stored["data"]), plans, dict(stored.get("made", {}))
        )


def _place(model: ModelRef, plan: Plan) -> str:
    return hashlib.sha256(f"{model.key} {plan.to_json()}".encode()).hexdigest()


def first_desk() -> Desk:
    """What a new visitor finds: the network named when the dashboard was started, else the demo."""
    name = named_at_start()
    return Desk(factory_ref(name) if name else DEMOS[0].ref, DEMOS[0].data)


def remember(workspace: Workspace, owner: str, desk: Desk) -> None:
    """Write the desk down; a full disk, a reader or another tab at the same moment does no harm."""
    with replacing(_path(workspace, owner)) as file:
        file.write(desk.to_json().encode())


def recall(workspace: Workspace, owner: str) -> Desk:
    """What was written down, or the first desk; with the first network where a server ended as it opened the other."""
    kept, first = _kept(workspace, owner), first_desk()
    return kept.with_model(first.model, first.data) if _harmful(workspace, kept) else kept


def lost(workspace: Workspace, owner: str) -> str:
    """The name of the network that ``recall`` keeps off the desk; "" where there is none."""
    return _harmful(workspace, _kept(workspace, owner))


def _kept(workspace: Workspace, owner: str) -> Desk:
    try:
        return Desk.from_json(_path(workspace, owner).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
        return first_desk()


def _harmful(workspace: Workspace, desk: Desk) -> str:
    return ended_the_server(workspace.root, desk.model.key)


def _path(workspace: Workspace, owner: str) -> Path:
    # The owner's name is a secret that opens their runs, so the directory shows only its digest.
    return workspace.root / "desks" / f"{hashlib.sha256(owner.encode()).hexdigest()[:32]}.json"
