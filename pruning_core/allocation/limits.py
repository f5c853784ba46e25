"""What no allocation may do, whatever the scores say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pruning_core.allocation.lowest import removed_count
from pruning_core.allocation.shortcuts import Coupled, Shortcuts
from pruning_core.errors import UserError
from pruning_core.knobs import Choice, Range, Toggle, check_knobs


@dataclass(frozen=True)
class Limits:
    """Bounds on every group.

    ``multiple``: kept channels are rounded up to a multiple of it (hardware likes 4, 8 or 16), so that never more is
    removed than asked; a group with no more channels than one multiple keeps them all. ``floor``: the share of its
    channels that every group keeps at least. ``protected``: keys of groups that keep all. ``caps``: the highest ratio
    of single groups, as a mapping or as pairs. ``approximate``: also prune the groups that cannot be cut exactly.
    ``shortcuts``: what becomes of groups that an addition couples.

    Raises UserError for a cap outside [0, 1).
    """

    multiple: Annotated[int, Choice((1, 4, 8, 16, 32), "Keep multiples of", "Kept channels are rounded up")] = 1
    floor: Annotated[float, Range(0.0, 0.9, "Keep at least this share of every layer", 0.05)] = 0.0
    approximate: Annotated[bool, Toggle("Prune approximate groups too")] = False
    protected: tuple[str, ...] = ()
    caps: tuple[tuple[str, float], ...] = ()
    shortcuts: Shortcuts = field(default_factory=Coupled)

    def __post_init__(self) -> None:
        check_knobs(self)
        object.__setattr__(self, "protected", tuple(sorted(self.protected)))
        pairs = self.caps.items() if isinstance(self.caps, Mapping) else self.caps
        object.__setattr__(self, "caps", tuple(sorted((str(key), float(cap)) for key, cap in pairs)))
        for key, cap in self.caps:
            if not 0 <= cap < 1:
                raise UserError(f"The highest ratio of {key} must lie in [0, 1), not {cap:g}: every layer keeps one.")

    def rounded(self, size: int, removed: int) -> int:
        """The count removed once the kept channels are a multiple; never more than ``removed``."""
        kept = -(-(size - removed) // self.multiple) * self.multiple
        return max(0, size - kept)

    def most(self, key: str, size: int) -> int:
        """The largest count that ``key``, a group of ``size`` channels, may lose."""
        if key in self.protected:
            return 0
        cap = dict(self.caps).get(key, 1.0)
        return self.rounded(size, min(removed_count(1 - self.floor, size), removed_count(cap, size)))
