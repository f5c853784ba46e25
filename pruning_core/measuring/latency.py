"""Latency: how long one forward pass really takes, here."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from pruning_core.errors import UserError
from pruning_core.measuring.compiling import compiled
from pruning_core.measuring.device import choose_device, device_title
from pruning_core.measuring.forward import outputs_for, precision, ready
from pruning_core.measuring.measures import Latency
from pruning_core.storage.memory import out_of_memory

WARM_UP = 5  # passes that are not counted: memory is allocated and kernels are chosen in the first ones
LEAST = 30  # timed passes behind a median that is shown


def measuring_latency(
    model: nn.Module,
    input_size: tuple[int, ...],
    *,
    batch_size: int = 1,
    runs: int = LEAST,
    device: str = "auto",
    compile: bool = False,
) -> Iterator[Latency]:
    """Yield the latency of a batch of random images (C, H, W) after every timed pass; at least 30 are made.

    The device is synchronised around each pass; percentiles are over the passes so far. With ``compile`` it is what
    torch.compile made of the network, which takes seconds to minutes before the first pass. Raises UserError when the
    network cannot read such images, the memory is not enough, or it cannot be compiled here.
    """
    where = choose_device(device)
    network = ready(model, where)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch_size, *input_size, generator=generator).to(where, precision(network))
    times: list[float] = []
    _warm_up(network, x)
    if compile:
        network = compiled(network, x)
        _warm(network, x)
    for _ in range(max(LEAST, runs)):
        times.append(pass_ms(network, x))
        p10, median, p90 = (float(value) for value in np.percentile(times, (10, 50, 90)))
        yield Latency(median, p10, p90, len(times), batch_size, device_title(where), torch.get_num_threads(), compile)


def measure_latency(
    model: nn.Module,
    input_size: tuple[int, ...],
    *,
    batch_size: int = 1,
    runs: int = LEAST,
    device: str = "auto",
    compile: bool = False,
) -> Latency:
    """The latency over all passes. Arguments and errors as for ``measuring_latency``."""
    *_, last = measuring_latency(model, input_size, batch_size=batch_size, runs=runs, device=device, compile=compile)
    return last


def _warm_up(network: nn.Module, x: torch.Tensor) -> None:
    """Passes that are not counted (fewer of a slow network); the first one also checks what the network returns."""
    try:
        outputs_for(network, x)
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            raise UserError(f"The memory is not enough for a batch of {len(x)}. Choose a smaller batch.") from None
        raise
    _warm(network, x)


def _warm(network: nn.Module, x: torch.Tensor) -> None:
    end = time.perf_counter() + 1.0
    for _ in range(WARM_UP):
        pass_ms(network, x)
        if time.perf_counter() > end:
            break


@torch.no_grad()
def pass_ms(network: nn.Module, x: torch.Tensor) -> float:
    """Milliseconds of one pass; a GPU is waited for before and after."""
    _synchronise(x.device)
    start = time.perf_counter()
    network(x)
    _synchronise(x.device)
    return 1e3 * (time.perf_counter() - start)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
