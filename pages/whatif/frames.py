"""All groups of a plan as a table: what is kept, how much work it is, what was measured of it. No streamlit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from pages.whatif import plans
from pages.whatif.plans import Cut
from pruning_core.graph import Network, Plan, Role
from pruning_core.measuring.measures import Cell

HALF = 0.5  # the share removed at which layers are compared
NEAR = 0.15  # how far from it a measured share may lie


def overview(network: Network, plan: Plan, found: Sequence[Cut], cells: Iterable[Cell]) -> pd.DataFrame:
    """One row per group: `key`, `size`, `kept`, `exact`, `share_before`, `share_after`, `lost`.

    Shares are of the unpruned network's MACs, in the layers that make these channels. `lost`: accuracy lost with about
    half of this group removed and all others whole, NaN where that was not measured.
    """
    before, after = _macs(network, Plan()), _macs(network, plan)
    whole, lost = max(1, network.cost().macs), _lost(cells)
    makers = {g.key: {m.layer for m in g.members if m.role is Role.PRODUCER} for g in network.groups}
    return pd.DataFrame(
        {
            "key": [cut.key for cut in found],
            "size": [cut.size for cut in found],
            "kept": [cut.kept for cut in found],
            "exact": [cut.exact for cut in found],
            "share_before": [sum(before.get(name, 0) for name in makers[cut.key]) / whole for cut in found],
            "share_after": [sum(after.get(name, 0) for name in makers[cut.key]) / whole for cut in found],
            "lost": np.array([lost.get(cut.key, np.nan) for cut in found], dtype=float),
        }
    )


def starts(found: Sequence[Cut]) -> dict[str, int]:
    """Where each part of the network begins among its groups."""
    place = {cut.key: at for at, cut in enumerate(found)}
    return {part: min(place[key] for key in keys) for part, keys in plans.stages(list(place)).items()}


def _macs(network: Network, plan: Plan) -> dict[str, int]:
    return {row.name: row.macs for row in network.layer_costs(plan)}


def _lost(cells: Iterable[Cell]) -> dict[str, float]:
    nearest: dict[str, Cell] = {}
    for cell in cells:
        best = nearest.get(cell.group)
        if abs(cell.ratio - HALF) <= NEAR and (
            best is None or abs(cell.ratio - HALF) <= abs(best.ratio - HALF)  # the newest state of a cell comes last
        ):
            nearest[cell.group] = cell
    return {key: cell.drop for key, cell in nearest.items()}
