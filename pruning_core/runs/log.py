"""The log file: where tracebacks go, so that no page shows them."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path


def open_log(path: Path) -> logging.Logger:
    """A logger that writes to ``path`` alone; it is not registered, so nothing travels on to the console."""
    log = logging.Logger("pruning_core.runs")
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=5_000_000, backupCount=2, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    return log
