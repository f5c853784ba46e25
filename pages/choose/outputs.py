"""Which output of a network of several is judged; all of them are proven."""

from __future__ import annotations

import streamlit as st

from pages.choose.restating import restate
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import _
from pages.ui.literal import literal, named
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.interface import Output
from pruning_core.zoo.meaning import measured_of


def ask(desk: Desk, model: LoadedModel) -> None:
    """Nothing where there is one output, or one that can be judged."""
    told = model.interface
    offered = [] if told is None else [at for at, each in enumerate(told.outputs) if each.measurable]
    if told is None or len(offered) < 2:
        return
    words, choice = st.columns([3, 2], vertical_alignment="center")
    listed = literal(", ".join(_called(each) for each in told.outputs[:8]))
    words.markdown(
        _(":small[:gray[Gives]]  \n{outputs}. One is judged; every cut is proven on all of them.").format(
            outputs=listed
        )
    )
    chosen = choice.selectbox(
        _("Which output is judged"),
        offered,
        offered.index(told.measured),
        format_func=lambda at: named(_called(told.outputs[at])),
        key=f"choose.outputs.{model.ref.key[:12]}",
        help=_("Sensitivity, What-if and Fine-tune measure this one, unless what is measured joins all of them."),
    )
    if chosen is not None and chosen != told.measured:
        with plain_errors():
            restate(desk, measured_of(desk.model, chosen))


def _called(each: Output) -> str:
    shape = " × ".join(map(str, each.shape)) or "1"
    return f"{each.name} ({shape})" if each.name else shape
