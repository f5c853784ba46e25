"""Seccomp: the kernel refuses sockets, other processes and what reaches into them, also to native code.

It needs no rights of any kind and works inside containers, where a network namespace of one's own mostly may not be
made. Source: the kernel's userspace-api/seccomp_filter documentation; numbers from its tables of system calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass

NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2
THREAD = 0x10000  # CLONE_THREAD
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, FIRST = 0, 4, 16  # offsets: the call's number, whose numbers, its first argument


@dataclass(frozen=True)
class Calls:
    """The numbers of one architecture. ``own``: allowed on the process itself; ``clone``: allowed for threads."""

    audit: int
    refused: tuple[int, ...]
    own: tuple[int, ...]  # kill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo
    limits: int  # prlimit64
    clone: int
    clone3: int
    foreign: int | None = None  # from this number on they are another architecture's


# The same everywhere: pidfd_send_signal, io_uring (which opens sockets too), new ways to mount, pidfd_getfd.
COMMON = (424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442)
KNOWN = {
    # socket connect accept bind listen fork vfork execve ptrace setsid setpgid unshare setns mount umount pivot_root
    # chroot modules kexec bpf perf userfaultfd keys process_vm accept4 execveat open_by_handle setpriority affinity
    # reboot swap clocks hosts tkill
    "x86_64": Calls(
        0xC000003E,
        (41, 42, 43, 49, 50, 57, 58, 59, 101, 112, 109, 272, 308, 165, 166, 155, 161, 175, 176, 313, 246, 320, 321,
         298, 323, 248, 249, 250, 310, 311, 288, 322, 304, 141, 203, 169, 167, 168, 164, 227, 305, 170, 171, 200),
        (62, 234, 129, 297), 302, 56, 435, 0x40000000,
    ),
    "aarch64": Calls(
        0xC00000B7,
        (198, 203, 202, 200, 201, 221, 117, 157, 154, 97, 268, 40, 39, 41, 51, 105, 106, 273, 104, 294, 280, 241, 282,
         217, 218, 219, 270, 271, 242, 281, 265, 140, 122, 142, 224, 225, 170, 112, 266, 161, 162, 130),
        (129, 131, 138, 240), 261, 220, 435,
    ),
}  # fmt: skip


def restrict() -> bool:
    """From now on this thread and those it starts cannot open sockets, start processes or reach into others.

    Returns False where the architecture or the kernel does not know how; then nothing is restricted.
    """
    calls = KNOWN.get(platform.machine())
    if sys.platform != "linux" or calls is None:
        return False
    code = program(calls, os.getpid())
    held = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    given = Program(len(code) // 8, ctypes.cast(held, ctypes.c_void_p))
    return libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(SET_SECCOMP, FILTER, ctypes.byref(given)) == 0


def program(calls: Calls, pid: int) -> bytes:
    """The filter as the kernel takes it: instructions of 8 bytes."""
    no = REFUSE | errno.EPERM
    steps = [_step(LOAD, ARCHITECTURE), _step(EQUAL, calls.audit, 1, 0), _step(RETURN, KILL), _step(LOAD, NUMBER)]
    if calls.foreign is not None:
        steps += [_step(AT_LEAST, calls.foreign, 0, 1), _step(RETURN, no)]
    for number in (*calls.refused, *COMMON):
        steps += [_step(EQUAL, number, 0, 1), _step(RETURN, no)]
    steps += [_step(EQUAL, calls.clone3, 0, 1), _step(RETURN, REFUSE | errno.ENOSYS)]  # libraries then use clone
    steps += _if_first(calls.clone, _step(ANY_BIT, THREAD, 0, 1), no)
    for number in calls.own:
        steps += _if_first(number, _step(EQUAL, pid, 0, 1), no)
    steps += _if_first(calls.limits, _step(EQUAL, 0, 0, 1), no)
    steps.append(_step(RETURN, ALLOW))
    return b"".join(steps)


def _if_first(number: int, test: bytes, otherwise: int) -> list[bytes]:
    """The call ``number`` is allowed when its first argument passes ``test``."""
    return [_step(EQUAL, number, 0, 4), _step(LOAD, FIRST), test, _step(RETURN, ALLOW), _step(RETURN, otherwise)]


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
