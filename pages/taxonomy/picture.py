"""The survey at a glance: a row for each value of the outer axis, in it what the inner one divides it into.

Groups are closed and say how many are in them; one is open, and where few are in view all of them are. Everything is a
button, so that the keyboard reaches all of it and it wraps on a narrow page.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.taxonomy import drawings, finding, frames, words
from pages.taxonomy.frames import Inner, Outer
from pages.ui.language import _, said

NAME_PX, DRAWING_PX = 132, 84
FEW = 30  # names that are shown at once, without groups
PICTURED = 6  # rows that have room for a drawing each


def show(shown: pd.DataFrame, opened: str) -> None:
    """`opened`: key of the card beside."""
    axes = finding.axes()
    rows = frames.grouped(shown, axes)
    part = _open_part(rows, opened)
    st.caption(f"**{_(words.AXES[axes[0]])}:** {_(words.QUESTIONS[axes[0]])}")
    drawn = len(rows) <= PICTURED
    with st.container(gap="small" if drawn else "xxsmall"):
        for row in rows:
            with _row(row, axes[0], drawn=drawn):
                if len(shown) <= FEW:
                    _names(row.inner, opened)
                else:
                    _groups(row, axes, part, opened)


def _open_part(rows: Sequence[Outer], opened: str) -> tuple[str, str]:
    """(outer value, inner value): the group that was opened last, else that of the open card."""
    chosen = st.session_state.get(finding.PART)
    if chosen is not None:
        return chosen
    return next(((o.value, i.value) for o in rows for i in o.inner if opened in i.names), ("", ""))


def _row(row: Outer, axis: str, *, drawn: bool) -> st.delta_generator.DeltaGenerator:
    """The place beside its name."""
    with st.container(horizontal=True, gap="small"):
        left = st.container(width=NAME_PX, gap=None)
        right = st.container(width="stretch", gap="xsmall")
    with left:
        if drawn:
            st.image(drawings.of(axis, row.value), width=DRAWING_PX)
        st.button(
            f"**{said(row.value)}** {row.count}", key=f"taxonomy.outer.{row.value}", type="tertiary",
            on_click=finding.choose, kwargs={"word": (axis, row.value)}, wrap=True,
        )  # fmt: skip
    return right


def _groups(row: Outer, axes: tuple[str, str], part: tuple[str, str], opened: str) -> None:
    key, counts = f"taxonomy.part.{axes[0]}.{axes[1]}.{row.value}", {each.value: each.count for each in row.inner}
    st.session_state[key] = part[1] if row.value == part[0] and part[1] in counts else None
    st.pills(
        said(row.value), list(counts), format_func=lambda value: f"{said(value)} {counts[value]}", key=key,
        on_change=_open, args=(key, row.value, axes[1]), label_visibility="collapsed", wrap=True,
    )  # fmt: skip
    if row.value == part[0]:
        _names([each for each in row.inner if each.value == part[1]], opened)


def _open(key: str, outer: str, axis: str) -> None:
    """A group was opened: its word stands beside. Or the open one was closed."""
    inner = st.session_state[key]
    finding.choose(word=(axis, inner) if inner is not None else None)
    st.session_state[finding.PART] = (outer, inner or "")


def _names(groups: Sequence[Inner], opened: str) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        for name, label in ((name, label) for each in groups for name, label in each.names.items()):
            st.button(
                label, key=f"taxonomy.name.{name}", type="primary" if name == opened else "secondary",
                on_click=finding.choose, args=(name,), wrap=True,
            )  # fmt: skip
