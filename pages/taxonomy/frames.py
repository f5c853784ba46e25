"""The registry as tables. No streamlit, no plotly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pages.taxonomy.words import AXES, named_as
from pages.ui.language import _, said
from pruning_core.taxonomy import Card

SEPARATOR = "\x1f"  # between the parts of a line's id: no name holds it
MOST = 24  # characters of a word in brackets that may stand for the name


def table(found: Iterable[Card]) -> pd.DataFrame:
    """One row per card: `key`, `name`, one column per axis, `cost`, `year` (None without a paper), `venue`, `url`.

    `text`: all that a search looks in, in small letters.
    """
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
                "text": _text(card),
            }
            for card in found
        ]
    )


def _text(card: Card) -> str:
    paper = (card.paper.title, card.paper.authors, card.paper.venue, str(card.paper.year)) if card.paper else ()
    prose = (card.name, card.idea, card.fails)
    return " ".join((*prose, *map(said, prose), card.key, named_as(card.key), *paper)).lower()


def found(frame: pd.DataFrame, words: str, wanted: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Rows that hold every word, and on each axis one of the wanted values (an axis without any asks nothing).

    Those whose names hold the words come first.
    """
    keep = pd.Series(True, index=frame.index)
    named = keep.copy()
    names = (frame["name"] + " " + frame["name"].map(said)).str.lower()
    for word in words.lower().split():
        by_name = names.str.contains(word, regex=False)
        named &= by_name
        keep &= by_name | frame["text"].str.contains(word, regex=False)
    for axis, values in wanted.items():
        if values:
            keep &= frame[axis].isin(values)
    return pd.concat([frame[keep & named], frame[keep & ~named]])


@dataclass(frozen=True)
class Line:
    """One line of the picture. ``path``: the values on the two axes, and of a method its key; ``depth`` 0, 1 or 2."""

    path: tuple[str, ...]
    label: str
    count: int
    name: str

    @property
    def depth(self) -> int:
        return len(self.path) - 1

    @property
    def id(self) -> str:
        return SEPARATOR.join(self.path)


def outline(frame: pd.DataFrame, axes: Sequence[str]) -> list[Line]:
    """Everything in order: the values of the outer axis, in each those of the inner one, in each the methods."""
    lines = []
    for outer, part in frame.groupby(axes[0], sort=False):
        lines.append(Line((str(outer),), said(str(outer)), len(part), said(str(outer))))
        for inner, few in part.groupby(axes[1], sort=False):
            lines.append(Line((str(outer), str(inner)), said(str(inner)), len(few), said(str(inner))))
            lines += [
                Line((str(outer), str(inner), row.key), short(said(row.name)), 1, said(row.name))
                for row in few.itertuples(index=False)
            ]
    return lines


def short(name: str) -> str:
    """The field's own word where the name has it in brackets, else the name without what is in brackets."""
    found = re.fullmatch(r"(.+?) \((.+)\)", name)
    if found is None:
        return name
    return found[2] if any(letter.isupper() for letter in found[2]) and len(found[2]) <= MOST else found[1]


def lineage(cards: Iterable[Card], shown: Iterable[str]) -> list[tuple[str, str]]:
    """(older, newer) keys, both shown: the newer one's paper takes up, extends or answers the older one."""
    keys = set(shown)
    return [(old, card.key) for card in cards if card.key in keys for old in card.builds_on if old in keys]


def relatives(cards: Iterable[Card], key: str) -> tuple[tuple[Card, ...], tuple[Card, ...]]:
    """(what it builds on, what builds on it)."""
    known = {card.key: card for card in cards}
    return (
        tuple(known[old] for old in known[key].builds_on if old in known),
        tuple(card for card in known.values() if key in card.builds_on),
    )


def beside(first: Card, second: Card) -> pd.DataFrame:
    """Two cards, a row for each property: `property`, `first`, `second`, `same`."""

    def of(card: Card) -> dict[str, str]:
        paper = f"{card.paper.authors}: {card.paper.title}, {card.paper.venue} {card.paper.year}" if card.paper else "–"
        return {
            _("Idea"): said(card.idea),
            **{_(title): said(str(getattr(card, axis))) for axis, title in AXES.items()},
            _("Cost"): said(card.cost),
            _("When it fails"): said(card.fails),
            _("Paper"): paper,
        }

    one, other = of(first), of(second)
    rows = [(name, one[name], other[name], one[name] == other[name]) for name in one]
    return pd.DataFrame(rows, columns=["property", "first", "second", "same"])


def published(card: Card) -> pd.DataFrame:
    """`network`, `dataset`, `result`, `source`, `read` (where it was read)."""
    return pd.DataFrame(
        [
            {
                "network": each.network,
                "dataset": each.dataset,
                "result": each.result,
                "source": each.source,
                "read": _("in the source") if each.verified else _("in a secondary source"),
            }
            for each in card.published
        ]
    )
