"""Every value of every axis: its drawing, what it means, and how many are of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.taxonomy import drawings, words
from pages.ui.language import _, said

PER_ROW_PX = 320


def show(table: pd.DataFrame) -> None:
    st.caption(_(":green[Teal] stays, :orange[orange] goes, grey is what is given."))
    st.subheader(_("What the words stand on"))
    with st.container(horizontal=True, gap="small"):
        for word, definition in words.PARTS.items():
            with st.container(border=True, width=PER_ROW_PX):
                st.markdown(f"**{_(word)}**  \n{_(definition)}")
    for axis, title in words.AXES.items():
        st.subheader(_(title))
        st.markdown(_(words.QUESTIONS[axis]))
        with st.container(horizontal=True, gap="small"):
            for value in words.VALUES[axis]:
                with st.container(border=True, width=PER_ROW_PX):
                    meaning(axis, str(value), int((table[axis] == value).sum()))


def meaning(axis: str, value: str, count: int) -> None:
    here = _("{n} here").format(n=count)
    st.image(drawings.of(axis, value), width=drawings.WIDE)
    st.markdown(f"**{said(value)}** :gray[· {here}]  \n{_(words.DEFINITIONS[axis, value])}")
