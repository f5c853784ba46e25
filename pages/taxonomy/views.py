"""What stands on the left: the picture, the years, or the table. A choice made in one holds in the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st

from pages.taxonomy import charts, finding, frames, picture, registry
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


def at_a_glance(shown: pd.DataFrame) -> None:
    """One axis outside, another inside, a button for each method."""
    if shown.empty:
        st.info(_(NOTHING))
        return
    word = st.session_state.get(WORD)
    picture.show(shown, opened(shown) if word is None else "")


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
        finding.choose(clicked["customdata"])
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
            finding.choose(shown["key"].iloc[rows[0]])
            st.rerun()


PICTURE, COMPARE, WORDS = N_("Picture"), N_("Two side by side"), N_("Words")


def _elsewhere(shown: pd.DataFrame) -> None:
    """These two fill the page and are drawn there."""


VIEWS: Mapping[str, Callable[[pd.DataFrame], None]] = {
    PICTURE: at_a_glance,
    N_("Years and lineage"): timeline,
    N_("Table"): table,
    COMPARE: _elsewhere,
    WORDS: _elsewhere,
}
