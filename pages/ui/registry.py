"""The criteria as pages offer them: whatever the registry holds at this moment. No streamlit here."""

from __future__ import annotations

from collections.abc import Mapping

from pruning_core import criteria
from pruning_core.criteria import Criterion

FIRST_CHOICE = 6  # how many stand on a page before anybody has chosen


def by_key() -> dict[str, type[Criterion]]:
    """Every criterion that runs, in the registry's order, by the key of its card."""
    return {each.card.key: each for each in criteria.CRITERIA}


def names() -> Mapping[str, str]:
    return {key: each.card.name for key, each in by_key().items()}


def first_choice() -> list[str]:
    """One of every family of the survey, the cheapest first, and the control last.

    Within a family the registry's order decides, so that no page needs to know a name.
    """
    families: dict[str, str] = {}
    for key, each in by_key().items():
        families.setdefault(each.card.family, key)
    chosen = list(families.values())
    controls = [key for key in chosen if _is_control(key)]
    quick = sorted((key for key in chosen if key not in controls), key=_data_needed)
    return [*quick[: FIRST_CHOICE - len(controls)], *controls]


def _data_needed(key: str) -> int:
    each = by_key()[key]()
    return int(each.needs_images) + int(each.needs_labels)


def _is_control(key: str) -> bool:
    from pruning_core.studies.scores import is_random

    return is_random(by_key()[key]())
