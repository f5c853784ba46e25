"""Several modules timed on one input, in turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pruning_core.measuring.device import device_title
from pruning_core.measuring.latency import pass_ms
from pruning_core.measuring.measures import Latency
from pruning_core.measuring.medians import median_interval
from pruning_core.work import finished

ROUNDS, WARM_UP, GOES = 50, 3, 3
NOISY = 1.5  # times the lower end of an interval, its upper end: more tells nothing
K = TypeVar("K", bound=Hashable)
Times = NDArray[np.float64]


def timing_in_turns(
    modules: Mapping[K, nn.Module], x: Tensor, rounds: int = ROUNDS, seed: int | None = None
) -> Generator[float, None, dict[K, Times]]:
    """Yields the share that is done, in [0, 1], after every pass; returns the ms of every round (rounds,) by module.

    Each turn has a pass that is not counted: it pays for the caches and threads of the module before. With a ``seed``
    every round has an order of its own, so that no module always follows the same one. Modules are not changed.
    """
    names = list(modules)
    order = np.random.default_rng(seed)
    times: dict[K, list[float]] = {name: [] for name in names}
    for number in range(WARM_UP + rounds):
        turns = range(len(names)) if seed is None else order.permutation(len(names))
        for turn, at in enumerate(turns, 1):
            module = modules[names[at]]
            pass_ms(module, x)
            ms = pass_ms(module, x)
            if number >= WARM_UP:
                times[names[at]].append(ms)
            yield (number + turn / len(names)) / (WARM_UP + rounds)
    return {name: np.array(seen) for name, seen in times.items()}


@dataclass(frozen=True, kw_only=True)
class InTurns(Latency):
    """The latency of one of several modules that were timed in turns.

    ``low_ms`` and ``high_ms`` bound its median. ``share``: its time as a part of the first module's, the median over
    rounds, bounded by ``low`` and ``high`` (all 95 %).
    """

    low_ms: float
    high_ms: float
    share: float
    low: float
    high: float

    @property
    def noisy(self) -> bool:
        """Whether its median is known so loosely that it tells nothing."""
        return self.high_ms > NOISY * self.low_ms

    @property
    def unsure(self) -> bool:
        """Whether its share of the first one's time is."""
        return self.high > NOISY * self.low


def timed_in_turns(modules: Mapping[str, nn.Module], x: Tensor, rounds: int = ROUNDS) -> dict[str, InTurns]:
    """The time of one pass of each module on ``x`` (N, ...), by its name; see ``timing_in_turns``.

    What came out ``noisy`` or ``unsure`` is timed again, ``GOES`` times at most, and the calmest go counts; that may
    be so still.
    """
    goes = []
    for _ in range(GOES):
        goes.append(_against_first(finished(timing_in_turns(modules, x, rounds)), x))
        if not any(each.noisy or each.unsure for each in goes[-1].values()):
            break
    return min(goes, key=lambda found: max(each.high_ms / each.low_ms for each in found.values()))


def _against_first(times: Mapping[str, Times], x: Tensor) -> dict[str, InTurns]:
    first = next(iter(times.values()))
    found = {}
    for name, own in times.items():
        (low_ms, high_ms), (low, high) = median_interval(own), median_interval(own / first)
        share = float(np.median(own / first))
        found[name] = InTurns(
            **vars(latency_of(own, x)), low_ms=low_ms, high_ms=high_ms, share=share, low=low, high=high
        )
    return found


def latency_of(times: Times, x: Tensor, *, compiled: bool = False) -> Latency:
    """The record of passes over ``x`` (N, ...) that took so many milliseconds (passes,)."""
    p10, median, p90 = (float(value) for value in np.percentile(times, (10, 50, 90)))
    device = device_title(str(x.device))
    return Latency(median, p10, p90, len(times), len(x), device, torch.get_num_threads(), compiled)
