"""What stands beside the picture: the card that was opened, or the meaning of a word."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.taxonomy import finding, frames, glossary, preview, trying, views, words
from pages.ui import cards as marks
from pages.ui import provenance, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pruning_core.taxonomy import Card

WIDTH = 440  # px


def show(cards: Sequence[Card], shown: pd.DataFrame, desk: Desk) -> None:
    with st.container(border=True):
        word = st.session_state.get(views.WORD)
        if word is not None:
            _word(word, shown)
            return
        known = {card.key: card for card in cards}
        key = views.opened(shown) or next(iter(known))
        _card(known[key], cards, desk)


def _word(word: tuple[str, str], shown: pd.DataFrame) -> None:
    axis, value = word
    mine = shown[shown[axis] == value]
    st.caption(f"{_(words.AXES[axis])}: {_(words.QUESTIONS[axis])}")
    glossary.meaning(axis, value, len(mine))
    with st.container(horizontal=True, gap="xsmall"):
        for row in mine.itertuples(index=False):
            st.button(
                said(row.name),
                key=f"taxonomy.of.{row.key}",
                type="tertiary",
                on_click=finding.choose,
                args=(row.key,),
                wrap=True,
            )


def _card(card: Card, cards: Sequence[Card], desk: Desk) -> None:
    st.subheader(said(card.name))
    with st.container(horizontal=True, gap="xsmall"):
        for axis in words.AXES:
            value = str(getattr(card, axis))
            st.button(
                said(value),
                key=f"taxonomy.badge.{axis}",
                type="tertiary",
                on_click=finding.choose,
                args=(None, (axis, value)),
                help=_(words.DEFINITIONS[axis, value]),
                wrap=True,
            )
    idea, numbers, here = st.tabs([_("Idea"), _("Published"), _("Try it here")], key="taxonomy.tab", on_change="rerun")
    if idea.open:
        with idea:
            _idea(card, cards, desk)
    if numbers.open:
        with numbers:
            _published(card)
    if here.open:
        with here:
            trying.show(card, desk)


def _idea(card: Card, cards: Sequence[Card], desk: Desk) -> None:
    st.markdown(said(card.idea))
    st.latex(card.formula)
    if steps := preview.in_order(card.key, state.network(desk.model)):
        st.markdown(_("**In order:** {steps}").format(steps=steps))
    st.markdown(_("**When it fails:** {text}").format(text=said(card.fails)))
    st.markdown(_("**Cost:** {text}").format(text=said(card.cost)))
    if card.paper is not None:
        paper = card.paper
        title = f"[{paper.title}]({paper.url})" if paper.url else paper.title
        st.markdown(f"{paper.authors}: {title}, {paper.venue} {paper.year}.")
    if named := words.named_as(card.key):
        st.caption(_("The survey calls it {named}.").format(named=named))
    older, newer = frames.relatives(cards, card.key)
    for label, found in ((N_("Builds on"), older), (N_("Taken up by"), newer)):
        if found:
            with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
                st.markdown(f":gray[{_(label)}]", width="content")
                for each in found:
                    st.button(
                        said(each.name), key=f"taxonomy.{label}.{each.key}", type="tertiary", on_click=finding.choose,
                        args=(each.key,), wrap=True,
                    )  # fmt: skip


def _published(card: Card) -> None:
    if not card.published:
        st.caption(_("No published result was read in a source."))
        return
    st.dataframe(
        frames.published(card),
        hide_index=True,
        column_config={
            "network": _("Network"),
            "dataset": _("Data"),
            "result": _("Published result"),
            "source": _("Source"),
            "read": _("Read"),
        },
    )
    found = {each.verified: provenance.published(each.source, verified=each.verified) for each in card.published}
    marks.source_line(*found.values())
