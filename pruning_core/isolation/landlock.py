"""Landlock: the kernel itself refuses files outside a list, also to native code. It needs no rights of any kind.

Source: the kernel's userspace-api/landlock documentation. Linux 5.13 and later, where it was not switched off.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CREATE, ADD, RESTRICT = 444, 445, 446  # the same numbers on every architecture
VERSION = 1  # flag of CREATE
BENEATH = 1  # the kind of rule
NO_NEW_PRIVS = 38

EXECUTE, WRITE, READ, LIST, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_FILE, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, _DEVICES = (1 << bit for bit in range(13, 16))
FIRST = (1 << 13) - 1  # what version 1 knows
SINCE = {2: REFER, 3: TRUNCATE}  # devices' own commands stay allowed: their files are refused unless named
CONNECT, BIND = 2, 1  # version 4: no TCP
SIGNALS, ABSTRACT = 2, 1  # version 6: no signals and no abstract sockets outside

LOOK = EXECUTE | READ | LIST
NAMED = READ
CHANGE = WRITE | READ | LIST | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_FILE | REFER | TRUNCATE
DEVICE = WRITE | READ

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """0 where the kernel has none."""
    found = _libc.syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))
    return max(0, int(found))


def restrict(rules: Iterable[tuple[Path, int]]) -> int:
    """From now on this thread, and what it starts, may do to files what ``rules`` say and nothing else.

    Paths that are not there are left out. Returns the version of the kernel's Landlock; 0: nothing is restricted.
    """
    has = version()
    if not has:
        return 0
    handled = FIRST
    for since, right in SINCE.items():
        if has >= since:
            handled |= right
    described = struct.pack("=Q", handled)
    if has >= 4:
        described += struct.pack("=Q", CONNECT | BIND)
    if has >= 6:
        described += struct.pack("=Q", SIGNALS | ABSTRACT)
    ruleset = _checked(_libc.syscall(CREATE, described, ctypes.c_size_t(len(described)), ctypes.c_uint32(0)))
    try:
        for path, rights in rules:
            with suppress(FileNotFoundError, NotADirectoryError):
                _allow(ruleset, path, rights & handled)
        _checked(_libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(_libc.syscall(RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)
    return has


def _allow(ruleset: int, path: Path, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= EXECUTE | WRITE | READ | TRUNCATE  # the others mean something for folders only
        rule = struct.pack("=Qi", rights, opened)
        _checked(_libc.syscall(ADD, ctypes.c_int(ruleset), ctypes.c_int(BENEATH), rule, ctypes.c_uint32(0)))
    finally:
        os.close(opened)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result
