"""The weights that a training brought, onto the desk and back."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.finetune import frames
from pages.ui import links, state
from pages.ui.desk import Desk
from pages.ui.held_out import held_out_size
from pages.ui.language import _
from pruning_core.runs.view import JobView
from pruning_core.studies.fine_tune import PRUNED, FineTuneRun
from pruning_core.zoo import ModelRef


def section(view: JobView, spec: FineTuneRun, desk: Desk) -> None:
    """The best weights are stored when the run ends, also when it was cancelled or failed."""
    digest = frames.weights(view.events, PRUNED)
    if digest is None or view.active or spec.model.base is None:
        return
    tuned = replace(spec.model, weights=digest)
    if _as_before(view):
        st.info(
            _(
                "No epoch did better on the {n:,} held-out images than the weights from before: those were kept, and "
                "nothing changed. Train longer or at another learning rate; where few images are held out, chance "
                "decides, and Load can set more of them apart."
            ).format(n=held_out_size(spec.data)),
            icon=":material/info:",
        )
    elif desk.model == tuned:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.success(_("The fine-tuned network is on the desk."), icon=":material/check:")
            if st.button(_("Back to the weights before"), icon=":material/undo:", key="finetune.back", wrap=True):
                _put(spec.model)
            links.to_download()
    elif st.button(
        _("Keep the fine-tuned network"), type="primary", icon=":material/check:", key="finetune.keep", wrap=True
    ):
        _put(tuned)


def _as_before(view: JobView) -> bool:
    own = next((each for each in frames.brought(view.events) if each.tag == PRUNED), None)
    return own is not None and own.epoch == 0


def _put(model: ModelRef) -> None:
    state.choose_model(model)
    st.rerun()
