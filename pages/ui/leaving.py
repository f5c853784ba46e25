"""What a visitor leaves when the tab is closed: given back once nobody can come back for it.

Streamlit keeps a session for a while, so that a visitor whose net failed for a moment finds everything again. What has
waited for longer it lets go of when the next tab is closed, so on a server where nobody follows it would stay for ever:
uploads, the folder of the inbox, figures.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
from contextlib import suppress

import streamlit as st
from streamlit.runtime import get_instance

LOG = logging.getLogger("prunescope")
MOST_S = 30.0  # between two looks


async def let_go() -> None:
    """For as long as the server runs. On the event loop, where sessions begin and end."""
    waits = float(st.get_option("server.disconnectedSessionTTL"))
    while True:
        await asyncio.sleep(min(max(waits, 1.0), MOST_S))
        if count := end_sessions():
            LOG.info("sessions that ended: %d", count)
            await asyncio.to_thread(give_back)


def end_sessions() -> int:
    """How many sessions there were to which nobody can come back any more."""
    storage = get_instance()._session_mgr._session_storage  # type: ignore[attr-defined]  # nothing public says it
    ended = [info.session for _, info in storage._cache.expire()]
    for each in ended:
        each.shutdown()
        each.session_state.clear()  # the runtime's loop holds the last session that it served until it serves another
    return len(ended)


def give_back() -> None:
    """What is free inside this process, to the system: sessions are tied in circles, and glibc keeps what was freed."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
