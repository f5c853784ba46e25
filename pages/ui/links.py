"""Ways from one page to another, in one place: the scripts' paths are named nowhere else."""

from __future__ import annotations

import streamlit as st


def to_what_if(label: str = "Remove channels on What-if") -> None:
    st.page_link("pages/whatif/page.py", label=label, icon=":material/content_cut:")


def to_fine_tune(label: str = "Fine-tune it") -> None:
    st.page_link("pages/finetune/page.py", label=label, icon=":material/model_training:")


def to_download(label: str = "Take it home") -> None:
    st.page_link("pages/download/page.py", label=label, icon=":material/download:")
