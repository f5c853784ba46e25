"""How much one visitor, and all together, may ask of a server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pruning_core.errors import UserError
from pruning_core.runs.line import Line


@dataclass(frozen=True)
class Rules:
    """``queued_each``, ``queued_all``: runs that may wait, of one visitor and in all.

    ``longest_s``: how long one attempt at a run may take; it can be resumed.
    """

    queued_each: int = 100
    queued_all: int = 400
    longest_s: float = 24 * 3600.0

    def admit(self, owner: str, lines: Collection[Line]) -> None:
        """Raises UserError where another run of ``owner`` would be too many."""
        if sum(line.of(owner) for line in lines) >= self.queued_each:
            raise UserError(
                f"{self.queued_each} of your runs are waiting already, as many as one visitor may have here. Start "
                "this one when some have ended, or cancel some."
            )
        if sum(map(len, lines)) >= self.queued_all:
            raise UserError(
                f"{self.queued_all} runs are waiting already, as many as this server takes. Start this one later."
            )

    @property
    def too_long(self) -> str:
        """What is said of a run that was ended for its time."""
        hours = self.longest_s / 3600
        long = f"{hours:g} hours" if hours >= 1 else f"{self.longest_s:g} seconds"
        return (
            f"This run was stopped after {long}, the longest that one may take on this server. What was done is kept: "
            "resume it, or choose less work."
        )
