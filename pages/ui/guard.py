"""Before anything else sees a request: whose name it came by, whether its sender may come in, what a browser may do.

Public middleware of Streamlit's server; nothing of Streamlit is changed. `docs/trust.md` says what is meant to hold.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.ui import oidc
from pages.ui.cookie import header
from pages.ui.settings import Settings, SignIn
from pages.ui.signin import Door

HEALTH = "/_stcore/health"
METRICS = "/_stcore/metrics"
UPLOADS = "/_stcore/upload_file/"
DOCUMENT = Path(st.__file__).parent / "static" / "index.html"  # Streamlit's one page
WILDCARDS = ("", "0.0.0.0", "::")


def inline_scripts(document: Path) -> tuple[str, ...]:
    """The hashes by which a policy admits the scripts that stand in a document, and no others."""
    try:
        found = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", document.read_text("utf-8"), re.DOTALL)
    except OSError:
        return ()
    return tuple(f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in found)


# Plotly and Vega make functions out of text, Streamlit writes styles into elements and loads components as blobs.
POLICY = "; ".join(
    (
        "default-src 'self'",
        " ".join(("script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' blob:", *inline_scripts(DOCUMENT))),
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob: data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}

STRANGE_HOST = (
    "This server is not known by that name. Whoever runs it adds the name to PRUNESCOPE_HOSTS when people are meant to "
    "come by it."
)
NOT_OPEN = (
    "This server lets in nobody but its own machine: it has no password. Whoever runs it sets PRUNESCOPE_PASSWORD, or "
    "PRUNESCOPE_PROXY_SIGNS_IN=yes where a proxy signs people in, or names a provider in Streamlit's secrets."
)
NOT_SIGNED_IN = "Sign in first."


def refusal(address: str, settings: Settings) -> str:
    """Why a server must not start on this address; "" when it may."""
    if is_loopback(address) or settings.sign_in is not SignIn.NONE:
        return ""
    return (
        f"PruneScope does not start on {address or 'every address'} without a sign-in: whoever reaches it could use "
        "this machine. Set PRUNESCOPE_PASSWORD (or PRUNESCOPE_PASSWORD_FILE), or PRUNESCOPE_PROXY_SIGNS_IN=yes where a "
        "proxy signs people in, or name a provider in Streamlit's secrets, or leave the address at localhost. "
        "docs/trust.md has recipes."
    )


class Guard:
    """ASGI middleware, the outermost. ``address``: what the server listens on, as Streamlit names it."""

    def __init__(self, app: ASGIApp, settings: Settings, address: str, public_name: str = "") -> None:
        self._app, self._settings = app, settings
        self._names = known_names(settings.hosts, (address, public_name))
        self._any_ip = not is_loopback(address)  # no name can be bent to where no name was asked
        self._door = Door(settings.password) if settings.password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http":
            send = _with_headers(send)
        refused = self._refused(scope)
        if refused is not None:
            await _refuse(scope, receive, send, *refused)
        elif self._door is None or scope["path"] == HEALTH or self._door.knows(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await _refuse(scope, receive, send, 403, "")
        else:
            await self._door.answer(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        if not self._known(header(scope, b"host")):
            return 400, STRANGE_HOST
        client = scope.get("client")
        if self._settings.sign_in is SignIn.NONE and client is not None and not is_loopback(client[0]):
            return 403, NOT_OPEN
        if scope["path"].rstrip("/") == METRICS and not self._may_measure(scope):
            return 404, "Not found."
        if self._settings.sign_in is SignIn.OIDC and scope["path"].startswith(UPLOADS):
            session = scope["path"].removeprefix(UPLOADS).partition("/")[0]
            if not oidc.may_send(session):
                return 403, NOT_SIGNED_IN
        return None

    def _known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if not name or any(letter in host for letter in "/@?#;"):
            return False
        if is_loopback(name) or (self._any_ip and _is_ip(name)):
            return True
        return name in self._names or any(name.endswith(each[1:]) for each in self._names if each.startswith("*."))

    def _may_measure(self, scope: Scope) -> bool:
        token = self._settings.metrics_token
        return bool(token) and hmac.compare_digest(header(scope, b"authorization").encode(), f"Bearer {token}".encode())


def known_names(*given: Iterable[str]) -> frozenset[str]:
    """Names out of settings, without the addresses that stand for all."""
    bare = (name.strip().lower().rstrip(".") for names in given for name in names)
    return frozenset(name for name in bare if name not in WILDCARDS and name != "*")


def is_loopback(name: str) -> bool:
    """Whether this is the machine itself, as an address or as the one name that browsers keep for it."""
    if name.lower() == "localhost" or name.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(key, value) for key, value in message.get("headers", ()) if key.lower() not in HEADERS]
            message = {**message, "headers": [*kept, *HEADERS.items()]}
        await send(message)

    return guarded


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await PlainTextResponse(why, status)(scope, receive, send)
