"""Signing in with a provider of OpenID Connect: a real server, and a small provider in this process."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from pages.ui import oidc
from pages.ui.guard import refusal
from pages.ui.settings import Settings, SignIn
from pruning_core.errors import UserError
from tools.visitor import Visitor

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
ANN = {"sub": "ann-1", "name": "Ann <b>", "email": "ann@example.org", "email_verified": True}
BOB = {"sub": "bob-2", "name": "Bob", "email": "bob@elsewhere.net", "email_verified": True}
AUTH = {
    "redirect_uri": "https://prune.example.org/oauth2callback", "cookie_secret": "s" * 32, "client_id": "id",
    "client_secret": "secret", "server_metadata_url": "https://issuer.example/.well-known/openid-configuration",
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Provider:
    """Knows one person at a time, and signs with ``key``; tells its readers of ``published``."""

    port: int = field(default_factory=free_port)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    published: RSAKey | None = None
    person: dict = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)  # nonce by code

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}"

    def answer(self, path: str, query: dict[str, list[str]], form: dict[str, list[str]]) -> dict | str:
        """A document, or where to go next."""
        match path:
            case "/.well-known/openid-configuration":
                return {
                    "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
                    "code_challenge_methods_supported": ["S256"], "id_token_signing_alg_values_supported": ["RS256"],
                }  # fmt: skip
            case "/keys":
                return {"keys": [(self.published or self.key).as_dict(private=False)]}
            case "/authorize":
                code = secrets.token_hex(8)
                self.asked[code] = query["nonce"][0]
                return f"{query['redirect_uri'][0]}?{urlencode({'code': code, 'state': query['state'][0]})}"
            case "/token":
                nonce = self.asked.pop(form["code"][0])
                now = int(time.time())
                claims = {"iss": self.issuer, "aud": "prunescope", "iat": now, "exp": now + 600, "nonce": nonce}
                token = jwt.encode({"alg": "RS256", "kid": "one"}, claims | self.person, self.key)
                return {"access_token": "a", "token_type": "Bearer", "id_token": token}
        raise KeyError(path)

    def serve(self) -> ThreadingHTTPServer:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply({})

            def do_POST(self) -> None:
                self.reply(parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()))

            def reply(self, form: dict[str, list[str]]) -> None:
                asked = urlsplit(self.path)
                answer = provider.answer(asked.path, parse_qs(asked.query), form)
                self.send_response(302 if isinstance(answer, str) else 200)
                if isinstance(answer, str):
                    self.send_header("location", answer)
                    self.end_headers()
                    return
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@pytest.fixture(scope="module")
def provider():
    made = Provider()
    server = made.serve()
    yield made
    server.shutdown()


@pytest.fixture(scope="module")
def address(provider, tmp_path_factory):
    """Of a server that signs people in there; of these, only those of example.org may come in."""
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    known = folder / "secrets.toml"
    known.write_text(
        f'[auth]\nredirect_uri = "http://localhost:{port}/oauth2callback"\ncookie_secret = "{secrets.token_hex(32)}"\n'
        f'client_id = "prunescope"\nclient_secret = "shared"\n'
        f'server_metadata_url = "{provider.issuer}/.well-known/openid-configuration"\n'
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(Path(__file__).parent / "served_behind_oidc.py"),
             f"--server.port={port}", "--server.headless=true", f"--secrets.files={known}"],
            cwd=ROOT, stdout=log, stderr=log,
            env={**os.environ, "PRUNESCOPE_DATA": str(folder), "PYTHONPATH": str(ROOT),
                 "PRUNESCOPE_PEOPLE": "@example.org"},
        )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://localhost:{port}/_stcore/health").status_code == 200:
                break
        assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.1)
    yield f"http://localhost:{port}"
    process.kill()
    process.wait()


def sign_in(address: str, provider: Provider, person: dict) -> httpx.Client:
    """A browser's cookies after the way to the provider and back."""
    provider.person = person
    with Visitor(address) as visitor:
        visitor.open()
        visitor.press("Sign in")
        assert visitor.redirected.startswith("/auth/login?provider="), visitor.text()
        jar = httpx.Client(follow_redirects=True)
        jar.get(address + visitor.redirected)
    return jar


def seen(address: str, jar: httpx.Client | None = None) -> str:
    with Visitor(address, jar) if jar else Visitor(address) as visitor:
        visitor.open()
        return visitor.text()


def send(address: str, visitor: Visitor) -> int:
    """The status with which a file is taken, or not."""
    headers = {"X-Xsrftoken": visitor.http.cookies.get("_streamlit_xsrf") or ""}
    where = f"{address}/_stcore/upload_file/{visitor.session}/a"
    return visitor.http.put(where, files={"file": ("a.pt", b"bytes")}, headers=headers).status_code


def test_who_is_not_signed_in_sees_the_sign_in_page_and_can_send_nothing(address):
    with Visitor(address) as visitor:
        visitor.open()
        assert "Sign in to go on" in visitor.text() and "owner" not in visitor.text()
        assert [each.label for each in visitor.all("button")] == ["Sign in"]
        assert not visitor.all("file_uploader")
        assert send(address, visitor) == 403


def test_whose_things_they_are_is_what_the_issuer_says(address, provider):
    with Visitor(address, sign_in(address, provider, ANN)) as visitor:
        visitor.open()
        assert f"owner {provider.issuer} ann-1" in visitor.text()
        assert "Ann" in visitor.text() and "<b>" not in visitor.text(), "a name is text, not markup"
        assert send(address, visitor) == 204, visitor.session
        visitor.press("Sign out")
        assert visitor.redirected == "/auth/logout"
    again = sign_in(address, provider, {**ANN, "name": "Ann, married"})
    assert f"owner {provider.issuer} ann-1" in seen(address, again), "another browser, the same person"
    again.get(f"{address}/auth/logout")
    assert "Sign in to go on" in seen(address, again)


def test_a_link_leads_on_after_the_sign_in_to_what_is_ours_and_to_no_other_server(address, provider):
    provider.person = ANN
    with Visitor(address) as visitor:
        for page, query, landing in (
            ("other", "desk=eJw-_1&lang=en", "/other?desk=eJw-_1&lang=en"),
            ("other", "next=http://evil.example&desk=a%0D%0Ab", "/other?desk=a%0D%0Ab"),
            ("", "next=//evil.example", "/"),
        ):
            visitor.open(page, query)
            visitor.press("Sign in")
            went = visitor.http.get(address + visitor.redirected)
            assert str(went.url) == address + landing
            assert visitor.http.get(f"{address}/oauth2callback").url == f"{address}/", "once"
            visitor.http.get(f"{address}/auth/logout")


@pytest.mark.parametrize(
    "person",
    [BOB, {**ANN, "email_verified": False}, {**ANN, "email": "ann@example.org.evil.net"}],
    ids=["of another domain", "with an address that nobody verified", "of a domain that looks alike"],
)
def test_who_may_not_come_in_does_not(address, provider, person):
    said = seen(address, sign_in(address, provider, person))
    assert "who may not use this server" in said and "owner" not in said


def test_a_token_that_somebody_else_signed_signs_nobody_in(address, provider):
    provider.published, provider.key = provider.key, RSAKey.generate_key(2048, {"kid": "one"})
    try:
        assert "Sign in to go on" in seen(address, sign_in(address, provider, ANN))
    finally:
        provider.key, provider.published = provider.published, None


def test_a_forged_cookie_is_nobody(address):
    jar = httpx.Client(cookies={"_streamlit_user": json.dumps({**ANN, "is_logged_in": True, "origin": address})})
    assert "Sign in to go on" in seen(address, jar)


@pytest.mark.parametrize("missing", AUTH)
def test_a_section_that_is_not_whole_is_found_out_at_the_start(missing):
    assert oidc.providers(AUTH) == (None,)
    with pytest.raises(UserError, match=missing):
        oidc.providers({key: value for key, value in AUTH.items() if key != missing})


def test_several_providers_have_names():
    shared = {key: AUTH[key] for key in oidc.SHARED}
    own = {key: AUTH[key] for key in oidc.OWN}
    assert oidc.providers({**shared, "okta": own, "google": own}) == ("okta", "google")
    with pytest.raises(UserError, match=r"client_id is missing from \[auth.okta\]"):
        oidc.providers({**shared, "okta": {**own, "client_id": ""}})
    with pytest.raises(UserError, match="too short"):
        oidc.providers({**AUTH, "cookie_secret": "short"})
    with pytest.raises(UserError, match="must end with /oauth2callback"):
        oidc.providers({**AUTH, "redirect_uri": "https://prune.example.org/"})


def test_a_provider_is_a_sign_in():
    assert refusal("0.0.0.0", Settings()) != ""
    assert refusal("0.0.0.0", Settings(oidc=True)) == ""
    assert Settings(oidc=True).sign_in is SignIn.OIDC


def test_a_person_without_a_subject_is_nobody():
    assert oidc.objection({"is_logged_in": True, "name": "Ann"}, ()) == oidc.NOBODY
    assert oidc.objection({**ANN, "iss": "https://issuer"}, ()) == ""
    assert oidc.name({**ANN, "iss": "https://one"}) != oidc.name({**ANN, "iss": "https://another"})
