"""The two ways of training on this page: a network that was cut at once, or cut in steps with training in between."""

from __future__ import annotations

import streamlit as st

from pages.finetune import gradual, sections
from pages.ui import jobs
from pages.ui.desk import Desk
from pages.ui.language import N_, _
from pruning_core.runs.view import JobView

KEY = "finetune.way"
AT_ONCE, IN_STEPS = N_("Fine-tune at once"), N_("Prune in steps")


def choose() -> str:
    """One of the two; it lasts for the session, and another page may set it beforehand."""
    chosen = st.segmented_control(
        _("Way"), (AT_ONCE, IN_STEPS), default=AT_ONCE, required=True, key=KEY, label_visibility="collapsed",
        format_func=_,
        persist_state="session", wrap=True,
    )  # fmt: skip
    return str(chosen)


def announce(desk: Desk, chosen: str) -> None:
    """One line about the newest run of the way that is not in view; nothing where there is none."""
    other = AT_ONCE if chosen == IN_STEPS else IN_STEPS
    runs = [view for view, _spec in sections.trainings(desk)] if other == AT_ONCE else gradual.runs(desk)
    if runs:
        st.caption(_("{other}: {said}. Its results stand there.").format(other=_(other), said=_said(runs[0])))


def _said(view: JobView) -> str:
    return f"{jobs.badge(view)} {jobs.title(view)}"
