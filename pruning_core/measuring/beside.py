"""Several modules timed on one input, in turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.measuring.device import device_title
from pruning_core.measuring.measures import Latency

ROUNDS, WARM_UP = 30, 3


@torch.no_grad()
def timed_in_turns(modules: Mapping[str, nn.Module], x: Tensor, rounds: int = ROUNDS) -> dict[str, Latency]:
    """The time of one pass of each module on ``x`` (N, ...), by its name. For the processor; modules are not changed.

    Each turn has a pass that is not counted: it pays for the caches and threads of the module before.
    """
    times: dict[str, list[float]] = {name: [] for name in modules}
    for number in range(WARM_UP + rounds):
        for name, module in modules.items():
            module(x)
            start = time.perf_counter()
            module(x)
            if number >= WARM_UP:
                times[name].append(1e3 * (time.perf_counter() - start))
    found = {}
    for name, seen in times.items():
        p10, median, p90 = (float(value) for value in np.percentile(seen, (10, 50, 90)))
        found[name] = Latency(median, p10, p90, rounds, len(x), device_title("cpu"), torch.get_num_threads())
    return found
