"""Which criteria, with which hyper-parameters: one choice for all parts of the page."""

from __future__ import annotations

import streamlit as st

from pages.ui.language import _, said
from pages.ui.registry import by_key, first_choice
from pages.ui.widgets import knob_widgets
from pruning_core.criteria import Criterion
from pruning_core.knobs import knobs_of


def choose_criteria(key: str = "criteria") -> tuple[Criterion, ...]:
    """Any number of the registry's criteria; their knobs open beside them."""
    classes = by_key()
    place = st.container(horizontal=True, vertical_alignment="bottom")
    keys = place.multiselect(
        _("Criteria"),
        list(classes),
        default=first_choice(),
        format_func=lambda each: said(classes[each].card.name),
        key=f"{key}.chosen",
        persist_state="session",
        help=_("Every criterion of the taxonomy that runs here. One pass over the images serves all of them."),
        wrap=True,
    )
    chosen = [each for each in keys if each in classes]
    with place.popover(_("Settings"), icon=":material/tune:", wrap=True):
        made = []
        for each in chosen:
            if knobs_of(classes[each]):
                st.markdown(f"**{said(classes[each].card.name)}**")
            made.append(knob_widgets(classes[each], f"{key}.knobs"))
        if not any(knobs_of(classes[each]) for each in chosen):
            st.caption(_("None of the chosen criteria has a setting."))
    return tuple(made)
