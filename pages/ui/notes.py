"""What is odd about data or was converted, wherever they are named: few words, and all of it on asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.ui.language import _, ngettext, said
from pages.ui.literal import literal

if TYPE_CHECKING:  # the sidebar is drawn before torch is there
    from pruning_core.datasets import Dataset

DOUBT, NAMED = ":material/warning:", ":material/info:"


def badge(data: Dataset) -> str:
    """How many notes there are, as a small coloured word in Markdown; "" when there are none."""
    doubts = sum(each.doubt for each in data.findings)
    if not data.findings:
        return ""
    color, icon = ("orange", DOUBT) if doubts else ("gray", NAMED)
    n = len(data.findings)
    return f":{color}-badge[{icon} {ngettext('{n} note', '{n} notes', n).format(n=n)}]"


def tooltip(data: Dataset) -> str | None:
    """All of them, for the help of whatever names the data."""
    if not data.findings:
        return None
    return (
        "\n".join(f"- {literal(said(note))}" for note in data.notes)
        + "\n\n"
        + _("The Load page lists them beside the images.")
    )


def listed(data: Dataset) -> None:
    """All of them, those first that can make a number mean something else."""
    if not data.findings:
        return
    with st.container(border=True, gap="xsmall"):
        st.markdown(_("**What was found in these images**") if data.pictures else _("**What was found in these data**"))
        for each in sorted(data.findings, key=lambda each: not each.doubt):
            color, icon = (":orange", DOUBT) if each.doubt else (":gray", NAMED)
            st.markdown(f"{color}[{icon}] {literal(said(each.sentence))}")
