"""Where a sign-in leads: to the page that the visitor's link named, with what the link brought."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.ui.cookie import USER_COOKIE, header
from pages.ui.language import ASKED

DESK = "desk"  # in a link: a network, its data and a plan
OURS = (DESK, ASKED)
CALLBACK = "/oauth2callback"  # where a provider sends people back to; Streamlit goes on to the first page
LONGEST = 10_000  # characters of an address
KEPT = 1_000  # browsers that are on their way to a provider

_leaving: dict[str, str] = {}  # by the browser's name, where it comes back to; who left first stands first


def place(path: str, query: str) -> str:
    """``path`` on this server with those parameters of ``query`` that are ours; never another server's address."""
    ours = [(key, value) for key, value in parse_qsl(query) if key in OURS]
    found = quote("/" + path.lstrip("/\\")) + (f"?{urlencode(ours)}" if ours else "")
    return found if len(found) <= LONGEST else "/"


def leave(browser: str | None, where: str) -> None:
    """A browser goes to sign in, and will want to be at ``where`` when it comes back."""
    if browser:
        _leaving.pop(browser, None)
        _leaving[browser] = where
        for old in list(_leaving)[:-KEPT]:
            _leaving.pop(old, None)


class Returning:
    """ASGI middleware: who comes back from a provider goes on to where they left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        back = scope["type"] == "http" and scope["path"].endswith(CALLBACK)
        where = _leaving.pop(_browser(scope), None) if back else None

        async def sent_on(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 302:
                others = [(key, value) for key, value in message["headers"] if key.lower() != b"location"]
                message = {**message, "headers": [*others, (b"location", str(where).encode("ascii"))]}
            await send(message)

        await self._app(scope, receive, send if where is None else sent_on)


def _browser(scope: Scope) -> str:
    try:
        found = SimpleCookie(header(scope, b"cookie")).get(USER_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
