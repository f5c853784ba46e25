"""What is taken of a file, said before anybody sends one: the numbers are those that are enforced."""

from __future__ import annotations

import streamlit as st

from pages.ui.numbers import size_bytes
from pruning_core.datasets.safe_zip import MAX_BYTES, MAX_MEMBERS
from pruning_core.storage.memory import SHARE, free_memory
from pruning_core.zoo.kinds import MAX_FILE_BYTES

MB = 1 << 20  # as the server counts them


def sent() -> int:
    """Bytes that a file may have to be sent at all; the server cuts it off there."""
    return int(st.get_option("server.maxUploadSize")) * MB


def of_networks() -> str:
    return f"At most {size_bytes(min(sent(), MAX_FILE_BYTES))} a file."


def of_images() -> str:
    """With how much may be decoded at this moment: it depends on what else is in memory."""
    said = (
        f"At most {size_bytes(sent())} a file; a zip holds at most {MAX_MEMBERS:,} files, unpacked "
        f"{size_bytes(MAX_BYTES)}."
    )
    room = SHARE * free_memory()
    if room == float("inf"):
        return said
    return f"{said} Decoded, they may take half of what is free of the memory: {size_bytes(int(room))} at this moment."
