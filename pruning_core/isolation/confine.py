"""Shutting a process in, before it touches anything of a stranger's: by the kernel, else as well as Python can."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pruning_core
from pruning_core.isolation import landlock, syscalls
from pruning_core.isolation.limits import Limits

# Besides where Python and the code lie: shared libraries, and what libraries look at to know the machine.
SYSTEM = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system", "/sys/fs/cgroup"),
    # never the rest of /proc, where the environment of other processes stands
    *(f"/proc/{name}" for name in ("self", "meminfo", "cpuinfo", "stat", "version", "uptime", "loadavg", "sys")),
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")

# What Python announces before it does it; the first argument of those in CHANGES is a path.
NEVER = frozenset({
    "socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen",
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill", "os.killpg", "pty.spawn",
})  # fmt: skip
CHANGES = frozenset({
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.utime", "shutil.rmtree", "shutil.move",
})  # fmt: skip


def confine(folder: Path, limits: Limits, kernel: bool = True) -> tuple[str, ...]:
    """From now on: no network, no other processes, files only as ``limits`` say. Returns what holds it.

    ``kernel=False`` leaves out what the kernel could do. What it cannot, Python's own announcements of what it is about
    to do are watched for; native code does not pass there.
    """
    held = []
    if kernel and (version := landlock.restrict(_rules(folder, limits))):
        held.append(f"files: Landlock {version}")
    files = not held
    sealed = kernel and syscalls.restrict()
    held.append("network and processes: seccomp" if sealed else "network and processes: Python alone")
    if files:
        held.append("files: Python alone")
    if files or not sealed:
        _watch((folder, *map(Path, limits.writable)), files, not sealed)
    return tuple(held)


def _rules(folder: Path, limits: Limits) -> list[tuple[Path, int]]:
    code = [sys.prefix, sys.base_prefix, str(Path(pruning_core.__file__).parent), *_import_path(), *SYSTEM]
    return [
        *((Path(path), landlock.LOOK) for path in (*code, *limits.readable)),
        *((Path(path), landlock.NAMED) for path in limits.named),
        *((Path(path), landlock.DEVICE) for path in DEVICES),
        *((path, landlock.CHANGE) for path in (folder, *map(Path, limits.writable))),
    ]


def _import_path() -> list[str]:
    """Installed packages wherever they lie; never the folder that holds the code, which may hold secrets as well."""
    return [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]


def _watch(writable: tuple[Path, ...], files: bool, processes: bool) -> None:
    allowed = tuple(os.path.realpath(path) + os.sep for path in writable)
    flags = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def outside(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # an open file's number, or nothing
        plain = os.path.realpath(os.fsdecode(path))
        return not (plain + os.sep).startswith(allowed) and plain not in DEVICES

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if processes and event in NEVER:
            raise PermissionError(f"{event} is not allowed here")
        if not files:
            return
        if event == "open" and isinstance(given[2], int) and given[2] & flags and outside(given[0]):
            raise PermissionError("writing outside the own folder is not allowed here")
        if event in CHANGES and any(outside(each) for each in given[:2]):
            raise PermissionError(f"{event} outside the own folder is not allowed here")

    sys.addaudithook(hook)
