"""What a sweep in pieces keeps for its resumption. Without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ranked:
    """The criterion has spoken: ``digest`` names the file of its scores, ``groups`` those that have rows to measure."""

    digest: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class RowsDone:
    """All cells of these groups are measured."""

    groups: tuple[str, ...]
