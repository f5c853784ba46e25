"""Where the data directory is."""

from __future__ import annotations

import os
from pathlib import Path


def default_root() -> Path:
    """``$PRUNESCOPE_DATA``, else ``$XDG_DATA_HOME/prunescope``, else ``~/.local/share/prunescope``."""
    if chosen := os.environ.get("PRUNESCOPE_DATA"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "prunescope"
