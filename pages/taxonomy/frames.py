"""The registry as tables. No streamlit, no plotly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pages.taxonomy.words import AXES, VALUES, named_as
from pages.ui.language import _, said
from pruning_core.taxonomy import Card

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

    Those whose names, or values on the axes, hold the words come first.
    """
    keep = pd.Series(True, index=frame.index)
    named = keep.copy()
    names = frame[["name", *AXES]].map(lambda each: f"{each} {said(each)}").agg(" ".join, axis=1).str.lower()
    for word in words.lower().split():
        by_name = names.str.contains(word, regex=False)
        named &= by_name
        keep &= by_name | frame["text"].str.contains(word, regex=False)
    for axis, values in wanted.items():
        if values:
            keep &= frame[axis].isin(values)
    return pd.concat([frame[keep & named], frame[keep & ~named]])


@dataclass(frozen=True)
class Inner:
    """A group: a value of the inner axis in one of the outer. ``names``: card's key -> what is written for it."""

    value: str
    names: Mapping[str, str]

    @property
    def count(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Outer:
    value: str
    inner: tuple[Inner, ...]

    @property
    def count(self) -> int:
        return sum(each.count for each in self.inner)


def grouped(frame: pd.DataFrame, axes: Sequence[str]) -> list[Outer]:
    """Every row of `frame` once: by the values of the outer axis, in the survey's order, and in each by the inner's."""

    def by(part: pd.DataFrame, axis: str) -> list[tuple[str, pd.DataFrame]]:
        found = {str(value): few for value, few in part.groupby(axis, sort=False)}
        return [(str(value), found[str(value)]) for value in VALUES[axis] if str(value) in found]

    return [
        Outer(
            outer,
            tuple(
                Inner(inner, {row.key: short(said(row.name)) for row in few.itertuples(index=False)})
                for inner, few in by(part, axes[1])
            ),
        )
        for outer, part in by(frame, axes[0])
    ]


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
