"""Where the visitor is: network, data, plan, and what comes next."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.ui import links, notes, standing, state
from pages.ui.desk import Desk
from pages.ui.literal import named


def section() -> None:
    desk = state.desk()
    model, network = state.loaded(desk.model), state.network(desk.model)
    _, test = state.splits(desk.data)
    st.subheader("Where you are")
    with st.container(border=True):
        trained = "" if model.trained else " :orange-badge[untrained]"
        st.markdown(
            f"**Network** {named(model.title)}{trained} {standing.badge(desk.model)}  \n"
            f"**Data** {named(test.name)}, {len(test):,} test images {notes.badge(test)}  \n"
            f"**Plan** {standing.plan(desk)}"
        )
        text, way = following(desk, bool(network.groups))
        st.markdown(f"**Next** {text}")
        way()


def following(desk: Desk, can_be_cut: bool) -> tuple[str, Callable[[], None]]:
    """The next step in words, and what draws the way to it."""
    if not can_be_cut:
        return "Nothing in this network can be cut; choose another one.", links.to_load
    if desk.plan and standing.applied(desk) is None:
        return "The plan is made and not applied yet: apply it, and both networks are measured.", links.to_what_if
    if desk.plan:
        return "The plan was applied: take the smaller network on the desk.", links.to_what_if
    if desk.model.base is None:
        return "Remove channels and see at once what that costs.", links.to_what_if
    if not standing.made(desk.model).trained:
        return "The network was cut and not trained since: fine-tuning makes up for what it lost.", links.to_fine_tune
    return "The smaller network is ready: show it, or take it home.", links.to_download
