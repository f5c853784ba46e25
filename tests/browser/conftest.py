"""A real server and a real browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.browser import chromium

ROOT = Path(__file__).resolve().parents[2]
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'
SLOW_MS = 60_000
expect.set_options(timeout=SLOW_MS)


@dataclass
class Server:
    """A dashboard of its own: port, data directory, log."""

    data: Path
    log: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def start(self) -> Server:
        """Start (again, on the same port) and wait until it answers."""
        self.port = self.port or _free_port()
        command = [sys.executable, "-m", "streamlit", "run", "app.py"]
        environment = {**os.environ, "PRUNESCOPE_DATA": str(self.data)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"--server.port={self.port}"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        for _ in range(600):
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()}")
            try:
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1)
                return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the server does not answer: {self.log.read_text()}")

    def stop(self) -> float:
        """Ask it to end as Ctrl-C or a container would; returns how long that took, in seconds."""
        started = time.monotonic()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return time.monotonic() - started

    def kill(self) -> None:
        """End it without a word, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server most tests share."""
    folder = tmp_path_factory.mktemp("server")
    shared = Server(folder / "data", folder / "server.log").start()
    yield shared
    shared.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for one test, not started yet: for cold starts, restarts and crashes."""
    server = Server(tmp_path / "data", tmp_path / "server.log")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    assert path, "no Chromium: `make test` installs one"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        yield running
        running.close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes visitors: each has cookies of its own. A visitor whose browser asks the internet for anything fails."""
    contexts: list[BrowserContext] = []
    strangers: list[str] = []

    def arrive(color_scheme: str = "light", width: int = 1440, height: int = 900) -> BrowserContext:
        context = browser.new_context(
            color_scheme=color_scheme, viewport={"width": width, "height": height}, accept_downloads=True
        )
        context.set_default_timeout(SLOW_MS)
        context.on("request", lambda request: _is_local(request.url) or strangers.append(request.url))
        contexts.append(context)
        return context

    yield arrive
    for context in contexts:
        context.close()
    assert not strangers, "the page must work without the internet"


def _is_local(url: str) -> bool:
    return url.startswith(("http://localhost:", "ws://localhost:", "data:", "blob:"))


@pytest.fixture
def page(visitor: Callable[..., BrowserContext]) -> Page:
    return visitor().new_page()


def crowd() -> float:
    """Runnable threads per core, at least 1: by this much a promise of seconds stretches where others compute too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def settle(page: Page) -> None:
    """Wait until the script has run to its end. Wait for the text that is expected as well: it may start again."""
    page.wait_for_selector(IDLE, timeout=SLOW_MS)


def figure(page: Page, label: str) -> Locator:
    """The number card with this label."""
    return page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True)).first


@pytest.fixture
def shoot(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Page, str], Path]:
    """Saves a screenshot in a temporary directory ($PRUNESCOPE_SHOTS names another) and returns its path."""
    chosen = os.environ.get("PRUNESCOPE_SHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)

    def save(page: Page, name: str) -> Path:
        path = folder / f"{name}.png"
        page.screenshot(path=path)
        return path

    return save
