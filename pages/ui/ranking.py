"""Which criterion ranks the channels, and the ranking it gives: one choice for every page that cuts by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import streamlit as st
from torch import Tensor

from pages.ui import state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.stored import verdicts
from pages.ui.widgets import knob_widgets
from pruning_core import criteria
from pruning_core.apart import household
from pruning_core.criteria import Criterion
from pruning_core.datasets import DIGITS, DataRef
from pruning_core.graph import Network
from pruning_core.knobs import knobs_of
from pruning_core.storage.codec import dump
from pruning_core.studies.sensitivity import scored
from pruning_core.work import finished
from pruning_core.zoo import ModelRef

KEY = "criterion"
SCORES_KEPT = 24


def choose_criterion() -> Criterion:
    """The criterion and its hyper-parameters. The choice lasts for the session and holds on every page."""
    classes = {each.card.key: each for each in criteria.CRITERIA}
    wanted = st.selectbox(
        _("Criterion"),
        list(classes),
        format_func=lambda key: said(classes[key].card.name),
        key=KEY,
        help=_("What decides which channels of a group go first: those with the lowest score."),
        persist_state="session",
    )
    chosen = classes[wanted or next(iter(classes))]
    if not knobs_of(chosen):
        return _explained(chosen())
    with st.popover(_("Hyper-parameters"), icon=":material/tune:", width="stretch", wrap=True):
        criterion = knob_widgets(chosen, KEY)
    return _explained(criterion)


def _explained(criterion: Criterion) -> Criterion:
    looks = _("It looks at images of the training part, never at those that are reported on.")
    idea = said(criterion.card.idea)
    st.caption(f"{idea} {looks}" if criterion.needs_images else idea)
    return criterion


@dataclass(frozen=True, eq=False)
class Ranking:
    """``values``: (C,) scores per group key, higher = keep; ``missing``: why the other groups have none."""

    criterion: Criterion
    values: Mapping[str, Tensor]
    missing: Mapping[str, str]


def ranking(model: ModelRef, network: Network, criterion: Criterion, data: DataRef, seed: int = 0) -> Ranking:
    """Scores exactly as a sensitivity sweep of the same criterion makes them. Raises UserError."""
    # Without images the data change nothing, so every data set shares the scores.
    images = replace(data, split="fit").to_json() if criterion.needs_images else ""
    with st.spinner(_("Scoring the channels: {criterion}").format(criterion=said(criterion.card.name)), show_time=True):
        values = _values(model.to_json(), dump(criterion), images, seed, str(state.workspace().root), criterion)
    missing = {g.key: _("this criterion cannot judge it") for g in network.groups if g.key not in values}
    return Ranking(criterion, values, missing)


def ranking_when_there(desk: Desk, network: Network, criterion: Criterion, key: str) -> Ranking | None:
    """The same ranking for a page that goes on meanwhile: at once from weights alone, else by a background run.

    None while the run has not ended; the page shows how far it is, with a button to stop it. Raises UserError.
    """
    if not criterion.needs_images:
        return ranking(desk.model, network, criterion, desk.data)
    found = verdicts(desk, network, (criterion,), key)
    if found is None:
        return None
    (scores,) = found.values()
    return Ranking(criterion, scores.values, scores.missing)


@st.cache_resource(show_spinner=False, max_entries=SCORES_KEPT)
def _values(model: str, criterion: str, data: str, seed: int, root: str, _criterion: Criterion) -> Mapping[str, Tensor]:
    ref = ModelRef.from_json(model)
    images = DataRef.from_json(data) if data else DIGITS  # not looked at
    far = household.far(ref, state.workspace()) if _criterion.runs_network else None
    if far:
        return far.scores(state.network(ref), _criterion, images, seed)
    return finished(scored(state.loaded(ref), state.network(ref), _criterion, state.workspace(), images, seed))
