"""Ways from one page to another, in one place: the scripts' paths are named nowhere else."""

from __future__ import annotations

import streamlit as st

from pages.ui.language import _


def to_load(label: str = "") -> None:
    st.page_link("pages/choose/page.py", label=label or _("Load a network"), icon=":material/folder_open:")


def to_what_if(label: str = "") -> None:
    st.page_link("pages/whatif/page.py", label=label or _("Remove channels on What-if"), icon=":material/content_cut:")


def to_search(label: str, explorer: str) -> None:
    """``explorer``: the key of the card of the search to begin with."""
    if st.button(label, icon=":material/query_stats:", key=f"to.search.{explorer}", type="tertiary", wrap=True):
        st.session_state["search.explorer"] = explorer
        st.switch_page("pages/search/page.py")


def to_fine_tune(label: str = "") -> None:
    st.page_link("pages/finetune/page.py", label=label or _("Fine-tune it"), icon=":material/model_training:")


def to_download(label: str = "") -> None:
    st.page_link("pages/download/page.py", label=label or _("Take it home"), icon=":material/download:")


def to_show(label: str = "") -> None:
    st.page_link("pages/show/page.py", label=label or _("Show it"), icon=":material/co_present:")


def to_taxonomy(label: str = "") -> None:
    st.page_link("pages/taxonomy/page.py", label=label or _("Walk through the methods"), icon=":material/account_tree:")


def to_compare(label: str = "") -> None:
    st.page_link("pages/compare/page.py", label=label or _("Compare all networks"), icon=":material/compare:")


def to_lessons(label: str = "") -> None:
    st.page_link("pages/lessons/page.py", label=label or _("Take a lesson"), icon=":material/school:")
