"""Where the axes and names come from, and what is named and not run."""

from __future__ import annotations

import streamlit as st

from pages.taxonomy import registry, words
from pages.ui.language import _


def counted() -> None:
    st.markdown(_("{kinds} run here.").format(kinds=registry.counted()))


def sources() -> None:
    with st.popover(_("The survey"), icon=":material/menu_book:", wrap=True):
        st.markdown(_("The axes and the names come from five Chinese texts. Where they err, the Myths page says so."))
        for each in words.SOURCES:
            title = f"[{each.title}]({each.url})" if each.url else each.title
            st.markdown(f"**{title}** ({_(each.english)}). {_(each.about)}")


def not_run() -> None:
    """What the survey names and nothing here runs, in grey, each with its reason."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(_(":gray[Named by the survey and not run here:]"), width="content")
        for each in words.NOT_RUN:
            st.markdown(f":gray-badge[{_(each.name)}]", help=_(each.reason), width="content")
