"""What made a plan, as its document says it. No streamlit here."""

from __future__ import annotations

from pages.ui.desk import Desk
from pages.ui.ranking import Ranking
from pages.whatif import plans
from pruning_core.allocation.base import Allocation
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.by_hand import ByHand
from pruning_core.allocation.limits import Limits
from pruning_core.export.document import How
from pruning_core.graph import Network, Plan
from pruning_core.methods.ranking import SCORED_ON


def computed(
    desk: Desk,
    network: Network,
    ranked: Ranking,
    plan: Plan,
    allocation: Allocation,
    limits: Limits,
    budgets: tuple[Budget, ...],
) -> How:
    """For a plan under budgets."""
    return _how(desk, network, ranked, plan, allocation, limits, budgets)


def by_hand(desk: Desk, network: Network, ranked: Ranking, plan: Plan) -> How:
    """For a plan from sliders: by the criterion only where it would choose these very channels."""
    if plans.chosen_otherwise(plan, ranked.values) or any(key not in ranked.values for key in plan):
        return How(ratios=_ratios(network, plan))
    return _how(desk, network, ranked, plan, ByHand(tuple(_ratios(network, plan).items())))


def _how(
    desk: Desk,
    network: Network,
    ranked: Ranking,
    plan: Plan,
    allocation: Allocation,
    limits: Limits | None = None,
    budgets: tuple[Budget, ...] = (),
) -> How:
    sees = ranked.criterion.needs_images
    return How(
        ranked.criterion, allocation, limits, budgets,
        data=desk.data if sees else None, images=SCORED_ON if sees else None, ratios=_ratios(network, plan),
    )  # fmt: skip


def _ratios(network: Network, plan: Plan) -> dict[str, float]:
    return {key: network.ratio(plan, key) for key in plan}
