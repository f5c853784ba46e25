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

from pruning_core.errors import UserError

NET = 3 << 30  # bytes that the process gets at most, so that a test that fails does not take the machine along
PATIENCE = 60.0


@dataclass(frozen=True)
class Came:
    """What came of it: ``sentence`` of the UserError, "" without one; ``bytes`` and ``seconds`` that it took."""

    sentence: str
    bytes: int
    seconds: float


def bounded(call: Callable[..., object], *args: Any) -> Came:
    """Raises AssertionError when the process ends without an answer, or with another error than a UserError."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.core.bounded", "pruning_core.datasets", "torchvision.io"])
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


def _run(answer: Connection, call: Callable[..., object], args: tuple[Any, ...]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    size = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (size + NET, size + NET))
    before, began = _status("VmRSS"), time.monotonic()
    sentence = ""
    try:
        call(*args)
    except UserError as error:
        sentence = str(error)
    except BaseException as error:  # whatever it is, the test is told
        answer.send(f"{type(error).__name__}: {error}"[:500])
        return
    answer.send(Came(sentence, _status("VmHWM") - before, time.monotonic() - began))


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "this needs Linux"
    return 1024 * int(found[1])
