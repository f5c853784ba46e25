"""Files to take home, each under an address that stays as long as the server runs.

Streamlit's own button for a file that is read when somebody asks for it forgets the file whenever a page is drawn anew,
also when that is another visitor's: a click in that moment brings nothing. Here a link leads to the file itself, which
lies in the data directory and is never whole in memory, or is written when somebody takes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import streamlit as st
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.delta_generator import DeltaGenerator

from pages.ui import state, theme
from pages.ui.language import _

FOLDER = "take"  # in addresses: …/take/TOKEN/NAME
MOST = 10_000  # that are remembered; the oldest go first
LOG = logging.getLogger("prunescope")
HEADERS = {"cache-control": "private, no-store"}
GONE = "This file is no longer here. Go back and have it prepared again."


@dataclass(frozen=True)
class Offered:
    """A stored file as its taker gets it; ``root``: the data directory that it lies in."""

    root: str
    digest: str
    name: str
    media: str

    def answer(self) -> Response:
        """Raises UserError where it is no longer there. Reads alone: also where nothing can be written any more."""
        from pruning_core.storage.artifacts import DamagedError
        from pruning_core.storage.uploads import artifacts

        store = artifacts(Path(self.root))
        try:
            path = store.path(self.digest)
        except DamagedError:
            with suppress(OSError):
                store.drop(self.digest)  # so that the page offers to prepare it
            raise
        return FileResponse(path, media_type=self.media, filename=self.name, headers=HEADERS)


@dataclass(frozen=True)
class Written:
    """A text that costs something to write, so that it is written when it is taken; ``what`` tells two apart that have
    one ``name``."""

    what: str
    name: str
    media: str
    write: Callable[[], str] = field(repr=False, compare=False)

    def answer(self) -> Response:
        """Raises UserError where it cannot be written any more."""
        there = f"attachment; filename*=utf-8''{quote(self.name)}"
        return Response(self.write(), media_type=self.media, headers={**HEADERS, "content-disposition": there})


class Offers:
    """What may be taken, by a name that nobody can guess; the same for the same file and visitor."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._offered: dict[str, Offered | Written] = {}
        self._changing = threading.Lock()

    def token(self, offered: Offered | Written, owner: str) -> str:
        said = repr((offered, owner)).encode()
        token = hmac.new(self._secret, said, hashlib.sha256).hexdigest()[:40]
        with self._changing:
            self._offered[token] = offered
            while len(self._offered) > MOST:
                del self._offered[next(iter(self._offered))]
        return token

    def of(self, token: str) -> Offered | Written | None:
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
    from pruning_core.storage.trouble import BROKEN, sentence_of

    if offered := OFFERS.of(token):
        try:
            return offered.answer()
        except UserError:
            pass
        except OSError as error:
            LOG.error("the data directory", exc_info=error)
            return PlainTextResponse(sentence_of(error) or BROKEN, 503)
    return PlainTextResponse(GONE, 404)


def stored(data: bytes, name: str, media: str) -> Offered:
    """A file that is at hand: the same bytes lie in the data directory once."""
    return of(state.workspace().artifacts.put(data), name, media)


def of(digest: str, name: str, media: str) -> Offered:
    """A file that lies in the data directory already."""
    return Offered(str(state.workspace().root), digest, name, media)


def button(offered: Offered | Written, *, key: str, label: str = "", container: DeltaGenerator | None = None) -> None:
    """A link that looks like a button and brings the file: as wide as the ``container``, or as its words."""
    token = OFFERS.token(offered, state.owner())
    # Relative, because the server may stand below another address; a page's own has no folder.
    address = html.escape(f"{FOLDER}/{token}/{quote(offered.name)}", quote=True)
    width: Literal["stretch", "content"] = "content" if container is None else "stretch"
    with (container or st).container(key=key, width=width):
        words = html.escape(label or _("Download"))
        st.html(f'{_STYLE}<a class="ps-take" href="{address}" download>{words}</a>', width=width)


_STYLE = (
    "<style>.ps-take,.ps-take:visited{display:flex;align-items:center;justify-content:center;color:inherit;font-size:.95rem;"
    "min-height:2.5rem;padding:.25rem .75rem;border:1px solid color-mix(in srgb,currentColor 20%,transparent);"
    "border-radius:.45rem;text-decoration:none;overflow-wrap:anywhere}"
    f".ps-take:hover,.ps-take:focus-visible{{color:{theme.ACCENT};border-color:{theme.ACCENT};text-decoration:none}}"
    f".ps-take:focus-visible{{outline:2px solid {theme.ACCENT};outline-offset:2px}}</style>"
)
