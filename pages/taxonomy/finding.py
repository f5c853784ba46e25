"""Search, filters and the order of the axes: what is in view, and how it is laid out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.taxonomy import frames, words
from pages.ui.language import _, said

OUTER, INNER = "data", "family"
MEANINGS = 3  # words that a search may lead to
AXES = "taxonomy.axes"  # the two axes of the picture
OPEN, WORD = "taxonomy.card", "taxonomy.word"  # the card that is open; the word whose meaning is
PART = "taxonomy.group"  # the group of the picture that was opened, until a card is


def section(table: pd.DataFrame, *, with_axes: bool) -> pd.DataFrame:
    """The rows that are wanted; the axes are asked for where a picture follows."""
    places = st.columns([3, 2, 2, 2] if with_axes else [7, 2], vertical_alignment="bottom")
    asked = places[0].text_input(
        _("Search"), key="taxonomy.search", persist_state="session", placeholder=_("a name, a word, an author"),
        help=_("All words must be found, in names, ideas, papers, and in what the survey calls it."),
        on_change=_afresh,
    )  # fmt: skip
    if with_axes:
        _choose_axes(places[1], places[2])
    wanted: dict[str, list[str]] = {}
    with places[-1], st.popover(_("Filter"), icon=":material/filter_alt:", width="stretch", wrap=True):
        for axis, title in words.AXES.items():
            values = [str(value) for value in words.VALUES[axis] if value in set(table[axis])]
            wanted[axis] = st.multiselect(
                _(title), values, format_func=said, key=f"taxonomy.filter.{axis}", persist_state="session", wrap=True
            )
    shown = frames.found(table, asked or "", wanted)
    if len(shown) < len(table):
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.caption(_("{n} of {n2} fit.").format(n=len(shown), n2=len(table)), width="content")
            _meanings(asked or "")
    return shown


def _meanings(asked: str) -> None:
    """Ways to the words of the axes that are called as what is searched."""
    found = [
        (axis, str(value))
        for axis, values in words.VALUES.items()
        for value in values
        if asked and asked.lower().strip() in (str(value).lower(), said(str(value)).lower())
    ]
    for axis, value in found[:MEANINGS]:
        st.button(
            _("What {word} means ({axis})").format(word=said(value), axis=_(words.AXES[axis])),
            key=f"taxonomy.meaning.{axis}.{value}", type="tertiary", icon=":material/menu_book:", on_click=choose,
            kwargs={"word": (axis, value)}, wrap=True,
        )  # fmt: skip


def _afresh() -> None:
    """Another search opens its own first card."""
    st.session_state[OPEN] = st.session_state[WORD] = st.session_state[PART] = None


def choose(key: str | None = None, word: tuple[str, str] | None = None) -> None:
    """Open a card, or the meaning of a word, beside the picture."""
    st.session_state[WORD] = word
    if key is not None:
        st.session_state[OPEN], st.session_state[PART] = key, None


def _choose_axes(left: st.delta_generator.DeltaGenerator, right: st.delta_generator.DeltaGenerator) -> None:
    outer = left.selectbox(
        _("Outside"), list(words.AXES), list(words.AXES).index(OUTER), format_func=lambda axis: _(words.AXES[axis]),
        key="taxonomy.outer", persist_state="session",
    )  # fmt: skip
    others = [axis for axis in words.AXES if axis != outer]
    inner = right.selectbox(
        _("Inside"),
        others,
        others.index(INNER) if INNER in others else 0,
        format_func=lambda axis: _(words.AXES[axis]),
        key=f"taxonomy.inner.{outer}",
        persist_state="session",
    )
    st.session_state[AXES] = outer or OUTER, inner or INNER


def axes() -> tuple[str, str]:
    """(outside, inside)."""
    found: tuple[str, str] = st.session_state.get(AXES, (OUTER, INNER))
    return found
