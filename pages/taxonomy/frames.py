"""The registry as tables. No streamlit, no plotly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from pruning_core.taxonomy import Card

AXES: Mapping[str, str] = {
    "data": "Data needed",
    "time": "When",
    "family": "Family",
    "granularity": "Granularity",
    "structure": "Structure",
    "execution": "Execution",
}
SEPARATOR = "\x1f"  # between the parts of a node's id: no name holds it


def table(found: Iterable[Card]) -> pd.DataFrame:
    """One row per card: `key`, `name`, one column per axis, `cost`, `year` (None without a paper), `venue`, `url`."""
    return pd.DataFrame(
        [
            {
                "key": card.key,
                "name": card.name,
                **{axis: str(getattr(card, axis)) for axis in AXES},
                "cost": card.cost,
                "idea": card.idea,
                "year": card.paper.year if card.paper else None,
                "venue": card.paper.venue if card.paper else None,
                "url": card.paper.url if card.paper else None,
            }
            for card in found
        ]
    )


def tree(frame: pd.DataFrame, axes: Sequence[str], root: str) -> pd.DataFrame:
    """The nodes of the picture: `id`, `parent`, `label`, `depth`, `count` of methods below, `branch` (first part).

    A node's id is the path to it, so a click says everything: `members` reads it.
    """
    counts: dict[tuple[str, ...], int] = {(): 0}
    for row in frame.to_dict("records"):
        path = tuple(row[axis] for axis in axes)
        for depth in range(len(path) + 1):
            counts[path[:depth]] = counts.get(path[:depth], 0) + 1
        counts[(*path, row["name"])] = 1
    return pd.DataFrame(
        [
            {
                "id": SEPARATOR.join((root, *path)),
                "parent": SEPARATOR.join((root, *path[:-1])) if path else "",
                "label": path[-1] if path else root,
                "depth": len(path),
                "count": count,
                "branch": path[0] if path else "",
            }
            for path, count in counts.items()
        ]
    )


def members(frame: pd.DataFrame, axes: Sequence[str], node: str | None) -> pd.DataFrame:
    """The rows below a node of `tree`; all of them for the root, None, or a node of other axes."""
    if node is None:
        return frame
    path = node.split(SEPARATOR)[1:]
    part = frame
    for column, value in zip((*axes, "name"), path):
        part = part[part[column] == value]
    return part if len(part) else frame


def published(card: Card) -> pd.DataFrame:
    """`network`, `dataset`, `result`, `source`, `read` (where it was read)."""
    return pd.DataFrame(
        [
            {
                "network": each.network,
                "dataset": each.dataset,
                "result": each.result,
                "source": each.source,
                "read": "in the source" if each.verified else "in a secondary source",
            }
            for each in card.published
        ]
    )
