"""The registry of allocations: a new one is its class and its line here."""

from __future__ import annotations

from pruning_core.allocation.base import Allocation
from pruning_core.allocation.by_hand import ByHand
from pruning_core.allocation.by_sensitivity import BySensitivity
from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.allocation.uniform import Uniform

ALLOCATIONS: tuple[type[Allocation], ...] = (Uniform, ByHand, GlobalThreshold, BySensitivity)
