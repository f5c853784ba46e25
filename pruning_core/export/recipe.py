"""The recipe: the few lines that repeat a plan in another pipeline, as JSON or YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from pruning_core.allocation.base import Allocation
from pruning_core.allocation.budget import Allocated, Budget, allocate
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.shortcuts import SHORTCUTS
from pruning_core.allocation.strategies import ALLOCATIONS
from pruning_core.errors import UserError
from pruning_core.export.document import How, checked, plan_of
from pruning_core.graph import Network, Plan, Removal, capture, remove
from pruning_core.storage.codec import Codec, UnknownClass

FORMAT = "prunescope.recipe"
PARTS = ("version", "tool", "base", "how", "plan", "cost")
LARGEST = 32 << 20  # characters


def recipe_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a plan document that repeats it: the network, the criterion, the allocation and the plan."""
    return {"format": FORMAT, **{part: document[part] for part in PARTS}}


def to_yaml(recipe: Mapping[str, Any]) -> str:
    """The same as YAML, lists on one line."""
    text: str = yaml.dump(
        dict(recipe), Dumper=_Whole, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120
    )
    return text


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read. ``content`` is the whole of it."""

    content: Mapping[str, Any]

    @property
    def plan(self) -> Plan:
        """Raises UserError when it holds none."""
        return plan_of(self.content)

    def how(self, classes: Iterable[type] = ()) -> How:
        """What the plan came from; ``classes`` are the criteria and data references that may stand in it.

        Raises UserError when it names something that this version does not know.
        """
        return how_of(self.content, classes)

    def apply(self, model: nn.Module, example: Tensor | None = None) -> tuple[Network, Removal]:
        """Cut ``model`` by the plan as it stands. Raises UserError when it fits another network."""
        network = capture(model, self._zeros(model) if example is None else example)
        return network, remove(model, network, self.plan)

    def allocate(self, network: Network, scores: Mapping[str, Tensor], classes: Iterable[type] = ()) -> Allocated:
        """The allocation again, on ``scores`` of the recipe's criterion for this network.

        Raises UserError when the plan was picked by hand.
        """
        how = self.how(classes)
        if not isinstance(how.allocation, Allocation):
            raise UserError(
                "This plan was picked by hand: there is no allocation to repeat. Apply the plan as it stands."
            )
        fair = how.criterion.fair.by if how.criterion is not None else "mean"
        return allocate(how.allocation, Pool.of(network, scores, how.limits, fair), *how.budgets)

    def _zeros(self, model: nn.Module) -> Any:
        shapes = self.content.get("base", {}).get("input_shapes") or []
        reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
        return tuple(torch.zeros(*shape).to(reference) for shape in shapes)


def how_from(text: str, classes: Iterable[type] = ()) -> How | None:
    """What made a plan, from JSON text; None when nobody can say, or this version cannot read it."""
    if not text:
        return None
    try:
        return how_of({"how": json.loads(text)}, classes)
    except (UserError, ValueError):
        return None


def how_of(content: Mapping[str, Any], classes: Iterable[type] = ()) -> How:
    """What the plan of a recipe or of a plan document came from; ``classes`` as in :meth:`Recipe.how`.

    Raises UserError when it names something that this version does not know.
    """
    codec = Codec((How, Limits, Budget, *SHORTCUTS, *ALLOCATIONS, *classes))
    said = content.get("how")
    if isinstance(said, dict) and said.get("budget") is not None:  # files of when there was one at most
        said = {**said, "budgets": [said["budget"]]}
    try:
        found = codec.load(json.dumps(said))
    except (UnknownClass, TypeError, ValueError) as error:
        raise UserError(f"This recipe cannot be repeated by this version of PruneScope: {error}.") from error
    if not isinstance(found, How):
        raise UserError("This recipe does not say how its plan was made. Apply the plan as it stands.")
    return found


def read_recipe(text: str) -> Recipe:
    """From JSON or YAML. Nothing in it can run. Raises UserError when it is no recipe."""
    if len(text) > LARGEST:
        raise UserError(f"A recipe has at most {LARGEST >> 20} MiB; this file is larger. Choose another file.")
    try:
        content = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Plain)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError("This is no recipe: neither JSON nor YAML. Choose a file that PruneScope wrote.") from error
    return Recipe(checked(content, FORMAT))


class _Whole(yaml.SafeDumper):
    """Every value in its place, even where two are the same object: what is read has no references."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Plain(yaml.SafeLoader):
    """Plain values, and no references: a few lines of nested ones would unfold to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references are not read")
        return super().compose_node(parent, index)
