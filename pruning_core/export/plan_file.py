"""A plan before it is applied, as a small JSON file; and every file of ours that holds a plan, read back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pruning_core.datasets import DataRef
from pruning_core.errors import UserError, clip
from pruning_core.export.document import Base, How, heading, plan_of, read_document
from pruning_core.export.link import Shared, shared
from pruning_core.export.recipe import FORMAT as RECIPE
from pruning_core.export.recipe import LARGEST, read_recipe
from pruning_core.graph import Network, Plan
from pruning_core.storage.codec import encode


def intended(base: Base, network: Network, plan: Plan, data: DataRef, how: How | None = None) -> dict[str, Any]:
    """A plan document without what only a removal knows: proof, form, weights."""
    return {
        **heading(base, network),
        "data": encode(data),
        "how": encode(how or How()),
        "plan": {key: list(units) for key, units in plan.items()},
        "cost": {
            "before": encode(network.cost()),
            "after": encode(network.cost(plan)),
            "source": "derived",
            "about": "closed form, one image",
        },
    }


@dataclass(frozen=True)
class PlanFile:
    """``shared`` is None where the file names no network that can be looked for; then there is the ``plan`` alone."""

    title: str
    plan: Plan
    shared: Shared | None


def read_plan_file(text: str, data: DataRef) -> PlanFile:
    """A plan, a plan document or a recipe, JSON or YAML; ``data`` where the file names none.

    Raises UserError when it is none of them.
    """
    if len(text) > LARGEST:
        raise UserError(f"A plan's file has at most {LARGEST >> 20} MiB; this one is larger. Choose another file.")
    recipe = not text.lstrip().startswith("{") or f'"{RECIPE}"' in text[:4096]
    content = read_recipe(text).content if recipe else read_document(text)
    plan = plan_of(content)
    base = content.get("base")
    base = base if isinstance(base, dict) else {}
    title = clip(str(base.get("title") or "another network"))
    try:
        found = shared(base["ref"], content.get("data") or encode(data), plan)
    except (UserError, ValueError, KeyError, TypeError, RecursionError):
        return PlanFile(title, plan, None)
    return PlanFile(title, plan, found)
