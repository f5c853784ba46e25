"""What a method would do to one layer before it has trained anything, read off its phases. No streamlit."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.allocation.budget import Budget
from pruning_core.criteria import Criterion
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.methods.base import Goal
from pruning_core.methods.phases import Cut, FindWidths, Mask, Rebuild
from pruning_core.methods.registry import METHODS
from pruning_core.sparsity.grains import PATTERNS, Grain

LEARNT = "What goes is learnt while it trains, so there is nothing to show on a layer before. It runs on its page."
NO_CHANNELS = "It decides how much, when or what then, not which channels. It is tried on its page."
REBUILDS = "It changes the build of the network instead of the widths of its layers. It runs on its page."
ZEROS = (
    "It sets weights inside the tensors to zero ({grain}). The Granularity page shows that on any layer of the loaded "
    "network, with its speed."
)


@dataclass(frozen=True)
class Elsewhere:
    """Why nothing is shown here; ``grain`` is where the Granularity page shows it."""

    sentence: str
    grain: Grain | None = None


def of(key: str, network: Network) -> Criterion | Elsewhere:
    """The criterion that the method ``key`` cuts by first, or why there is none."""
    method = next((each for each in METHODS if each.card.key == key), None)
    if method is None:
        return Elsewhere(NO_CHANNELS)
    if why := method().obstacle(network):
        return Elsewhere(why)
    try:
        phases = list(method().phases(Goal(network, Budget("macs", fraction=0.5))))
    except UserError as error:
        return Elsewhere(str(error))
    for phase in phases:
        match phase:
            case Cut(by=Criterion() as by) | FindWidths(by=Criterion() as by):
                return by
            case Mask(pattern=pattern):
                grain = next((grain for grain, each in PATTERNS.items() if type(each) is type(pattern)), None)
                return Elsewhere(ZEROS.format(grain=grain or pattern.granularity), grain)
            case Rebuild():
                return Elsewhere(REBUILDS)
    return Elsewhere(LEARNT)
