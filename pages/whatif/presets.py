"""Ratios that are computed: an allocation, a budget, and whether one can have the other. No streamlit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from pages.ui.language import N_, _, said
from pages.ui.sweeps import Table, shares
from pruning_core.allocation.base import Allocation
from pruning_core.allocation.strategies import ALLOCATIONS
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan
from pruning_core.runs.view import JobView

LACKING = {
    "table": N_("needs a sensitivity sweep of this network. Run one on the Sensitivity page first."),
    "ratios": N_("scales the present ratios, and the plan is empty. Move a slider first."),
}


@dataclass(frozen=True)
class Material:
    """What an allocation may be built from, beside its knobs: fields of the same names are filled in."""

    table: Table
    ratios: Mapping[str, float]


def material(network: Network, plan: Plan, sweep: JobView | None) -> Material:
    """`sweep`: a sensitivity run with its events."""
    return Material(shares(sweep), {key: network.ratio(plan, key) for key in plan})


def offered() -> dict[str, type[Allocation]]:
    return {each.card.key: each for each in ALLOCATIONS}


def completed(allocation: Allocation, given: Material) -> Allocation:
    """With what is no knob filled in. Raises UserError when the allocation needs what is not there."""
    wanted = {field.name for field in dataclasses.fields(allocation)} & set(LACKING)
    for name in sorted(wanted):
        if not getattr(given, name):
            lacking = _(LACKING[name])
            raise UserError(_("{name}: this {lacking}").format(name=said(allocation.card.name), lacking=lacking))
    return dataclasses.replace(allocation, **{name: getattr(given, name) for name in wanted})
