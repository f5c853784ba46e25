"""What a child may be made to do in tests: mostly harm. Started with ``python -m tests.core.isolated_tasks``."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pruning_core.errors import UserError
from pruning_core.isolation import confine as shut
from pruning_core.isolation.fork_server import serve
from pruning_core.isolation.limits import Limits
from pruning_core.isolation.talk import Talk
from pruning_core.storage.artifacts import replacing


def echo(talk: Talk, given: Any, folder: Path) -> Any:
    talk.say("one")
    talk.say("two")
    talk.log("a line for the log")
    return given


def about(talk: Talk, given: Any, folder: Path) -> Any:
    import torch

    torch.ones(3).sum()
    return {
        "pid": os.getpid(), "group": os.getpgrp(), "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "environment": dict(os.environ),
        "open": sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) > 2
                       and os.path.exists(f"/proc/self/fd/{fd}")),
        "threads": torch.get_num_threads(), "running": threading.active_count(), "here": os.getcwd(),
    }  # fmt: skip


def raises(talk: Talk, given: str, folder: Path) -> Any:
    match given:
        case "user":
            raise UserError("The file is empty. Send another.")
        case "memory":
            raise MemoryError
    raise ValueError("secret detail")


def dies(talk: Talk, given: str, folder: Path) -> Any:
    talk.say("alive")
    match given:
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit":
            os._exit(0)
        case "code":
            sys.exit(3)
        case "killed":  # as the system does when its memory is full; from inside it may only reach itself
            os.kill(os.getpid(), signal.SIGKILL)


def eats(talk: Talk, given: str, folder: Path) -> Any:
    """Python's memory; memory of others (a shared mapping), which no limit of the system counts; files."""
    if given == "python":
        held = []
        while True:
            held.append(bytearray(16 << 20))
    if given == "shared":
        import mmap

        with mmap.mmap(-1, 4 << 30) as shared:
            for at in range(0, 4 << 30, 4096):
                shared[at] = 1
    if given == "torch":
        import torch

        return float(torch.zeros(1 << 34).sum())
    if given == "file":
        (folder / "large").write_bytes(bytes(8 << 20))
    for number in range(100):
        (folder / f"part {number}").write_bytes(bytes(1 << 20))
        time.sleep(0.01)
    time.sleep(30)
    return None


def lasts(talk: Talk, given: str, folder: Path) -> Any:
    match given:
        case "spin":
            while True:
                pass
        case "sleep":
            time.sleep(600)
        case "lock":  # holds the interpreter's lock for ever, as one clever pickle did
            ctypes.PyDLL(None).pause()
        case "deaf":
            while True:
                time.sleep(0.01)
        case "polite":
            try:
                while talk.say("on"):
                    time.sleep(0.01)
            finally:
                (Path(folder) / "closed").write_text("yes")
                talk.say("closed in good order")


def tries(talk: Talk, given: list[str], folder: Path) -> Any:
    """The name of the error that each forbidden thing ends in; "" for what worked."""
    what, about = given[0], given[1] if len(given) > 1 else ""
    started = []
    actions = {
        "socket": lambda: socket.socket(),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        "native socket": lambda: _native("socket", 2, 1, 0),
        "connect": lambda: socket.create_connection(("127.0.0.1", int(about)), timeout=2),
        "fork": lambda: started.append(_forked()),
        "native fork": lambda: _native("fork"),
        "run": lambda: subprocess.run(["/bin/true"], check=True),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "kill": lambda: os.kill(int(about), 0),
        "write": lambda: Path(about).write_text("harm"),
        "append": lambda: os.write(os.open(about, os.O_WRONLY | os.O_APPEND), b"harm"),
        "remove": lambda: Path(about).unlink(),
        "rename": lambda: (folder / "mine").write_text("x") and os.replace(folder / "mine", about),
        "native write": lambda: _native("creat", about.encode(), 0o644),
        "read": lambda: Path(about).read_bytes(),
        "list": lambda: os.listdir(about),
        "own": lambda: _own(folder),
        "thread": _thread,
        "raise limit": lambda: _limit(),
    }
    try:
        actions[what]()
    except Exception as error:
        return type(error).__name__
    return ""


def _native(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if (found := getattr(libc, name)(*arguments)) < 0:
        raise OSError(ctypes.get_errno(), name)
    if name == "fork" and found == 0:
        os._exit(0)


def _forked() -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    return pid


def _own(folder: Path) -> None:
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    with replacing(inner / "file") as file:
        file.write(b"x")
    os.rename(inner / "file", folder / "moved")
    assert (folder / "moved").read_bytes() == b"x"


def _thread() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(1))
    thread.start()
    thread.join()
    assert found


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def watched(talk: Talk, given: list[str], folder: Path) -> Any:
    """The same where the kernel cannot hold it."""
    held = shut.confine(folder, Limits(), kernel=False)
    return [list(held), tries(talk, given, folder)]


def litters(talk: Talk, given: str, folder: Path) -> Any:
    """Starts processes that outlive it: one of its group, one that broke away. They say who they are in a file."""
    pids = []
    for away in (False, True):
        if (pid := os.fork()) == 0:
            if away:
                os.setsid()
                if os.fork():
                    os._exit(0)
            (Path(given) / f"{os.getpid()}.pid").touch()
            time.sleep(600)
        pids.append(pid)
    while len(list(Path(given).glob("*.pid"))) < 2:
        time.sleep(0.01)
    return pids


def babbles(talk: Talk, given: str, folder: Path) -> Any:
    channel = talk._channel
    match given:
        case "garbage":
            channel.sendall(bytes(range(256)) * 40)
        case "endless":
            while True:
                channel.sendall(b"[" * (1 << 16))
        case "deep":
            channel.sendall(b"[" * 200_000 + b"\n")
        case "number":
            channel.sendall(b'["result",' + b"9" * 100_000 + b"]\n")
        case "nan":
            channel.sendall(b'["result",NaN]\n')
        case "kind":
            channel.sendall(b'["nobody knows this",1]\n')
        case "pickle":
            channel.sendall(b"\x80\x04cos\nsystem\n(S'true'\ntR.\n")
        case "refused":
            channel.sendall(b'["refused",{"a":["b"]}]\n')
        case "closes":
            channel.close()
            time.sleep(600)
    return "an answer"


def answers(talk: Talk, given: int, folder: Path) -> Any:
    """A session: adds what it is asked to what it was given."""
    total = given
    while True:
        asked = talk.hear()
        if asked == "die":
            os.abort()
        total += asked
        talk.say(total)


def leaves(talk: Talk, given: Any, folder: Path) -> Any:
    (folder / "left.json").write_text(json.dumps(given))
    return None


TABLE = {
    each.__name__: each
    for each in (
        echo, about, raises, dies, eats, lasts, tries, watched, litters, babbles, answers, leaves,
    )
}  # fmt: skip

if __name__ == "__main__":
    # One table for runs that are harmful, another name for those whose child lies.
    from pruning_core.apart.table import TABLE as PRODUCT
    from pruning_core.runs.catalogue import Catalogue
    from pruning_core.runs.errand import running
    from tests.core.harmful_runs import Harm, forges, harmful_import

    serve({**PRODUCT, **TABLE, "run": running(Catalogue((Harm,))), "forges": forges, "harmful import": harmful_import})
