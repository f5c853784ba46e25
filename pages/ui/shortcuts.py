"""What becomes of channels that an addition couples: one choice for every page that makes a plan."""

from __future__ import annotations

import streamlit as st

from pages.ui import state
from pages.ui.language import _, ngettext, said
from pages.ui.literal import literal
from pruning_core.allocation.shortcuts import SHORTCUTS, Coupled, InsideBlocks, Shortcuts
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.methods.projections import ELSEWHERE, has_projections, projections
from pruning_core.zoo import ModelRef
from pruning_core.zoo.rebuilt import EDITS, told


def choose(network: Network, model: ModelRef, key: str) -> Shortcuts:
    """For ``model``, whose groups ``network`` knows. Pages that share ``key`` share the choice; it lasts for the
    session. Says what it means for this network."""
    classes = {each.card.key: each for each in SHORTCUTS}
    wanted = st.segmented_control(
        _("Residual connections"), list(classes), default=Coupled.card.key, required=True,
        format_func=lambda each: said(classes[each].card.name), key=key, persist_state="session",
        help=" ".join(f"**{said(cls.card.name)}**: {said(cls.card.idea)}" for cls in classes.values()), wrap=True,
    )  # fmt: skip
    chosen = classes[wanted or Coupled.card.key]()
    whole = sum(chosen.leaves_whole(group) for group in network.groups)
    if not any(group.coupled for group in network.groups):
        st.caption(_("No addition couples channels of this network: it is the same either way."))
    elif whole:
        st.caption(
            ngettext(
                "{n} of {all} groups keeps all channels: an addition couples it with a shortcut.",
                "{n} of {all} groups keep all channels: an addition couples them with a shortcut.",
                whole,
            ).format(n=whole, all=len(network.groups))
        )
        if chosen.projects and not has_projections(network):
            _offer(network, model, key, chosen)
            return InsideBlocks()
    return chosen


def _offer(network: Network, model: ModelRef, key: str, chosen: Shortcuts) -> None:
    st.caption(
        _(
            "Until projections are inserted, only the inside of blocks is cut. With them the network says the same as "
            "before, and costs more until branches are cut."
        )
        + f" {said(chosen.card.fails)}"
    )
    if st.button(_("Insert projections"), key=f"{key}.insert", icon=":material/add_link:", wrap=True):
        try:
            state.choose_model(_with_projections(network, model))
        except UserError as error:
            st.warning(literal(said(str(error))), icon=":material/block:")
        else:
            st.rerun()


def _with_projections(network: Network, model: ModelRef) -> ModelRef:
    """Raises UserError where none can be inserted."""
    if model.foreign:
        raise UserError(ELSEWHERE)
    found = projections(state.loaded(model).model, network)
    return ModelRef("rebuilt", model.name, options=((EDITS, told(found)),), input_size=model.input_size, base=model)
