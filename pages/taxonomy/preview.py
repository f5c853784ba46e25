"""What a method would do to one layer before it has trained anything, read off its phases. No streamlit."""

from __future__ import annotations

from dataclasses import dataclass

from pages.ui.language import N_, _, said
from pruning_core.allocation.budget import Budget
from pruning_core.criteria import Criterion
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.methods.base import Goal
from pruning_core.methods.phases import Apply, Cut, FindWidths, Mask, Phase, Rebuild, Train
from pruning_core.methods.registry import METHODS
from pruning_core.sparsity.grains import PATTERNS, Grain

LEARNT = N_("What goes is learnt while it trains, so there is nothing to show on a layer before. It runs on its page.")
NO_CHANNELS = N_("It decides how much, when or what then, not which channels. It is tried on its page.")
REBUILDS = N_("It changes the build of the network instead of the widths of its layers. It runs on its page.")
ZEROS = N_(
    "It sets weights inside the tensors to zero ({grain}). The Granularity page shows that on "
    "any layer of the loaded network, with its speed."
)
CUTS = (Cut, Mask, Apply, Rebuild)
MOST = 8  # phases named


@dataclass(frozen=True)
class Elsewhere:
    """Why nothing is shown here; ``grain`` is where the Granularity page shows it."""

    sentence: str
    grain: Grain | None = None


def phases(key: str, network: Network) -> tuple[Phase, ...]:
    """What the method ``key`` does to this network, in order; none where it cannot run or is no method."""
    method = next((each for each in METHODS if each.card.key == key), None)
    if method is None or method().obstacle(network):
        return ()
    try:
        return tuple(method().phases(Goal(network, Budget("macs", fraction=0.5))))
    except UserError:
        return ()


def in_order(key: str, network: Network) -> str:
    """The phases as coloured words, in Markdown: green ones train, orange ones cut. At most ``MOST``."""
    found = phases(key, network)
    words = [
        f":{'green' if isinstance(p, Train) else 'orange' if isinstance(p, CUTS) else 'gray'}-badge[{_word(p)}]"
        for p in found[:MOST]
    ]
    return " → ".join(words) + (
        " → :gray[" + _("and {n} more").format(n=len(found) - MOST) + "]" if len(found) > MOST else ""
    )


def _word(phase: Phase) -> str:
    kind = "train" if isinstance(phase, Train) else type(phase).__name__.lower()
    return f"{kind}: {phase.name}" if phase.name and phase.name != kind else kind


def of(key: str, network: Network) -> Criterion | Elsewhere:
    """The criterion that the method ``key`` cuts by first, or why there is none."""
    method = next((each for each in METHODS if each.card.key == key), None)
    if method is None:
        return Elsewhere(_(NO_CHANNELS))
    if why := method().obstacle(network):
        return Elsewhere(said(why))
    for phase in phases(key, network):
        match phase:
            case Cut(by=Criterion() as by) | FindWidths(by=Criterion() as by):
                return by
            case Mask(pattern=pattern):
                grain = next((grain for grain, each in PATTERNS.items() if type(each) is type(pattern)), None)
                return Elsewhere(_(ZEROS).format(grain=said(grain or pattern.granularity)), grain)
            case Rebuild():
                return Elsewhere(_(REBUILDS))
    return Elsewhere(_(LEARNT))
