"""The visitor's runs that have ended, those that take most first."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.ui.jobs import CALLED
from pages.ui.language import N_, _, ngettext, said
from pages.yours import chosen
from pruning_core.errors import clip
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.view import State

STATES = {
    State.DONE: N_("done"),
    State.FAILED: N_("failed"),
    State.CANCELLED: N_("cancelled"),
    State.INTERRUPTED: N_("interrupted"),
}


def draw(jobs: Jobs, owner: str) -> None:
    st.subheader(_("Runs"))
    takes = jobs.ledger.of_runs(owner)
    ended = [view for view in jobs.of(owner) if not view.active]
    found = sorted(ended, key=lambda view: -takes.get(view.id, 0))
    if not found:
        st.caption(_("No run of yours has ended yet."))
        return
    rows = pd.DataFrame(
        {
            _("Run"): [clip(said(view.title), CALLED) for view in found],
            _("State"): [_(STATES[view.state]) for view in found],
        }
        | chosen.facts([takes.get(view.id, 0) for view in found], [view.created for view in found])
    )
    marked = chosen.rows(rows, key="yours.runs")
    st.caption(
        _("A run counts with every file that it names, also with those that another names too; the sum above does not.")
    )
    ids = [found[row].id for row in marked]
    label = ngettext("Delete {n} run", "Delete {n} runs", len(marked)).format(n=len(marked))

    def delete() -> None:
        for job_id in ids:
            jobs.forget(job_id, owner)

    chosen.deletion(label, delete, marked, key="yours.runs.delete", jobs=jobs, owner=owner)
