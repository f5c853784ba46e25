"""Files to take home, each under an address that stays as long as the server runs.

Streamlit's own button for a file that is read when somebody asks for it forgets the file whenever a page is drawn anew,
also when that is another visitor's: a click in that moment brings nothing. Here a link leads to the file itself, which
lies in the data directory and is never whole in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import streamlit as st
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.delta_generator import DeltaGenerator

from pages.ui import state, theme
from pages.ui.language import _

FOLDER = "take"  # in addresses: …/take/TOKEN/NAME
MOST = 10_000  # that are remembered; the oldest go first
GONE = "This file is no longer here. Go back and have it prepared again."


@dataclass(frozen=True)
class Offered:
    """A stored file as its taker gets it; ``root``: the data directory that it lies in."""

    root: str
    digest: str
    name: str
    media: str


class Offers:
    """What may be taken, by a name that nobody can guess; the same for the same file and visitor."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._offered: dict[str, Offered] = {}
        self._changing = threading.Lock()

    def token(self, offered: Offered, owner: str) -> str:
        said = repr((offered, owner)).encode()
        token = hmac.new(self._secret, said, hashlib.sha256).hexdigest()[:40]
        with self._changing:
            self._offered[token] = offered
            while len(self._offered) > MOST:
                del self._offered[next(iter(self._offered))]
        return token

    def of(self, token: str) -> Offered | None:
        return self._offered.get(token)


OFFERS = Offers()


class Outbox:
    """ASGI middleware that answers for these addresses; it stands behind the guard."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["path"].split("/") if scope["type"] == "http" else []
        if len(asked) < 3 or asked[-3] != FOLDER or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        answer = await asyncio.to_thread(_answer, asked[-2])
        await answer(scope, receive, send)


def _answer(token: str) -> Response:
    from pruning_core.errors import UserError
    from pruning_core.storage.workspace import Workspace

    if offered := OFFERS.of(token):
        try:
            path = Workspace(Path(offered.root)).artifacts.path(offered.digest)
            headers = {"cache-control": "private, no-store"}
            return FileResponse(path, media_type=offered.media, filename=offered.name, headers=headers)
        except UserError:
            pass
    return PlainTextResponse(GONE, 404)


def button(digest: str, name: str, media: str, *, key: str, container: DeltaGenerator) -> None:
    """A link that looks like a button and brings the stored file ``digest`` under its ``name``."""
    token = OFFERS.token(Offered(str(state.workspace().root), digest, name, media), state.owner())
    # Relative, because the server may stand below another address; a page's own has no folder.
    address = html.escape(f"{FOLDER}/{token}/{quote(name)}", quote=True)
    with container.container(key=key):
        st.html(f'{_STYLE}<a class="ps-take" href="{address}" download>{html.escape(_("Download"))}</a>')


_STYLE = (
    "<style>.ps-take,.ps-take:visited{display:flex;align-items:center;justify-content:center;color:inherit;font-size:.95rem;"
    "min-height:2.5rem;padding:.25rem .75rem;border:1px solid color-mix(in srgb,currentColor 20%,transparent);"
    "border-radius:.45rem;text-decoration:none;overflow-wrap:anywhere}"
    f".ps-take:hover,.ps-take:focus-visible{{color:{theme.ACCENT};border-color:{theme.ACCENT};text-decoration:none}}"
    f".ps-take:focus-visible{{outline:2px solid {theme.ACCENT};outline-offset:2px}}</style>"
)
