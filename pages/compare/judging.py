"""What the networks of a tree are judged by: any measure that can judge the first of them on the test images."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.ui import made, measured, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pruning_core.datasets import DataRef
from pruning_core.studies.judging import judge, possible
from pruning_core.zoo import ModelRef

KEY = "compare.measure"


def chosen(desk: Desk, origin: ModelRef) -> DataRef:
    """The test images, judged by what the visitor chooses. Raises UserError where nothing can judge on them."""
    first = made.tested(origin, desk.data)
    loaded, test = state.loaded(origin), state.splits(desk.data)[1]
    usual = judge(loaded, test, first.measure).key
    keys = [each.key for each in possible(loaded, test)]
    if st.session_state.get(KEY) not in keys:
        st.session_state[KEY] = usual
    key = st.selectbox(
        _("Judged by"),
        keys,
        format_func=lambda each: said(measured.measure(each).title),
        key=KEY,
        persist_state="session",
        help=_("All networks are judged by the same measure on the same test images."),
    )
    st.caption(measured.sentence(key))
    return first if key == usual else replace(first, measure=key)
