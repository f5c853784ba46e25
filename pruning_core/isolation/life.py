"""The life of a child, from the fork to its end."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch

from pruning_core.errors import UserError
from pruning_core.isolation.confine import confine
from pruning_core.isolation.limits import GIVEN, ORDER, ORDERS, TEXT, Limits
from pruning_core.isolation.talk import Stopped, Talk, Task
from pruning_core.isolation.wire import Kind
from pruning_core.storage.memory import out_of_memory
from pruning_core.storage.trouble import sentence_of

PARENT_DEATH = 1  # PR_SET_PDEATHSIG
SAID = "said.txt"
OPEN_FILES = 512


def live(orders: socket.socket, table: Mapping[str, Task], parent: int) -> NoReturn:
    """Wait for an order, follow it and end; called right after the fork, before there is any thread."""
    code = 70
    try:
        _break_away(orders, parent)
        text, fds, _, _ = socket.recv_fds(orders, ORDER, 1)
        orders.close()
        if not text:
            os._exit(0)  # nobody needed it
        order, channel = ORDERS.load(text.decode()), socket.socket(fileno=fds[0])
        folder = Path(order.folder)
        given = json.loads((folder / GIVEN).read_bytes())
        _settle(order.limits, folder)
        code = _work(lambda *given: table[order.task](*given), Talk(channel), given, folder)
    except Stopped:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # nothing of the fork server's may run here: no handlers, no flushing of its buffers


def _work(task: Task, talk: Talk, given: Any, folder: Path) -> int:
    try:
        result = task(talk, given, folder)
    except UserError as error:
        talk.send(Kind.REFUSED, str(error)[:TEXT])
    except Exception as error:
        if out_of_memory(error):
            error.__traceback__ = None  # whatever filled the memory hangs on its frames
            talk.send(Kind.MEMORY, None)
        elif sentence := sentence_of(error):
            talk.send(Kind.REFUSED, sentence)
        else:
            talk.send(Kind.BROKE, "".join(traceback.format_exception(error))[-TEXT:])
    else:
        talk.send(Kind.RESULT, result)
    return 0


def _break_away(orders: socket.socket, parent: int) -> None:
    """Of its own group, without anything of the fork server's, and dead when that is."""
    os.setsid()
    ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    signal.set_wakeup_fd(-1)
    for each in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    kept = orders.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 20)


def _settle(limits: Limits, folder: Path) -> None:
    """Where it stands, how much it may take, and what it may touch."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, nothing), (1, said), (2, said)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(said)
    os.chdir(folder)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    os.nice(limits.nice)
    with contextlib.suppress(OSError):  # when the machine is full, it is this process that goes
        Path("/proc/self/oom_score_adj").write_text("1000")
    _compute_with(limits.threads)
    _ration(limits)
    if limits.confined:
        confine(folder, limits)


def _ration(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    if limits.memory is not None:
        _lower(resource.RLIMIT_DATA, _data() + limits.memory)
    if limits.processor_s is not None:
        _lower(resource.RLIMIT_CPU, limits.processor_s, limits.processor_s + 2)
    if limits.disk is not None:
        _lower(resource.RLIMIT_FSIZE, limits.disk)


def _lower(what: int, soft: int, hard: int | None = None) -> None:
    _, most = resource.getrlimit(what)
    hard = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(what, (soft, hard))


def _data() -> int:
    """Bytes that the system counts against RLIMIT_DATA now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return 1024 * int(line.split()[1])
    return 0


def _compute_with(threads: int) -> None:
    """The fork server has no threads of its own; whoever comes from it may have some."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    if threads > 1:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)
