"""What stands before every request: names, sign-in, headers, metrics; and when a server refuses to start."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from pages.ui import guard, signin
from pages.ui.guard import HEADERS, METRICS, Guard, is_loopback, refusal
from pages.ui.logs import AsJson
from pages.ui.settings import Settings
from pruning_core.errors import UserError

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


async def behind(scope, receive, send):
    """The application that is guarded."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        return
    headers = [(b"content-type", b"text/plain"), (b"x-frame-options", b"ALLOWALL")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(
    asked, path="/", host="localhost:8501", client="127.0.0.1", kind="http", method="GET", body=b"", query="", **headers
):  # fmt: skip
    """One request, as the server hands it on."""
    sent = []
    told = iter([{"type": "websocket.connect"}] if kind == "websocket" else [{"type": "http.request", "body": body}])

    async def receive():
        return next(told)

    async def send(message):
        sent.append(message)

    given = {"host": host, "accept": "text/html", **headers}
    scope = {
        "type": kind, "path": path, "raw_path": path.encode(), "query_string": query.encode(), "method": method,
        "scheme": "http", "client": (client, 5000), "server": ("127.0.0.1", 8501), "root_path": "",
        "headers": [(key.encode(), value.encode()) for key, value in given.items()],
    }  # fmt: skip
    asyncio.run(asked(scope, receive, send))
    if kind == "websocket":
        return Answer(101 if sent[0]["type"] == "websocket.accept" else 403, {}, "")
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:]).decode())


def guarded(address="localhost", **settings):
    return Guard(behind, Settings(**settings), address)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("host", "open_there", "open_here"),
    [
        ("localhost:8501", True, True),
        ("127.0.0.1:8501", True, True),
        ("[::1]:8501", True, True),
        ("LOCALHOST.", True, True),
        ("prune.example.org", True, False),
        ("a.lab.example.org:80", True, False),
        ("192.168.1.5:8501", True, False),
        ("evil.example:8501", False, False),
        ("localhost.evil.example", False, False),
        ("prune.example.org.evil.example", False, False),
        ("lab.example.org.", False, False),
        ("evil.example#localhost", False, False),
        ("evil@localhost", False, False),
        ("", False, False),
    ],
)
def test_only_known_names_are_answered(kind, host, open_there, open_here):
    """A stranger's page whose name was bent to this address (DNS rebinding) comes with the stranger's name."""
    there = guarded("0.0.0.0", hosts=("prune.example.org", "*.lab.example.org"), proxy=True)
    for asked, is_open in ((there, open_there), (guarded(), open_here)):
        assert (ask(asked, host=host, kind=kind).status in (200, 101)) == is_open, host


def test_every_answer_carries_the_headers_and_one_of_each():
    for asked, path in ((guarded(), "/"), (guarded(password=PASSWORD), "/"), (guarded(), METRICS)):
        answer = ask(asked, path)
        for name, value in HEADERS.items():
            assert answer.headers[name.decode()] == value.decode()
    assert ask(guarded(), host="evil.example").headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in HEADERS[b"content-security-policy"].decode()


def test_the_policy_admits_the_scripts_of_streamlits_document_and_no_other(tmp_path):
    assert guard.DOCUMENT.is_file()
    policy = HEADERS[b"content-security-policy"].decode()
    inside = guard.inline_scripts(guard.DOCUMENT)
    assert inside and all(each in policy for each in inside)
    script_part = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "'unsafe-inline'" not in script_part and "https:" not in policy
    page = tmp_path / "page.html"
    page.write_text('<script src="a.js"></script><script type="module">alert(1)</script>')
    assert guard.inline_scripts(page) == ("'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='",)


def test_metrics_are_read_with_the_token_alone():
    for path in (METRICS, METRICS + "/"):
        assert ask(guarded(), path).status == 404
        assert ask(guarded(metrics_token="t" * 20), path, authorization="Bearer wr\xf6ng").status == 404
        assert ask(guarded(metrics_token="t" * 20), path, authorization=f"Bearer {'t' * 20}").status == 200


def test_without_a_sign_in_only_this_machine_is_answered():
    for kind in ("http", "websocket"):
        assert ask(guarded(), client="127.0.0.1", kind=kind).status in (200, 101)
        assert ask(guarded(), client="192.168.1.7", kind=kind).status == 403
        assert ask(guarded(proxy=True), client="192.168.1.7", kind=kind).status in (200, 101)


def test_with_a_password_nothing_is_answered_before_the_sign_in(monkeypatch):
    monkeypatch.setattr(signin, "PAUSE_S", 0.0)
    door = guarded("0.0.0.0", password=PASSWORD)
    for path in ("/", "/_stcore/host-config", "/_stcore/upload_file/a/b", "/media/x", "/static/js/a.js"):
        assert ask(door, path, client="10.0.0.9").status == 401
        assert "inside" not in ask(door, path, client="10.0.0.9").body
    assert ask(door, "/_stcore/stream", kind="websocket", client="10.0.0.9").status == 403
    assert ask(door, "/_stcore/health", client="10.0.0.9").body == "inside", "a container asks whether it is well"

    form = ask(door, "/whatif")
    assert form.status == 401 and 'type="password"' in form.body
    wrong = ask(door, "/whatif", method="POST", body=urlencode({"password": "guess"}).encode())
    assert wrong.status == 401 and "not the password" in wrong.body and "set-cookie" not in wrong.headers
    right = ask(door, "/whatif", method="POST", body=urlencode({"password": PASSWORD}).encode())
    assert right.status == 303 and right.headers["location"] == "/whatif"
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    pair = cookie.partition(";")[0]
    assert ask(door, cookie=pair).body == "inside"
    assert ask(door, kind="websocket", cookie=f"other=1; {pair}").status == 101
    later = pair.replace(pair.split("=")[1].split(".")[0], "99999999999")
    for forged in (
        later,
        pair[:-1] + ("0" if pair[-1] != "0" else "1"),
        "prunescope_signed_in=",
        "prunescope_signed_in=a.b",
    ):
        assert ask(door, cookie=forged).status == 401
    assert ask(guarded(password="another password"), cookie=pair).status == 401, "a changed password"


def test_a_sign_in_ends_and_leads_to_no_other_server(monkeypatch):
    door = guarded(password=PASSWORD)
    body = urlencode({"password": PASSWORD}).encode()
    assert ask(door, "//evil.example/x", method="POST", body=body).headers["location"] == "/evil.example/x"
    link = ask(door, "/whatif", query="desk=eJw-_1&next=//evil.example&lang=zh", method="POST", body=body)
    assert link.headers["location"] == "/whatif?desk=eJw-_1&lang=zh", "where the link pointed, with what is ours"
    for path, location in (("/\\evil.example", "/evil.example"), ("/\t/evil.example", "/%09/evil.example")):
        assert ask(door, path, query="next=1", method="POST", body=body).headers["location"] == location
    assert ask(door, method="POST", body=body, origin="http://evil.example").status == 401
    assert ask(door, method="POST", body=body, origin="http://localhost:8501").status == 303
    pair = ask(door, method="POST", body=body).headers["set-cookie"].partition(";")[0]
    now = signin.time.time()
    monkeypatch.setattr(signin.time, "time", lambda: now + signin.LASTS_S + 5)
    assert ask(door, cookie=pair).status == 401


def test_where_a_server_may_start():
    for address in ("localhost", "127.0.0.1", "::1", "127.1.2.3"):
        assert is_loopback(address) and not refusal(address, Settings())
    for address in ("", "0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.evil.example"):
        assert not is_loopback(address) and "does not start" in refusal(address, Settings())
        assert not refusal(address, Settings(password=PASSWORD)) and not refusal(address, Settings(proxy=True))


def test_settings_are_read_and_wrong_ones_said(tmp_path):
    kept = tmp_path / "password"
    kept.write_text(PASSWORD + "\n")
    read = Settings.read({"PRUNESCOPE_HOSTS": "A.example, b.example", "PRUNESCOPE_PASSWORD_FILE": str(kept)})
    assert read.hosts == ("a.example", "b.example") and read.password == PASSWORD
    assert Settings.read({"PRUNESCOPE_LONGEST_HOURS": "0.5", "PRUNESCOPE_QUEUED_EACH": "3"}).longest_hours == 0.5
    for variable, value, why in (
        ("PRUNESCOPE_PASSWORD", "short", "too short"),
        ("PRUNESCOPE_PASSWORD_FILE", str(tmp_path / "none"), "cannot be read"),
        ("PRUNESCOPE_QUEUED_EACH", "many", "a number above zero"),
        ("PRUNESCOPE_LONGEST_HOURS", "nan", "a number above zero"),
        ("PRUNESCOPE_PROXY_SIGNS_IN", "perhaps", "yes or no"),
    ):
        with pytest.raises(UserError, match=why):
            Settings.read({variable: value})


def test_the_real_server_refuses_to_start_open_to_all():
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.port=0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PRUNESCOPE_PASS")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)
    assert done.returncode != 0
    assert "does not start on 0.0.0.0 without a sign-in" in done.stdout + done.stderr


def test_a_log_for_programs_is_one_object_a_line():
    formed = AsJson()
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "incident %s", ("a",), sys.exc_info())
    line = formed.format(record)
    told = json.loads(line)
    assert "\n" not in line and told["level"] == "error" and told["message"] == "incident a"
    assert told["time"].endswith("Z") and "ValueError: two\nlines" in told["traceback"]
