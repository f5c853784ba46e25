"""Where the visitor is: network, data, plan, and what comes next."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.ui import links, notes, standing, state
from pages.ui.desk import Desk
from pages.ui.language import _, about, ngettext
from pages.ui.literal import named


def section() -> None:
    desk = state.desk()
    model, network = state.loaded(desk.model), state.network(desk.model)
    test = state.splits(desk.data)[1]
    st.subheader(_("Where you are"))
    with st.container(border=True):
        trained = "" if model.trained else f" :orange-badge[{_('untrained')}]"
        with about(test.called):
            images = ngettext("{n:,} test image", "{n:,} test images", len(test)).format(n=len(test))
        st.markdown(
            f"**{_('Network')}** {named(model.title)}{trained} {standing.badge(desk.model)}  \n"
            f"**{_('Data')}** {named(test.name)}, {images} {notes.badge(test)}  \n"
            f"**{_('Plan')}** {standing.plan(desk)}"
        )
        text, way = following(desk, bool(network.groups))
        st.markdown(f"**{_('Next')}** {text}")
        way()


def following(desk: Desk, can_be_cut: bool) -> tuple[str, Callable[[], None]]:
    """The next step in words, and what draws the way to it."""
    if not can_be_cut:
        return _("Nothing in this network can be cut; choose another one."), links.to_load
    if desk.plan and not standing.was_applied(desk):
        return _("The plan is made and not applied yet: apply it, and both networks are measured."), links.to_what_if
    if desk.plan:
        return _("The plan was applied: take the smaller network on the desk."), links.to_what_if
    if desk.model.base is None:
        return _("Remove channels and see at once what that costs."), links.to_what_if
    if not standing.made(desk.model).trained:
        return _(
            "The network was cut and not trained since: fine-tuning makes up for what it lost."
        ), links.to_fine_tune
    return _("The smaller network is ready: show it, or take it home."), links.to_download
