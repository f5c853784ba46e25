"""From a plan and a schedule to what each group has lost after each step."""

from __future__ import annotations

from collections.abc import Mapping

from pruning_core.allocation.lowest import removed_count
from pruning_core.allocation.pool import Counts
from pruning_core.allocation.schedule import Schedule
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan


def steps_of(schedule: Schedule, network: Network, plan: Plan, wanted: int) -> int:
    """How many steps ``schedule`` takes to ``plan``: ``wanted`` ones, unless it has a pace of its own."""
    return schedule.steps(max(network.ratio(plan, key) for key in plan)) or wanted


def course(schedule: Schedule, network: Network, plan: Plan, steps: int) -> tuple[Counts, ...]:
    """Channels that every group of ``plan`` has lost after steps 0 to ``steps``; the last are the plan's own counts.

    Where a group lies decides its depth. Raises UserError when the schedule would give channels back.
    """
    keys = [group.key for group in network.groups]
    depth = {key: place / max(1, len(keys) - 1) for place, key in enumerate(keys)}
    found: list[Counts] = []
    for step in range(steps + 1):
        counts = {
            key: len(units)
            if step == steps
            else removed_count(
                schedule.ratio(step, steps, network.ratio(plan, key), depth[key]), network.group(key).size
            )
            for key, units in plan.items()
        }
        if found and any(counts[key] < before for key, before in found[-1].items()):
            raise UserError("Removed channels do not come back. Choose a schedule that only grows.")
        found.append(counts)
    return tuple(found)


def share_of(network: Network, counts: Mapping[str, int]) -> float:
    """Of the channels of the groups in ``counts``, how many are gone; 0 where there are none."""
    return sum(counts.values()) / max(1, sum(network.group(key).size for key in counts))
