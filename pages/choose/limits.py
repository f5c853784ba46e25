"""What is taken of a file, said before anybody sends one: the numbers are those that are enforced."""

from __future__ import annotations

import streamlit as st

from pages.ui.language import _
from pages.ui.numbers import size_bytes
from pruning_core.datasets.safe_zip import MAX_BYTES, MAX_MEMBERS
from pruning_core.storage.memory import SHARE, free_memory
from pruning_core.zoo.kinds import MAX_FILE_BYTES

MB = 1 << 20  # as the server counts them


def sent() -> int:
    """Bytes that a file may have to be sent at all; the server cuts it off there."""
    return int(st.get_option("server.maxUploadSize")) * MB


def of_networks() -> str:
    return _of_a_file(min(sent(), MAX_FILE_BYTES))


def _of_a_file(most: int) -> str:
    """In the server's megabytes, because the field beside it speaks of those, and rounds 600 of them to a gigabyte."""
    return _("At most {most:,.0f} MB a file; the field itself rounds that number.").format(most=most / MB)


def of_images() -> str:
    """With how much may be decoded at this moment: it depends on what else is in memory."""
    said = _("{of_a_file} A zip holds at most {max_members:,} files, unpacked {max_bytes}.").format(
        of_a_file=_of_a_file(sent()), max_members=MAX_MEMBERS, max_bytes=size_bytes(MAX_BYTES)
    )
    room = SHARE * free_memory()
    if room == float("inf"):
        return said
    return _("{said} Decoded, they may take half of what is free of the memory: {size_bytes} at this moment.").format(
        said=said, size_bytes=size_bytes(int(room))
    )
