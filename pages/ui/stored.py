"""The scores behind a page's figures and sliders: one run for all chosen criteria, read back from the store."""

from __future__ import annotations

import streamlit as st
import torch
from torch import Tensor

from pages.ui import jobs, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _
from pages.ui.provenance import Provenance
from pruning_core.criteria import Criterion, Scores
from pruning_core.graph import Network
from pruning_core.methods.ranking import SCORED_ON
from pruning_core.runs.view import State
from pruning_core.studies.points import Scored
from pruning_core.studies.scores import ScoresRun, read_scores

AT_ONCE = 2e9  # MACs of probing below which nobody has to press a button: about a second
Verdicts = dict[Criterion, Scores]


def verdicts(desk: Desk, network: Network, criteria: tuple[Criterion, ...], key: str) -> Verdicts | None:
    """What each criterion says of every group; None while that is not there (the page shows why)."""
    run = ScoresRun(desk.model, desk.data, criteria)
    known = state.jobs().find(run)
    if known is None and not _quick(network, criteria):
        st.caption(_("These criteria look at images or gradients of the whole network; that takes a while."))
        if not st.button(
            _("Score the channels"), type="primary", icon=":material/play_arrow:", key=f"{key}.score", wrap=True
        ):
            return None
    if known is None:
        known = state.jobs().snapshot(state.jobs().submit(run, state.owner()))
    view = known if known.state is State.DONE else jobs.watch(known.id, key=f"{key}.run")
    if view.state is not State.DONE:
        return None
    by_label = {each.label: each for each in criteria}
    return {
        by_label[each.criterion]: Scores(
            by_label[each.criterion], _stored(each.digest, str(state.workspace().root)), dict(each.missing),
            each.seconds, each.images,
        )
        for each in view.all(Scored)
    }  # fmt: skip


def measured(scores: Scores, what: str, note: str = "") -> Provenance:
    """Where these scores come from; they are always computed on the processor."""
    return provenance.measured(what, images=scores.images or None, device="CPU", note=note)


def _quick(network: Network, criteria: tuple[Criterion, ...]) -> bool:
    hungry = sum(1 + each.needs_labels for each in criteria if each.needs_images)
    return hungry * SCORED_ON * network.cost().macs < AT_ONCE


@st.cache_resource(show_spinner=False, max_entries=128)
def _stored(digest: str, root: str) -> dict[str, Tensor]:
    return {key: torch.from_numpy(value) for key, value in read_scores(state.workspace(), digest).items()}
