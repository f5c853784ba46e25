"""Two of all that runs, property by property."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.taxonomy import frames, views
from pages.ui.language import _, said
from pages.ui.literal import literal
from pruning_core.taxonomy import Card


def show(cards: Sequence[Card]) -> None:
    known = {card.key: card for card in cards}
    keys = list(known)
    opened = st.session_state.get(views.OPEN)
    left, right = st.columns(2)
    first = known[_choose(left, keys, known, keys.index(opened) if opened in known else 0, "first", _("First"))]
    second = known[_choose(right, keys, known, keys.index("fpgm") if "fpgm" in known else 1, "second", _("Second"))]
    for column, card in ((left, first), (right, second)):
        column.latex(card.formula)
    shown = frames.beside(first, second)
    lines = ["| | " + literal(said(first.name)) + " | " + literal(said(second.name)) + " |", "|---|---|---|"]
    for row in shown.itertuples(index=False):
        mark = "" if row.same else "**"
        lines.append(f"| {mark}{row.property}{mark} | {literal(row.first)} | {literal(row.second)} |")
    st.markdown("\n".join(lines))
    st.caption(_("Where both differ, the property is set in bold."))


def _choose(
    column: st.delta_generator.DeltaGenerator,
    keys: list[str],
    known: dict[str, Card],
    index: int,
    name: str,
    label: str,
) -> str:
    chosen = column.selectbox(
        label, keys, index, format_func=lambda key: said(known[key].name), key=f"taxonomy.{name}",
        persist_state="session",
    )  # fmt: skip
    return chosen or keys[index]
