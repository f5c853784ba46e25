"""A call in a process of its own, with its memory and time counted: what a hostile file must be tried in."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from pruning_core.errors import UserError

NET = 3 << 30  # bytes that the process gets at most, so that a test that fails does not take the machine along
PATIENCE = 60.0
PRELOADED = ["tests.core.bounded", "pruning_core.datasets", "pruning_core.zoo", "torchvision.io"]


@dataclass(frozen=True)
class Came:
    """What came of it.

    ``sentence`` of the UserError, "" without one; ``bytes``, and ``seconds`` of the processor, that it took: a test
    beside others waits for it, and that is nobody's fault.
    """

    sentence: str
    bytes: int
    seconds: float


def bounded(call: Callable[..., object], *args: Any) -> Came:
    """Raises AssertionError when the process ends without an answer, or with another error than a UserError."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, call, args))
    process.start()
    there.close()
    try:
        assert here.poll(PATIENCE), "it does not come to an end"
        said = here.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"the process ended: {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    assert isinstance(said, Came), said
    return said


class Shared:
    """One process for many calls, each counted by itself; one that ends it is named, and the next gets a new one.

    A start costs more than most hostile files do. What a call leaves behind (imports, caches) is not counted again.
    """

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None

    def __call__(self, call: Callable[..., object], *args: Any, patience: float = PATIENCE) -> Came:
        """Raises AssertionError as :func:`bounded` does."""
        pipe = self._pipe or self._start()
        pipe.send((call, args))
        try:
            if not pipe.poll(patience):
                raise AssertionError("it does not come to an end")
            said = pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            self.close()
            raise AssertionError(f"the process ended: {code}") from None
        except AssertionError:
            self.close()
            raise
        assert isinstance(said, Came), said
        return said

    def _start(self) -> Connection:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there,), daemon=True)
        self._process.start()
        there.close()
        return self._pipe

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _serve(pipe: Connection) -> None:
    while True:
        try:
            call, args = pipe.recv()
        except EOFError:
            return
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        _run(pipe, call, args)


def _run(answer: Connection, call: Callable[..., object], args: tuple[Any, ...]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    size = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (size + NET, resource.RLIM_INFINITY))
    # The first tensor and the first picture load megabytes of libraries' own code, whichever file asks for them.
    torch.tensor([0])
    Image.init()
    before, began = _status("VmRSS"), time.process_time()
    sentence = ""
    try:
        call(*args)
    except UserError as error:
        sentence = str(error)
    except BaseException as error:  # whatever it is, the test is told
        answer.send(f"{type(error).__name__}: {error}"[:500])
        return
    answer.send(Came(sentence, _status("VmHWM") - before, time.process_time() - began))


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "this needs Linux"
    return 1024 * int(found[1])
