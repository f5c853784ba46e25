"""What the network's outputs are judged by: proposed from outputs and labels, and chosen here."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.ui import measured, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import _, said
from pages.ui.literal import literal
from pruning_core.datasets import Dataset
from pruning_core.datasets.targets import Labels
from pruning_core.measuring.detecting import AveragePrecision
from pruning_core.measuring.registry import BY_KEY
from pruning_core.studies.judging import possible, refusal
from pruning_core.zoo import LoadedModel

PRECISION = AveragePrecision()


def ask(desk: Desk, model: LoadedModel, data: Dataset) -> None:
    """Nothing where nothing but what is proposed can judge it."""
    offered = {each.key: each for each in possible(model, data)}
    before = BY_KEY.get(desk.data.measure)
    if before is not None and not refusal(before, model, data):
        offered.setdefault(before.key, before)  # with other shares of the data it may be worth less than when chosen
    if data.kind is Labels.BOXES and PRECISION.key not in offered:
        st.caption(literal(said(refusal(PRECISION, model, data))))
    if len(offered) < 2:
        return
    proposed = next(iter(offered))
    now = desk.data.measure if desk.data.measure in offered else proposed
    words, choice = st.columns([3, 2], vertical_alignment="center")
    words.markdown(
        _(":small[:gray[Judged by]]  \n**{name}**: {says}; {way}.").format(
            name=said(offered[now].name), says=said(offered[now].says), way=measured.way(now)
        )
    )
    chosen = choice.selectbox(
        _("What its outputs are judged by"),
        tuple(offered),
        tuple(offered).index(now),
        format_func=lambda key: said(offered[key].name) + (_(" (proposed)") if key == proposed else ""),
        key=f"choose.judging.{model.ref.key[:12]}.{desk.data.key[:12]}",
        help=_(
            "Sensitivity, What-if, Search and Fine-tune measure this. Numbers without labels say how near a network "
            "stays to what the unpruned one gives."
        ),
    )
    if chosen is not None and chosen != now:
        with plain_errors():
            state.choose_data(replace(desk.data, measure="" if chosen == proposed else chosen))
            st.rerun()
