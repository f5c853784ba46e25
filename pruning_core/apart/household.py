"""The one fork server of this process, for whoever needs a child."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pruning_core.apart.described import Opened, looked_at
from pruning_core.apart.far import Far
from pruning_core.apart.opening import Size, import_apart, open_apart
from pruning_core.isolation import AVAILABLE
from pruning_core.isolation.limits import Limits
from pruning_core.runs.elsewhere import Elsewhere
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.opening import noted
from pruning_core.storage.workspace import Workspace
from pruning_core.zoo import LoadedModel, ModelRef, import_model, load_model
from pruning_core.zoo.factory import VARIABLE, named_at_start

if TYPE_CHECKING:
    from pruning_core.isolation.children import Children


@cache
def _children() -> Children:
    from pruning_core.isolation.children import Children

    made = Children("pruning_core.apart", {VARIABLE: named_at_start() or ""})
    atexit.register(made.close)
    return made


def children() -> Children | None:
    """Started with its first child, or with its ``start``; None where there are none, and all stays in this process."""
    return _children() if AVAILABLE else None


def elsewhere() -> Elsewhere | None:
    """Where the product's runs happen; None where there are no children.

    While the fork server still imports what it needs, runs of networks of ours start inside, where they start at once.
    """
    house = children()
    if house is None:
        return None
    from pruning_core.apart.places import limits_of, provide

    def limits(spec: RunSpec, workspace: Workspace) -> Limits | None:
        found = limits_of(spec, workspace)
        if found is None or found.confined or house.ready:
            return found
        house.start()
        return None

    return Elsewhere(house, limits, provide)


def open_network(ref: ModelRef, workspace: Workspace) -> LoadedModel | Opened:
    """The network that ``ref`` names; a stranger's program comes only as numbers under names, with its groups.

    Raises UserError when it cannot be had.
    """
    house = children()
    if house is not None and ref.foreign:
        return open_apart(house, ref, workspace)
    if not ref.brought:
        return load_model(ref, workspace)
    with noted(workspace.root, ref.key, ref.name):
        return load_model(ref, workspace)


def far(ref: ModelRef, workspace: Workspace) -> Far | None:
    """Whom to ask about a network that does not run in this process; None for those that do."""
    house = children()
    return Far(house, ref, workspace) if house is not None and ref.foreign else None


def import_network(
    path: Path, name: str, workspace: Workspace, architecture: str | None = None, size: Size | None = None,
    weights: str | None = None, sizes: Mapping[str, int] | None = None,
) -> Opened:  # fmt: skip
    """As ``import_model``, but nothing of the file is read in this process where there are others.

    Raises UserError as ``import_model`` does.
    """
    house = children()
    if house is None:
        return looked_at(import_model(path, name, workspace, architecture, size, weights, sizes))
    return import_apart(house, path, name, workspace, architecture, size, weights, sizes)
