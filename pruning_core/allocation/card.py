"""The cards of ways to allocate, to search and to schedule: what all of them have in common is said once."""

from __future__ import annotations

from functools import partial

from pruning_core.taxonomy import Card, Data, Family, Paper, channel_card


def ratio_card(
    key: str,
    name: str,
    idea: str,
    formula: str,
    cost: str,
    fails: str,
    paper: Paper | None = None,
    *,
    family: Family = Family.RATIOS,
    data: Data = Data.NONE,
) -> Card:
    """The card of something that says how many channels go, of a trained network and once for all inputs."""
    return channel_card(
        key, name, idea=idea, formula=formula, family=family, data=data, cost=cost, fails=fails, paper=paper
    )


search_card = partial(ratio_card, family=Family.SEARCH, data=Data.LABELS)
schedule_card = partial(ratio_card, family=Family.SCHEDULE, data=Data.TRAINING)
