"""The card of a criterion: what all of them have in common is said once."""

from __future__ import annotations

from pruning_core.taxonomy import Card, Data, Execution, Family, Granularity, Paper, Published, Structure, Time


def channel_card(
    key: str,
    name: str,
    *,
    idea: str,
    formula: str,
    family: Family,
    data: Data,
    cost: str,
    fails: str,
    time: Time = Time.AFTER,
    paper: Paper | None = None,
    published: tuple[Published, ...] = (),
) -> Card:
    """The card of a criterion that removes whole channels once and for all inputs."""
    return Card(
        key=key,
        name=name,
        idea=idea,
        formula=formula,
        granularity=Granularity.CHANNEL,
        structure=Structure.STRUCTURED,
        family=family,
        time=time,
        execution=Execution.STATIC,
        data=data,
        cost=cost,
        fails=fails,
        paper=paper,
        published=published,
    )
