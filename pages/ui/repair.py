"""A stored file that is damaged, and that a run of the visitor's made: the same run makes it again."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st
from streamlit.errors import StreamlitDuplicateElementKey

from pages.ui import state
from pages.ui.language import _, said
from pages.ui.literal import literal
from pruning_core.errors import UserError
from pruning_core.runs.view import JobView
from pruning_core.storage.artifacts import DamagedError


def offer(damage: DamagedError) -> None:
    """A button where that can be done; nothing where the file is an upload, or somebody else's."""
    made = state.jobs().maker(damage.digest, state.owner())
    if made is None:
        return
    if made.active:
        st.caption(_("It is being computed again, by the same run with the same settings."))
        return
    with suppress(StreamlitDuplicateElementKey):  # the sidebar and the page may say the same
        st.button(
            _("Compute it again"), key=f"repair.{damage.digest}", icon=":material/restart_alt:", on_click=_again,
            args=(made,), wrap=True,
            help=_("The run that made it, once more: {title}").format(title=literal(made.title)),
        )  # fmt: skip


def _again(made: JobView) -> None:
    try:
        state.jobs().submit(state.jobs().spec(made.id), state.owner(), fresh=True)
    except UserError as error:
        st.toast(literal(said(str(error))), icon=":material/error:")
