"""Which part of a plan is to blame when the whole cannot be removed."""

from __future__ import annotations

from collections.abc import Callable

from pruning_core.graph.plan import Plan

AT = "at the operator "  # how a note on an error begins that says where a network was when it failed


def smallest(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """A part of a failing plan that fails by itself and falls into two halves that do not.

    Halves are tried, so that for n groups about 2 log2(n) removals are tried and not n; each failing part is a single
    group where a single group is to blame.
    """
    keys = list(plan)
    while len(keys) > 1:
        middle = len(keys) // 2
        halves = (keys[:middle], keys[middle:])
        failing = next((half for half in halves if fails(Plan({key: plan[key] for key in half}))), None)
        if failing is None:
            break
        keys = failing
    return Plan({key: plan[key] for key in keys})
