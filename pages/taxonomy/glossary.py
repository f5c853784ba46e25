"""Every value of every axis: its drawing, what it means, and how many are of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.taxonomy import drawings, words

PER_ROW_PX = 320


def show(table: pd.DataFrame) -> None:
    st.caption(":green[Teal] stays, :orange[orange] goes, grey is what is given.")
    for axis, title in words.AXES.items():
        st.subheader(title)
        st.markdown(words.QUESTIONS[axis])
        with st.container(horizontal=True, gap="small"):
            for value in words.VALUES[axis]:
                with st.container(border=True, width=PER_ROW_PX):
                    meaning(axis, str(value), int((table[axis] == value).sum()))


def meaning(axis: str, value: str, count: int) -> None:
    st.image(drawings.of(axis, value), width=drawings.WIDE)
    st.markdown(f"**{value}** :gray[· {count} here]  \n{words.DEFINITIONS[axis, value]}")
