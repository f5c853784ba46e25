"""From sliders to plans and back. No streamlit, no plotly: values in, values out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from pruning_core.allocation.limits import Limits
from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.graph import Group, LayerCost, Network, Plan

MOST_OPEN = 24  # groups of one stage


@dataclass(frozen=True)
class Cut:
    """One group under a plan: what was asked (in whole per cent) and what that means in channels."""

    key: str
    size: int
    removed: int
    asked: int
    exact: bool

    @property
    def kept(self) -> int:
        return self.size - self.removed

    @property
    def actual(self) -> float:
        return self.removed / self.size

    @property
    def spared(self) -> bool:
        """Everything was asked for, and one channel was kept."""
        return self.asked >= 100


def cuts(network: Network, plan: Plan, asked: Mapping[str, int], multiple: int = 1) -> list[Cut]:
    """Every group of the network; `asked` counts only where it leads to what the plan removes."""
    found = []
    for group in network.groups:
        removed = len(plan.get(group.key, ()))
        wish = asked.get(group.key)
        if wish is None or counted(wish, group.size, multiple) != removed:
            wish = math.ceil(100 * removed / group.size - 1e-9)
        found.append(Cut(group.key, group.size, removed, wish, group.exact))
    return found


def counted(percent: int, size: int, multiple: int = 1) -> int:
    """Channels that a slider at `percent` removes, at 100 all but one; the kept ones rounded up to a `multiple`."""
    removed = size - 1 if percent >= 100 else removed_count(percent / 100, size)
    return Limits(multiple=multiple).rounded(size, removed)


def with_percent(plan: Plan, group: Group, percent: int, scores: Tensor, multiple: int = 1) -> Plan:
    """The plan in which the group loses the lowest `percent` of its channels."""
    return plan.with_group(group.key, lowest(scores, counted(percent, group.size, multiple)))


def everywhere(network: Network, plan: Plan, percent: int, scores: Mapping[str, Tensor], multiple: int = 1) -> Plan:
    """The same share of every exact group that was scored; the others stay as they are."""
    for group in network.groups:
        if group.exact and group.key in scores:
            plan = with_percent(plan, group, percent, scores[group.key], multiple)
    return plan


def chosen_otherwise(plan: Plan, scores: Mapping[str, Tensor]) -> list[str]:
    """The groups whose channels in the plan are not the lowest by these scores."""
    return [key for key, units in plan.items() if key in scores and tuple(units) != lowest(scores[key], len(units))]


def chosen_again(plan: Plan, scores: Mapping[str, Tensor]) -> Plan:
    """As many channels of each group, but the lowest by these scores."""
    return Plan({key: lowest(scores[key], len(units)) if key in scores else units for key, units in plan.items()})


def stages(keys: Sequence[str]) -> dict[str, list[str]]:
    """Groups by the part of the network they stand in: the shortest prefix of their names that tells parts apart."""
    deepest = max((key.count(".") for key in keys), default=0)
    best: dict[str, list[str]] = {}
    for depth in range(1, deepest + 1):
        split: dict[str, list[str]] = {}
        for key in keys:
            parts = key.split(".")
            split.setdefault(".".join(parts[: min(depth, max(1, len(parts) - 1))]), []).append(key)
        if len(split) > len(best):
            best = split
        if len(best) >= 3 and max(map(len, best.values())) <= MOST_OPEN:
            break
    return best or {key: [key] for key in keys}


def plan_table(found: Sequence[Cut]) -> pd.DataFrame:
    """Requested against actual: one row per group."""
    return pd.DataFrame(
        {
            "group": [cut.key for cut in found],
            "channels": [cut.size for cut in found],
            "kept": [cut.kept for cut in found],
            "asked": [cut.asked / 100 for cut in found],
            "actual": [cut.actual for cut in found],
            "exact": [cut.exact for cut in found],
        }
    )


def difference(rows: Sequence[tuple[LayerCost, LayerCost]]) -> pd.DataFrame:
    """The layer table before and after, from the pairs of rows that a pruning run ends with."""

    def shape(value: tuple[int, ...]) -> str:
        return " × ".join(str(side) for side in value)

    frame = pd.DataFrame(
        {
            "layer": [before.name or "(network)" for before, _ in rows],
            "kind": [before.kind for before, _ in rows],
            "input_before": [shape(before.shape_in) for before, _ in rows],
            "input_after": [shape(after.shape_in) for _, after in rows],
            "output_before": [shape(before.shape_out) for before, _ in rows],
            "output_after": [shape(after.shape_out) for _, after in rows],
            "macs_before": [before.macs for before, _ in rows],
            "macs_after": [after.macs for _, after in rows],
            "parameters_before": [before.parameters for before, _ in rows],
            "parameters_after": [after.parameters for _, after in rows],
        }
    )
    pairs = (("input_before", "input_after"), ("output_before", "output_after"), ("macs_before", "macs_after"),
             ("parameters_before", "parameters_after"))  # fmt: skip
    changed = pd.Series(False, index=frame.index)
    for before, after in pairs:
        changed |= frame[before] != frame[after]
    return frame.assign(changed=changed)
