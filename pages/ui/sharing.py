"""The desk as a link and the plan as a file: handing them out, and opening what somebody else hands in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import streamlit as st

from pages.ui import outbox, state
from pages.ui.language import N_, _, said
from pages.ui.literal import literal, named
from pages.ui.returning import DESK
from pruning_core.errors import UserError, clip

if TYPE_CHECKING:
    from pages.ui.desk import Desk
    from pruning_core.export.link import Shared

FAULT, ASKED, UPLOADS = "sharing.fault", "sharing.asked", "sharing.uploads"
LARGEST_MB = 32
BROKEN = N_("What this link names could not be opened here. Ask whoever sent it for the plan's file.")


def receive() -> None:
    """Open the link that the visitor came by, once. Where a plan of theirs would be lost they are asked first."""
    from pruning_core.export.link import from_token

    if (text := st.query_params.get(DESK)) is not None:
        del st.query_params[DESK]  # a reload must not bring back what was changed since
        try:
            found = from_token(text)
            found.check(_known)
            _take_or_ask(found)
        except UserError as error:
            st.session_state[FAULT] = str(error)
        except Exception as error:  # whatever a forged reference does to what builds networks
            from pages.ui.errors import LOG

            LOG.warning("a link could not be opened", exc_info=error)
            st.session_state[FAULT] = BROKEN
    with st.container():  # always there, so that what follows keeps its place
        _say()


def _take_or_ask(found: Shared) -> None:
    desk = state.desk()
    mine = desk.plans.get(found.model.key)
    if mine and mine != found.plan:
        st.session_state[ASKED] = found
    else:
        _take(found)


def _take(found: Shared) -> None:
    if state.choose_all(found.model, found.data, found.plan):
        st.toast(_("The network, the images and the plan are on the desk."), icon=":material/link:")


def _say() -> None:
    if fault := st.session_state.get(FAULT):
        text, button = st.columns([5, 1], vertical_alignment="center")
        text.error(literal(said(fault)), icon=":material/link_off:")
        button.button(_("Close"), key="sharing.close", on_click=_forget, width="stretch", wrap=True)
    asked: Shared | None = st.session_state.get(ASKED)
    if asked is None:
        return
    channels = sum(len(units) for units in asked.plan.values())
    with st.container(border=True):
        st.markdown(
            _(
                ":material/link: The link brings a plan that removes {channels:,} channels from {n} groups of "
                "this network. You have another plan for it, which would be replaced; Undo on What-if brings "
                "it back."
            ).format(channels=channels, n=len(asked.plan))
        )
        with st.container(horizontal=True):
            st.button(_("Open the link's plan"), key="sharing.open", on_click=_accept, type="primary", wrap=True)
            st.button(_("Keep mine"), key="sharing.keep", on_click=_forget, wrap=True)


def _accept() -> None:
    from pages.ui import history

    found: Shared = st.session_state.pop(ASKED)
    try:
        network = state.network(found.model)
        network.validate(found.plan)
        if state.choose_model(found.model, found.data):
            history.change(found.plan)
    except UserError as error:
        st.session_state[FAULT] = str(error)


def _forget() -> None:
    st.session_state.pop(ASKED, None)
    st.session_state.pop(FAULT, None)


# -- handing out -------------------------------------------------------------------------------------------------------


def draw() -> None:
    """In the sidebar: the link, the plan as a file, and the way back in."""
    desk = state.desk()
    with st.popover(_("Link and file"), icon=":material/share:", width="stretch", wrap=True):
        _link(desk)
        _file(desk)
        _upload(desk)


def address(desk: Desk, page: str | None) -> str:
    """The page's address with the desk in it. Raises UserError where the plan is too long for one."""
    from pruning_core.export.link import Shared, token

    parts = urlsplit(page or "http://localhost:8501/")
    text = token(Shared(desk.model, desk.data, desk.plan))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, f"{DESK}={text}", ""))


def _link(desk: Desk) -> None:
    from pruning_core.export.link import Shared

    st.markdown(_("**A link** to this page with this network, these images and this plan"))
    shared = Shared(desk.model, desk.data, desk.plan)
    try:
        text = address(desk, st.context.url)
    except UserError as error:
        st.caption(literal(said(str(error))))
        return
    _note(shared)
    st.code(text, language=None, height=76)
    if not shared.travels:
        st.caption(
            _("It opens on this server only, for everybody who has it: the network or the images are files here.")
        )


def _file(desk: Desk) -> None:
    st.markdown(_("**The plan as a file**, small, readable, and opened below on any server"))
    if not desk.plan:
        st.caption(_("Nothing is planned yet."))
        return
    what = f"{desk.model.to_json()} {desk.data.to_json()} {desk.plan.to_json()}"
    name = f"{clip(_stem(desk), 60)}.plan.json"
    written = outbox.Written(what, name, "application/json", lambda: _written(desk))
    outbox.button(written, key="sharing.file", label=_("Plan as JSON"))


def _stem(desk: Desk) -> str:
    return "".join(each if each.isascii() and each.isalnum() else "-" for each in desk.model.name) or "network"


def _written(desk: Desk) -> str:
    from pruning_core.export.document import Base, to_json
    from pruning_core.export.plan_file import intended

    loaded = state.loaded(desk.model)
    base = Base(loaded.title, desk.model.to_json(), "", loaded.model.state_dict())
    return to_json(intended(base, state.network(desk.model), desk.plan, desk.data))


# -- files that come in ------------------------------------------------------------------------------------------------


def _upload(desk: Desk) -> None:
    number = st.session_state.get(UPLOADS, 0)
    sent = st.file_uploader(
        _("Open a plan or a recipe"),
        type=["json", "yaml", "yml"],
        key=f"sharing.upload.{number}",
        max_upload_size=LARGEST_MB,
    )
    if sent is None:
        return
    st.session_state[UPLOADS] = number + 1  # the next one is another file
    try:
        done = open_file(sent.getvalue(), desk)
    except UserError as error:
        st.session_state[FAULT] = str(error)
    else:
        _forget()
        st.toast(done, icon=":material/upload_file:", duration="long")
    st.rerun()


def open_file(data: bytes, desk: Desk) -> str:
    """Put its plan on the desk, with its network where that is at hand; says in Markdown what was done.

    Raises UserError when it is no plan, or fits neither its own network here nor the one on the desk.
    """
    from pages.ui import history
    from pruning_core.export.plan_file import read_plan_file

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            _("This is no plan: it is no text. Choose a .json or .yaml file that PruneScope wrote.")
        ) from error
    found = read_plan_file(text, desk.data)
    if not found.plan:
        raise UserError(_("This file's plan removes nothing. Choose another file."))
    refused: UserError | None = None
    if found.shared is not None and found.shared.model != desk.model:
        try:
            found.shared.check(_known)
            state.network(found.shared.model).validate(found.plan)
            if state.choose_model(found.shared.model, found.shared.data):
                history.change(found.plan)
            return _("{title} and its plan are on the desk.").format(title=named(found.title))
        except UserError as error:
            refused = error
    try:
        state.network(desk.model).validate(found.plan)
    except UserError as error:
        raise refused or UserError(
            _("This plan was made for {network} and does not fit the network on the desk: {why}").format(
                network=found.title, why=said(str(error))
            )
        ) from error
    history.change(found.plan)
    if refused is None:
        return _("The plan is on the desk.")
    return _("The plan was made for {title}; it fits the network on the desk, so it is there now.").format(
        title=named(found.title)
    )


# -- what was shared here ----------------------------------------------------------------------------------------------


def _known(key: str) -> bool:
    return (state.workspace().root / "links" / key).is_file()


def _note(shared: Shared) -> None:
    """A link to somebody's files opens only where such a link was shown before."""
    if shared.travels:
        return
    folder = state.workspace().root / "links"
    for key in (shared.model.key, shared.data.key):
        if not (folder / key).is_file():
            folder.mkdir(exist_ok=True)
            (folder / key).touch()
