"""What papers set where something stands here: beside the knobs that are scaled down to minutes."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "no such setting"
UNREAD = "not read"


@dataclass(frozen=True)
class InPaper:
    """``knob``: a field of the method, or of its training (``FineTune``). ``value``: what its paper sets, in words.

    ``checked``: read in the paper or in its authors' code; else recalled, or read in a secondary source.
    """

    knob: str
    value: str
    checked: bool = True

    @property
    def text(self) -> str:
        return self.value if self.checked or self.value in (OURS, UNREAD) else f"{self.value} (recalled)"


def ours(*knobs: str) -> tuple[InPaper, ...]:
    """Knobs that a paper has nothing for: they come from the way it is done here."""
    return tuple(InPaper(knob, OURS) for knob in knobs)
