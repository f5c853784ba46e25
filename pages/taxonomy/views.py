"""What stands on the left: the picture, the years, or the table. A choice made in one holds in the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st

from pages.taxonomy import charts, finding, frames, registry
from pages.ui import plots
from pages.ui.language import N_, _, said

OPEN, WORD = finding.OPEN, finding.WORD
WIDTH = 545  # px: with the card beside it a usual screen; on a narrow one the card goes below
NOTHING = N_("Nothing fits. Take a word out of the search, or a filter away.")


def opened(shown: pd.DataFrame) -> str:
    """The key of the card that is open; the first in view until one was opened."""
    found = st.session_state.get(OPEN)
    known = {card.key for card in registry.cards()}
    return str(found) if found in known else str(shown["key"].iloc[0]) if len(shown) else ""


def choose(key: str | None = None, word: tuple[str, str] | None = None) -> None:
    """Open a card, or the meaning of a word, beside the picture."""
    st.session_state[WORD] = word
    if key is not None:
        st.session_state[OPEN] = key


def picture(shown: pd.DataFrame) -> None:
    """The clickable map: one axis outside, another inside, a line for each method."""
    axes = finding.axes()
    if shown.empty:
        st.info(_(NOTHING))
        return
    figure = charts.outline(frames.outline(shown, axes), selected=_selected(shown, axes))
    clicked = plots.pick(figure, "taxonomy.picture", charts.NODES)
    if clicked is None:
        return
    path = str(clicked["customdata"]).split(frames.SEPARATOR)
    if len(path) > len(axes):
        choose(path[-1])
    else:
        choose(word=(axes[len(path) - 1], path[-1]))
    st.rerun()


def _selected(shown: pd.DataFrame, axes: tuple[str, str]) -> str | None:
    """The line of the open card, or of the open word where it is one of the outer axis."""
    word = st.session_state.get(WORD)
    if word is not None:
        return word[1] if word[0] == axes[0] else None
    row = shown[shown["key"] == opened(shown)]
    return frames.SEPARATOR.join(row[column].iloc[0] for column in (*axes, "key")) if len(row) else None


def timeline(shown: pd.DataFrame) -> None:
    """Years, and who builds on whom."""
    if shown.empty:
        st.info(_(NOTHING))
        return
    figure = charts.timeline(
        shown, families=list(dict.fromkeys(shown["family"])), selected=opened(shown),
        lineage=frames.lineage(registry.cards(), shown["key"]),
    )  # fmt: skip
    clicked = plots.pick(figure, "taxonomy.timeline", charts.PAPERS)
    undated = int(shown["year"].isna().sum())
    note = _("{n} have no paper of their own: common practice that several papers share.").format(n=undated)
    lines = _("A line leads from a paper to one that takes it up, extends or answers it.")
    st.caption(f"{lines} {note}" if undated else lines)
    if clicked is not None:
        choose(clicked["customdata"])
        st.rerun()


def table(shown: pd.DataFrame) -> None:
    told = shown[["name", "family", "data", "time", "granularity", "cost", "year", "url"]].copy()
    for column in ("name", "family", "data", "time", "granularity", "cost"):
        told[column] = told[column].map(said)
    event = st.dataframe(
        told,
        hide_index=True,
        height=min(charts.HEIGHT, 38 + 35 * max(1, len(shown))),
        key="taxonomy.table",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "name": st.column_config.TextColumn(_("Name"), pinned=True),
            "family": _("Family"),
            "data": _("Data needed"),
            "time": _("When"),
            "granularity": _("Granularity"),
            "cost": _("Cost"),
            "year": st.column_config.NumberColumn(_("Year"), format="%d"),
            "url": st.column_config.LinkColumn(_("Paper"), display_text=_("open")),
        },
    )
    rows = tuple(event["selection"]["rows"])
    if rows != st.session_state.get("taxonomy.rows"):
        st.session_state["taxonomy.rows"] = rows
        if rows and rows[0] < len(shown):
            choose(shown["key"].iloc[rows[0]])
            st.rerun()


PICTURE, COMPARE, WORDS = N_("Picture"), N_("Two side by side"), N_("Words")


def _elsewhere(shown: pd.DataFrame) -> None:
    """These two fill the page and are drawn there."""


VIEWS: Mapping[str, Callable[[pd.DataFrame], None]] = {
    PICTURE: picture,
    N_("Years and lineage"): timeline,
    N_("Table"): table,
    COMPARE: _elsewhere,
    WORDS: _elsewhere,
}
