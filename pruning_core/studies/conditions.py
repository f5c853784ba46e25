"""The time of a network under many conditions as a run: batch, threads, as it is and compiled."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.measuring.beside import latency_of, timing_in_turns
from pruning_core.measuring.compiling import compiled
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import outputs_for, precision, ready
from pruning_core.measuring.measures import Latency
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.memory import out_of_memory
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import the_model
from pruning_core.studies.widths import timing
from pruning_core.zoo import ModelRef
from pruning_core.zoo.titles import called

BATCHES = (1, 4, 16, 64)
PASSES = 30


@dataclass(frozen=True)
class Condition:
    """``batch_size`` images on ``threads`` threads, ``compile``d or not: the time of a pass, and of the ``other`` one.

    Where it cannot be timed so, ``refused`` says why and both are None.
    """

    batch_size: int
    threads: int
    compile: bool
    latency: Latency | None
    other: Latency | None
    refused: str = ""


@dataclass(frozen=True)
class ConditionsRun(RunSpec):
    """Times ``model``, and in turns with it ``other`` where there is one, for every batch, number of threads, and way.

    Threads are of the CPU: on a GPU ``threads`` has one entry. One ``Condition`` for each.
    """

    kind: ClassVar[str] = "conditions"
    model: ModelRef
    other: ModelRef | None
    batches: tuple[int, ...] = BATCHES
    threads: tuple[int, ...] = (1,)
    compiles: tuple[bool, ...] = (False,)
    passes: int = PASSES
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"Latency of {called(self.model)} under {self.count} conditions"

    @property
    def count(self) -> int:
        return len(self.batches) * len(self.threads) * len(self.compiles)

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        where = choose_device(self.device)
        networks, shape = {}, tuple[int, ...]()
        for name, ref in (("model", self.model), ("other", self.other)):
            if ref is not None:
                loaded = yield from the_model(ref, workspace)
                networks[name], shape = ready(loaded.model, where), loaded.input_size
        known = {(e.batch_size, e.threads, e.compile) for e in past if isinstance(e, Condition)}
        for done, condition in enumerate(product(self.batches, self.threads, self.compiles)):
            yield Progress(done, self.count, "conditions")
            if condition in known:
                continue
            batch, threads, compiles = condition
            yield Stage(f"{batch} image{'' if batch == 1 else 's'}, {threads} thread{'' if threads == 1 else 's'}")
            with _threads(threads):
                x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
                x = x.to(where, precision(networks["model"]))
                try:
                    found = yield from self._timed(networks, x, compiles, done)
                except UserError as error:
                    yield Condition(batch, threads, compiles, None, None, str(error))
                    continue
            yield Condition(batch, threads, compiles, found["model"], found.get("other"))
        yield Progress(self.count, self.count, "conditions")

    def _timed(
        self, networks: dict[str, nn.Module], x: Tensor, compiles: bool, done: int
    ) -> Generator[Event, None, dict[str, Latency]]:
        modules = dict(networks)
        try:
            for at, (name, network) in enumerate(networks.items()):
                outputs_for(network, x)
                if compiles:
                    yield Stage("compiling")
                    modules[name] = compiled(network, x, beside=at > 0)
            turns = timing_in_turns(modules, x, self.passes)
            times = yield from timing(turns, done + 1, "conditions", done, self.count - done - 1)
        except (RuntimeError, MemoryError) as error:
            if out_of_memory(error):
                raise UserError(f"The memory is not enough for a batch of {len(x)}.") from None
            raise
        return {name: latency_of(seen, x, compiled=compiles) for name, seen in times.items()}


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """So many threads compute, of this thread's work alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
