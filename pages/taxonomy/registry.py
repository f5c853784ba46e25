"""Everything that runs and has a card, and where it is tried. No streamlit here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pages.ui.language import N_, _
from pages.ui.registry import by_key
from pruning_core.allocation.schedule import SCHEDULES
from pruning_core.allocation.search import EXPLORERS
from pruning_core.allocation.shortcuts import SHORTCUTS
from pruning_core.allocation.strategies import ALLOCATIONS
from pruning_core.methods.recoveries import RECOVERIES
from pruning_core.methods.registry import METHODS
from pruning_core.taxonomy import Card

IN_STEPS, AT_ONCE = {"finetune.way": "Prune in steps"}, {"finetune.way": "Fine-tune at once"}


@dataclass(frozen=True)
class Home:
    """The page where something is tried: its script, what to read on the link, and what keeps the page's choice.

    ``besides``: what else the page must have chosen, so that the thing is in view.
    """

    script: str
    label: str
    choice: str
    besides: Mapping[str, str] = field(default_factory=dict)


HOMES = (
    (ALLOCATIONS, Home("pages/whatif/page.py", N_("Try it under a budget on What-if"), "whatif.preset")),
    (SHORTCUTS, Home("pages/whatif/page.py", N_("Try it under a budget on What-if"), "whatif.shortcuts")),
    (EXPLORERS, Home("pages/search/page.py", N_("Try it on Search"), "search.explorer")),
    (SCHEDULES, Home("pages/finetune/page.py", N_("Try it in steps on Fine-tune"), "gradual.schedule", IN_STEPS)),
    (
        tuple(each for each in RECOVERIES if not each.trains),
        Home("pages/whatif/page.py", N_("Try it after a cut on What-if"), "recovery"),
    ),
    (
        tuple(each for each in RECOVERIES if each.trains),
        Home(
            "pages/finetune/page.py", N_("Try it on a network that was cut on Fine-tune"), "finetune.recovery", AT_ONCE
        ),
    ),
    (METHODS, Home("pages/methods/page.py", N_("Try it on Methods"), "methods.method")),
)


def cards() -> tuple[Card, ...]:
    """Only what runs has a card here: the criteria first, in the order of their registries."""
    found = [each.card for each in by_key().values()]
    return (*found, *(each.card for classes, _home in HOMES for each in classes))


def home(key: str) -> Home | None:
    """Where it is tried; None for a criterion, which is tried on the spot."""
    return next((where for classes, where in HOMES for each in classes if each.card.key == key), None)


def counted() -> str:
    """How many there are of each sort, in Markdown."""
    return (
        _(
            "**{criteria} criteria**, **{allocations} ways to share out ratios**, **{shortcuts} ways with shortcuts**, "
            "**{explorers} searches**, **{schedules} schedules**, **{recoveries} recoveries** and **{methods} methods**"
        )
    ).format(
        criteria=len(by_key()),
        allocations=len(ALLOCATIONS),
        shortcuts=len(SHORTCUTS),
        explorers=len(EXPLORERS),
        schedules=len(SCHEDULES),
        recoveries=len(RECOVERIES),
        methods=len(METHODS),
    )
