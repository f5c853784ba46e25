"""How much one visitor, and all together, may ask of a server."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pruning_core.errors import UserError
from pruning_core.runs.line import Line
from pruning_core.storage.garbage import UNUSED_S


@dataclass(frozen=True)
class Rules:
    """``queued_each``, ``queued_all``: runs that may wait, of one visitor and in all.

    ``longest_s``: how long one attempt at a run may take; it can be resumed. ``stored_each``: bytes that the files of
    one visitor may take before another run or upload. ``memory``: bytes of one run in a process of its own.
    ``unused_s``: how long a file is kept that nothing refers to.
    """

    queued_each: int = 100
    queued_all: int = 400
    longest_s: float = 24 * 3600.0
    stored_each: float = float("inf")
    memory: float = float("inf")
    unused_s: float = UNUSED_S

    def admit(self, owner: str, lines: Collection[Line], used: Callable[[], int]) -> None:
        """Raises UserError where another run of ``owner`` would be too many. ``used``: the bytes of their files."""
        if sum(line.of(owner) for line in lines) >= self.queued_each:
            raise UserError(
                f"{self.queued_each} of your runs are waiting already, as many as one visitor may have here. Start "
                "this one when some have ended, or cancel some."
            )
        if sum(map(len, lines)) >= self.queued_all:
            raise UserError(
                f"{self.queued_all} runs are waiting already, as many as this server takes. Start this one later."
            )
        if self.stored_each < float("inf"):
            self.admit_file(0, used())

    def admit_file(self, size_bytes: int, used: int) -> None:
        """Raises UserError where a file of so many bytes is more than a visitor may store, who has ``used`` some."""
        if used + size_bytes <= self.stored_each - (size_bytes == 0):  # a run needs some room for its result
            return
        asked = f", and this file has {_size(size_bytes)}" if size_bytes else ""
        raise UserError(
            f"Your uploads and results take {_size(used)} of the {_size(self.stored_each)} that one visitor "
            f"may store on this server{asked}. Delete some on the page Your files, or ask whoever runs the server for "
            "more."
        )

    def memory_of(self, free: int | None) -> int | None:
        """Bytes for a run that may have ``free`` of them; None is as much as there is."""
        found = min(self.memory, float("inf") if free is None else free)
        return None if math.isinf(found) else int(found)

    @property
    def too_long(self) -> str:
        """What is said of a run that was ended for its time."""
        hours = self.longest_s / 3600
        long = f"{hours:g} hours" if hours >= 1 else f"{self.longest_s:g} seconds"
        return (
            f"This run was stopped after {long}, the longest that one may take on this server. What was done is kept: "
            "resume it, or choose less work."
        )


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.2f} MB"
