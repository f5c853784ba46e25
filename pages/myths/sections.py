"""The list, what of it is in view, and the demonstration of one."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.myths.myths import TEXTS, Myth
from pages.ui import cards, plots
from pages.ui.demo import Demo, Shown
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, current
from pages.ui.literal import literal

LIVE = N_("Only those that can be measured")


def show(myths: Sequence[Myth]) -> None:
    text = st.pills(
        _("Said in"), list(range(len(TEXTS))), format_func=lambda number: _(TEXTS[number]), key="myths.text",
        persist_state="session", help=_("Nothing chosen: all texts."), wrap=True,
    )  # fmt: skip
    live = st.toggle(_(LIVE), key="myths.live", persist_state="session", wrap=True)
    for number, myth in enumerate(myths):
        if (text is None or myth.text == text) and (myth.show is not None or not live):
            with st.container(border=True):
                _one(myth, number)


def _one(myth: Myth, number: int) -> None:
    left, right = st.columns([5, 1], vertical_alignment="center")
    icon = ":material/science: " if myth.show else ""
    left.markdown(
        icon
        + _(":orange[**It is said:**] {claim} :gray[({text})]  \n**It is so:** {right}").format(
            claim=_(myth.claim), text=_(TEXTS[myth.text]), right=_(myth.right)
        )
    )
    if myth.show is None:
        return
    place = f"myths.{number}.{current()}"  # a figure is in one language
    again = place in st.session_state
    if right.button(
        _("Measure again") if again else _("Measure it"), key=f"myths.{number}", width="stretch", wrap=True
    ):
        with plain_errors(), st.spinner(_("Measuring …"), show_time=True):
            st.session_state[place] = myth.show(Demo.first())
    shown: Shown | None = st.session_state.get(place)
    if shown is not None:
        with plain_errors():
            plots.show(shown.figure, f"{place}.figure")
            values = {name: literal(value) for name, value in shown.values.items()}
            if shown.unclear:
                st.warning(shown.unclear, icon=":material/warning:")
            else:
                st.markdown(_("**Measured:** {text}").format(text=_(myth.found).format(**values)))
            cards.source_line(*shown.sources)
