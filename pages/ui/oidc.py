"""People sign in with an OpenID Connect provider, by Streamlit's own support, where its secrets have an [auth] section.

Whoever is not signed in sees one page, which says so, and can send the server nothing. `docs/trust.md` has a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.cookie import USER_COOKIE
from pages.ui.language import N_, _
from pages.ui.literal import literal
from pages.ui.returning import CALLBACK, leave, place
from pages.ui.settings import Settings
from pruning_core.errors import UserError, quoted

SHARED = ("redirect_uri", "cookie_secret")
OWN = ("client_id", "client_secret", "server_metadata_url")  # of each provider
LEAST_SECRET = 32  # characters
SESSIONS_KEPT = 10_000
NOBODY = N_(
    "The sign-in did not say who you are (it gave no subject). Whoever runs this server should look at its provider."
)
NOT_ADMITTED = (
    "You are signed in as {who}, who may not use this server. Ask whoever runs it, or sign out and try again."
)

_let_in: dict[str, None] = {}  # sessions of people who are signed in, oldest first


def section() -> dict[str, Any]:
    """What Streamlit's secrets say about signing in; empty where they say nothing."""
    found = st.secrets.get("auth") if st.secrets.load_if_toml_exists() else None
    return dict(found) if isinstance(found, Mapping) else {}


def providers(auth: Mapping[str, Any]) -> tuple[str | None, ...]:
    """The names by which ``st.login`` knows them; None for the one that has no name.

    Raises UserError where something is missing: that a server lets nobody in is found out at the start.
    """
    named = {name: dict(part) for name, part in auth.items() if isinstance(part, Mapping) and name != "client_kwargs"}
    _complete(auth, SHARED, "[auth]")
    if not str(auth["redirect_uri"]).endswith(CALLBACK):
        raise UserError(f"redirect_uri in [auth] of the secrets must end with {CALLBACK}.")
    if len(str(auth["cookie_secret"])) < LEAST_SECRET:
        raise UserError(f"cookie_secret in [auth] of the secrets is too short: take {LEAST_SECRET} random characters.")
    for name, part in named.items():
        _complete(part, OWN, f"[auth.{name}]")
    if not named:
        _complete(auth, OWN, "[auth]")
    return ((None,) if "client_id" in auth else ()) + tuple(named)


def _complete(part: Mapping[str, Any], wanted: tuple[str, ...], where: str) -> None:
    for name in wanted:
        if not part.get(name):
            raise UserError(f"{name} is missing from {where} of Streamlit's secrets, so nobody could sign in.")


def signed_in() -> bool:
    """Whether pages may be drawn for this visitor; where not, the sign-in page is."""
    auth = section()
    if not auth:
        return True
    user = dict(st.user)
    if user.get("is_logged_in") is not True:
        _ask(auth)
        return False
    why = objection(user, Settings.read().people)
    if why:
        _head()
        st.error(literal(why), icon=":material/block:")
        st.button(_("Sign out"), on_click=st.logout, wrap=True)
        return False
    _remember_session()
    return True


def objection(user: Mapping[str, Any], people: tuple[str, ...]) -> str:
    """Why somebody whom the provider knows may not come in all the same; "" where they may.

    ``people``: addresses, or @example.org for all below it; empty admits everybody whom the provider knows. An address
    counts only where the provider has verified it.
    """
    if not name(user):
        return _(NOBODY)
    address = str(user.get("email", "")).lower() if user.get("email_verified") is True else ""
    domain = f"@{address.rpartition('@')[2]}"
    if not people or (address and (address in people or domain in people)):
        return ""
    return _(NOT_ADMITTED).format(who=quoted(called(user)))


def name(user: Mapping[str, Any]) -> str:
    """Whose runs these are: issuer and subject, the pair that stays and that no one else has. "" without a subject."""
    subject = user.get("sub")
    return f"{user.get('iss') or user.get('provider')} {subject}" if isinstance(subject, str) and subject else ""


def called(user: Mapping[str, Any]) -> str:
    """What to call somebody on a page."""
    return str(user.get("name") or user.get("email") or user.get("sub") or "somebody")


def owner() -> str:
    """The name of who is signed in; "" where nobody signs in here."""
    return name(dict(st.user)) if section() else ""


def may_send(session: str) -> bool:
    """Whether a session belongs to somebody who is signed in."""
    return session in _let_in


def draw_visitor() -> None:
    """Who is signed in, and the way out; nothing where nobody signs in here."""
    if section():
        st.markdown(f":small[:gray[{_('Signed in as')}]]  \n{literal(called(dict(st.user)))}")
        st.button(_("Sign out"), key="oidc.out", on_click=st.logout, wrap=True)


def _remember_session() -> None:
    context = get_script_run_ctx(suppress_warning=True)
    if context is not None:
        _let_in.pop(context.session_id, None)
        _let_in[context.session_id] = None
        for old in list(_let_in)[:-SESSIONS_KEPT]:
            _let_in.pop(old, None)


def _head() -> None:
    st.title("PruneScope")


def _ask(auth: Mapping[str, Any]) -> None:
    _head()
    here, there = urlsplit(str(st.context.url or "")), urlsplit(str(auth["redirect_uri"]))
    back = place(here.path, urlencode(st.query_params.to_dict()))
    if here.netloc and here.netloc != there.netloc and "{port}" not in there.netloc:
        home = f"{there.scheme}://{there.netloc}"
        said = _("People sign in to this server under another name: {address}.")
        st.markdown(said.format(address=f"[{literal(home)}]({home}{back})"))
        return
    st.markdown(_("Sign in to go on."))
    for each in providers(auth):
        label = _("Sign in") if each is None else _("Sign in with {provider}").format(provider=literal(each))
        st.button(label, key=f"oidc.{each}", type="primary", on_click=_leave, args=(each, back), wrap=True)


def _leave(provider: str | None, back: str) -> None:
    leave(st.context.cookies.get(USER_COOKIE), back)
    st.login(provider)
