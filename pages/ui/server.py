"""What happens around the pages: warming up at the start, and the last word on an error."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.pages_manager import PagesManager

from pages.ui import first_paint, leaving, logs, oidc
from pages.ui.cookie import UserCookie
from pages.ui.errors import LOG, report
from pages.ui.guard import Guard, refusal
from pages.ui.language import _, said
from pages.ui.literal import literal
from pages.ui.outbox import Outbox
from pages.ui.returning import Returning
from pages.ui.settings import Settings
from pruning_core.errors import UserError

# Read once, when torch loads its thread pool: threads that wait by spinning take the core that the page answers on.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

CLOSE_S = 8.0  # to end in: a container is killed after ten seconds
CALM_S = 5.0  # after the first page: what a sweep needs can wait until that is drawn


def middleware() -> list[Middleware]:
    """What stands before every request. Ends the process with a sentence where the settings would be unsafe."""
    try:
        settings = Settings.read()
        if auth := oidc.section():
            oidc.providers(auth)  # all of them complete
            settings = replace(settings, oidc=True)
    except UserError as error:
        raise SystemExit(str(error)) from error
    address = str(st.get_option("server.address") or "")
    if why := refusal(address, settings):
        raise SystemExit(why)
    logs.speak(settings.log)
    name = str(st.get_option("browser.serverAddress") or "")
    guard = Middleware(Guard, settings=settings, address=address, public_name=name)
    return [guard, Middleware(UserCookie), Middleware(Outbox), Middleware(Returning)]


class WarmUp:
    """Imports what is slow and loads the demo in a thread, so that the first visitor waits as little as possible.

    When that is done it compiles what the first sweep would wait for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._done = threading.Event()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="warm-up", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        self.start()
        self._done.wait()

    def _work(self) -> None:
        try:
            from pages.ui import state

            state.warm_up()
        except Exception:  # the first page meets the same error and says it to somebody who can read it
            LOG.exception("warming up failed")
        finally:
            self._done.set()
        time.sleep(CALM_S)
        _start_children()
        from pruning_core.replay.winograd import compile_loops

        compile_loops()


def _start_children() -> None:
    """After the first page and its figures: both import torch."""
    from pruning_core.apart import household

    house = household.children()
    if house is not None:
        house.start()


WARM_UP = WarmUp()


@contextmanager
def first_paint_until_warm(page: st.Page) -> Iterator[None]:
    """Around what needs the core but draws elsewhere; only the first seconds of a server have anything to wait for.

    They are not empty either: Home's first figures stay until the block is left and the page draws its own. Whoever
    opened a link to another page sees that page's name, lest it look as if the link had led to Home.
    """
    place = st.empty()  # also when nothing is waited for: else all below it moves up, and a slider loses the keyboard
    if WARM_UP.done:
        yield
        return
    WARM_UP.start()
    with place.container():
        if page.url_path:
            st.title(page.title)
        else:
            first_paint.draw()
        with st.spinner(_("Starting up: loading PyTorch. This happens once."), show_time=True):
            WARM_UP.wait()
    yield
    place.empty()


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    # A folder named `pages` makes Streamlit assume its old style of pages until st.navigation has run once; a deep
    # link that arrives before would get a "Page not found" dialog.
    PagesManager.uses_pages_directory = False
    WARM_UP.start()
    LOG.info("started")
    ending = asyncio.create_task(leaving.let_go())
    try:
        yield
    finally:
        ending.cancel()
        LOG.info("ending: running work writes down where it stands")
        # Here and not at the interpreter's exit, to which a process that ends by SIGTERM (a container, a service
        # manager) never comes.
        closing = threading.Thread(target=_close, name="closing", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_S)


def _close() -> None:
    """Running work writes down where it stands, then its processes end."""
    from pages.ui import state
    from pruning_core.apart import household

    state.close()
    house = household.children()
    if house is not None:
        house.close()


def on_script_error(error: Exception) -> bool:
    """Called for what a page or callback did not handle; True: we have shown it ourselves."""
    st.error(literal(said(str(error))) if isinstance(error, UserError) else report(error), icon=":material/error:")
    return True
