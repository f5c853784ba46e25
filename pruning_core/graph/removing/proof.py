"""What a removed network is believed, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

NOT_PROVEN = "Not proven: what the network gives back does not show a mistake in "


@dataclass(frozen=True)
class Proof:
    """Removed against silenced on the same inputs: largest absolute and relative difference of any output.

    Relative is to the largest value of the same output. ``dtype`` is the precision of the comparison: float64 wherever
    the network computes in it, whatever its own is. ``images`` is how many inputs the numbers are of. ``exact`` says
    whether every touched group is an exact one and the proof is complete. Where mistakes could not have been seen,
    ``unproven`` says so in a sentence, and there are no differences (they are not a number).
    """

    max_abs: float
    max_rel: float
    dtype: str
    images: int
    exact: bool
    unproven: str = ""

    @staticmethod
    def blind(groups: tuple[str, ...], dtype: str, images: int) -> Proof:
        """Equal outputs that prove nothing of these groups."""
        names = ", ".join(groups[:3]) + (f" and {len(groups) - 3} more groups" if len(groups) > 3 else "")
        reason = f"{NOT_PROVEN}{names}. Have it return the values that it decides by, and remove again."
        return Proof(math.nan, math.nan, dtype, images, False, reason)
