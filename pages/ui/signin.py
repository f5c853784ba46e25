"""One password for a server: a form, and a cookie that says that somebody knew it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from pages.ui.cookie import header
from pages.ui.returning import place

COOKIE = "prunescope_signed_in"
LASTS_S = 7 * 24 * 3600
PAUSE_S = 1.0  # after a wrong password, for everybody who is trying: so nobody guesses many
LONGEST = 4096  # bytes of what the form sends

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign in · PruneScope</title>
<style>
:root {{ color-scheme: light dark; font-family: sans-serif }}
body {{ display: grid; place-items: center; min-height: 90vh; margin: 0 1rem }}
form {{ display: grid; gap: .75rem; width: min(20rem, 100%) }}
h1 {{ font-size: 1.4rem; margin: 0 }}
input, button {{ font: inherit; padding: .55rem .7rem; border-radius: .45rem; border: 1px solid #7C828C }}
button {{ background: #0B766B; color: #fff; border: 0; cursor: pointer }}
p {{ margin: 0 }} .wrong {{ color: light-dark(#A8323E, #FF9AA5) }}
</style>
<form method="post"><h1>PruneScope</h1>
<label for="password">Password of this server</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
{wrong}<button>Sign in</button></form></html>"""
WRONG = '<p class="wrong" role="alert">That is not the password. Try again.</p>'


class Door:
    """Lets in who knows the password, for a week; a changed password shuts everybody out."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        # Slow on purpose: who steals a cookie must not find the password by trying.
        self._key = hashlib.scrypt(self._password, salt=b"prunescope sign-in", n=1 << 14, r=8, p=1)
        self._turn = asyncio.Lock()

    def knows(self, scope: Scope) -> bool:
        """Whether the sender has signed in."""
        try:
            until, _, signature = SimpleCookie(header(scope, b"cookie"))[COOKIE].value.partition(".")
            return hmac.compare_digest(signature, self._signature(until)) and int(until) > time.time()
        except (CookieError, KeyError, ValueError, TypeError):
            return False

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The form, or what comes of what was typed into it."""
        response = await self._response(Request(scope, receive))
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(PAGE.format(wrong=""), 401)
        if request.method != "POST" or not _from_here(request):
            return Response("Sign in first.", 401, media_type="text/plain")
        typed = await _typed(request)
        async with self._turn:
            if not hmac.compare_digest(typed, self._password):
                await asyncio.sleep(PAUSE_S)
                return HTMLResponse(PAGE.format(wrong=WRONG), 401)
        answer = RedirectResponse(place(request.scope["path"], request.url.query), 303)  # where the form stood
        until = str(int(time.time()) + LASTS_S)
        answer.set_cookie(
            COOKIE, f"{until}.{self._signature(until)}", max_age=LASTS_S, httponly=True, samesite="lax",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    def _signature(self, until: str) -> str:
        return hmac.new(self._key, until.encode(), hashlib.sha256).hexdigest()


def _from_here(request: Request) -> bool:
    """A form that another site sends says so."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _typed(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST:
            return b""
    return parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0].encode()
