"""Telling browsers apart, so that a run is found again after a reload.

Streamlit makes a new session for every page load; a cookie is what stays. It is set with the HTML document, so the web
socket that follows already carries it and `st.context.cookies` has it on the very first run.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

USER_COOKIE = "prunescope_user"
ONE_YEAR_S = 365 * 24 * 3600


class UserCookie:
    """ASGI middleware that gives every browser a random name."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not wants_document(scope) or has_cookie(scope):
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"set-cookie", new_cookie(scope))]}
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def wants_document(scope: Scope) -> bool:
    # Asked of the request: a response from the browser's cache (304) names no content type.
    return "text/html" in header(scope, b"accept")


def has_cookie(scope: Scope) -> bool:
    try:
        return USER_COOKIE in SimpleCookie(header(scope, b"cookie"))
    except CookieError:
        return False


def header(scope: Scope, name: bytes) -> str:
    return "; ".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def new_cookie(scope: Scope) -> bytes:
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    name = secrets.token_urlsafe(24)
    return f"{USER_COOKIE}={name}; Path=/; Max-Age={ONE_YEAR_S}; HttpOnly; SameSite=Lax{secure}".encode("ascii")
