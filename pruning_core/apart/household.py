"""The one fork server of this process, for whoever needs a child."""

from __future__ import annotations

import atexit
from functools import cache

from pruning_core.isolation import AVAILABLE
from pruning_core.isolation.limits import Limits
from pruning_core.runs.elsewhere import Elsewhere
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.zoo.factory import VARIABLE, named_at_start

if AVAILABLE:
    from pruning_core.isolation.children import Children

    @cache
    def children() -> Children:
        """Started with its first child, or with its ``start``."""
        made = Children("pruning_core.apart", {VARIABLE: named_at_start() or ""})
        atexit.register(made.close)
        return made


def elsewhere() -> Elsewhere | None:
    """Where the product's runs happen; None where there are no children, and everything stays in this process.

    While the fork server still imports what it needs, runs of networks of ours start inside, where they start at once.
    """
    if not AVAILABLE:
        return None
    from pruning_core.apart.places import limits_of, provide

    house = children()

    def limits(spec: RunSpec, workspace: Workspace) -> Limits | None:
        found = limits_of(spec, workspace)
        if found is None or found.confined or house.ready:
            return found
        house.start()
        return None

    return Elsewhere(house, limits, provide)
