"""What a server does by itself now and then: it takes over what dead ones left, and cleans up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

LOOK_S = 15.0  # between looks for dead servers: so long may a run be called running whose process is gone
CLEAN_S = 600.0


class Upkeep(threading.Thread):
    """Calls ``look`` often and ``clean`` seldom, first at once, until ``stop``; errors go to ``log``."""

    def __init__(self, look: Callable[[], None], clean: Callable[[], object], log: logging.Logger) -> None:
        super().__init__(name="upkeep", daemon=True)
        self._look, self._clean, self._log = look, clean, log
        self._over = threading.Event()

    def run(self) -> None:
        cleaned = float("-inf")
        while True:
            if time.monotonic() - cleaned > CLEAN_S:
                cleaned = time.monotonic()
                self._quietly(self._clean)
            self._quietly(self._look)
            if self._over.wait(LOOK_S):
                return

    def stop(self) -> None:
        self._over.set()

    def _quietly(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # a full disk, a database that is held: next time
            self._log.error("upkeep", exc_info=error)
