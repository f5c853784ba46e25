"""Taking up another network of the tree: undoing a step is going back to what it was made from."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.compare.tree import Node
from pages.ui import state
from pages.ui.desk import Desk
from pages.ui.language import _
from pages.ui.literal import literal
from pruning_core.zoo import ModelRef


def buttons(desk: Desk, nodes: Sequence[Node], chosen: ModelRef) -> None:
    """Put the chosen network on the desk, or undo the step that made the one there. Nothing is lost: both stay here."""
    by = {node.model: node for node in nodes}
    here, wanted = by.get(desk.model), by[chosen]
    with st.container(horizontal=True, vertical_alignment="center"):
        words = _("On the desk: {network}").format(network=here.label) if here else _("The desk holds another network.")
        st.markdown(literal(words))
        if wanted is not here:
            _button(_("Go on from {network}").format(network=wanted.label), "open", wanted.model, "play_arrow")
        if here is not None and here.parent is not None and here.parent in by:
            _button(_("Undo: {step}").format(step=here.operation), "undo", here.parent, "undo")


def _button(words: str, key: str, model: ModelRef, icon: str) -> None:
    st.button(
        literal(words), key=f"compare.{key}", icon=f":material/{icon}:", on_click=_put, args=(model,), wrap=True,
        help=_("Puts it on the desk. Every network of the tree stays, so that you can come back."),
    )  # fmt: skip


def _put(model: ModelRef) -> None:
    state.choose_model(model)
