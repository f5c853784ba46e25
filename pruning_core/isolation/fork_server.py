"""The process that has everything imported, and makes a child for every task: a start costs milliseconds.

It runs nothing itself, so it never crashes and always answers: it forks, watches what its children take, ends those
that take too much or whose server no longer wants them, and goes with the server, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pruning_core.isolation import accounts
from pruning_core.isolation.life import live
from pruning_core.isolation.limits import ORDER, ORDERS, READY, Death, Order
from pruning_core.isolation.talk import Task
from pruning_core.storage.codec import dump

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: what a child leaves behind becomes ours, and is ended
TICK = 0.1  # seconds between two looks at what children take
REST = 0.3  # seconds without orders until a spare child is made: a fork takes 40 ms of the processor


def serve(table: Mapping[str, Task], prepare: Callable[[], None] | None = None) -> None:
    """Take orders for the tasks of ``table`` until the server is gone; ``prepare`` runs once, before the first.

    Called by a module that is started with ``python -m``; the first argument is the number of the open socket.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    if prepare is not None:
        prepare()
    gc.collect()
    gc.freeze()  # the collector of a child leaves the pages alone that it shares
    nursery = _Nursery(control, table)
    with contextlib.suppress(OSError):  # the server has gone meanwhile
        control.send(READY)
    nursery.run()


@dataclass
class _Child:
    pid: int
    order: Order
    told: socket.socket  # where its end is told; closed by the server when nobody wants the child any more
    taken_before: int  # bytes that it shares with the fork server
    began: float = field(default_factory=time.monotonic)
    why: str = ""
    wanted: bool = True


class _Nursery:
    def __init__(self, control: socket.socket, table: Mapping[str, Task]) -> None:
        self._control, self._table = control, table
        self._children: dict[int, _Child] = {}
        self._events = selectors.DefaultSelector()
        self._events.register(control, selectors.EVENT_READ, self._order)
        self._woken, wake = socket.socketpair()
        self._woken.setblocking(False)
        wake.setblocking(False)
        self._wake = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the server, which says what it wants
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._events.register(self._woken, selectors.EVENT_READ, self._calm)
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        self._going_on = True
        self._spare: tuple[int, socket.socket] | None = None  # forked before anybody asks
        self._ordered = time.monotonic()

    def run(self) -> None:
        while self._going_on:
            wait = TICK if self._children else REST if self._spare is None else None
            for key, _ in self._events.select(wait):
                key.data()
            self._reap()
            self._watch()
            if self._spare is None and self._going_on and time.monotonic() - self._ordered > REST:
                self._spare = self._forked()
        if self._spare is not None:
            self._spare[1].close()  # it ends when it reads that
        for child in self._children.values():
            self._forget(child)
        while self._children:
            time.sleep(0.01)
            self._reap()

    def _calm(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass

    def _order(self) -> None:
        text, fds = b"", list[int]()
        with contextlib.suppress(ConnectionResetError):
            text, fds, _, _ = socket.recv_fds(self._control, ORDER, 2)
        if not text:
            self._going_on = False
            return
        self._ordered = time.monotonic()
        channel, told = (socket.socket(fileno=fd) for fd in fds)
        order: Order = ORDERS.load(text.decode())
        pid = self._given(text, channel)
        child = _Child(pid, order, told, accounts.memory(pid))
        self._children[pid] = child
        self._events.register(told, selectors.EVENT_READ, lambda: self._forget(child))

    def _given(self, text: bytes, channel: socket.socket) -> int:
        """The child that takes the order: the spare one, or a new one should that be gone."""
        with channel:
            for _ in range(2):
                pid, orders = self._spare or self._forked()
                self._spare = None
                with orders, contextlib.suppress(OSError):
                    socket.send_fds(orders, [text], [channel.fileno()])
                    return pid
        raise RuntimeError("a new child is gone before it was told what to do")

    def _forked(self) -> tuple[int, socket.socket]:
        """A new child, and where it waits for its order."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        me, pid = os.getpid(), os.fork()
        if pid == 0:
            live(its, self._table, me)
        its.close()
        return pid, mine

    def _forget(self, child: _Child) -> None:
        child.wanted = False
        self._end(child)

    def _end(self, child: _Child, why: str = "") -> None:
        """End it and what is of its group; its number is its own until it was reaped."""
        child.why = child.why or why
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)  # right after the fork it is not yet a group of its own
        with contextlib.suppress(KeyError):
            self._events.unregister(child.told)

    def _reap(self) -> None:
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None:
                return
            if self._spare is not None and dead.si_pid == self._spare[0]:
                self._spare[1].close()
                self._spare = None
            child = self._children.pop(dead.si_pid, None)
            if child is not None:
                self._end(child)
            _, status = os.waitpid(dead.si_pid, 0)
            if child is not None:
                self._tell(child, status)

    def _tell(self, child: _Child, status: int) -> None:
        with contextlib.suppress(OSError):
            child.told.sendall(dump(Death(status, child.why)).encode())
        child.told.close()
        if not child.wanted:
            shutil.rmtree(child.order.folder, ignore_errors=True)  # the server may have met files still being written

    def _watch(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            limits = child.order.limits
            if limits.wall_s is not None and now - child.began > limits.wall_s:
                self._end(child, "time")
            elif limits.memory is not None and accounts.memory(child.pid) - child.taken_before > limits.memory:
                self._end(child, "memory")
            elif limits.disk is not None and accounts.disk(Path(child.order.folder)) > limits.disk:
                self._end(child, "disk")
        known = {*self._children, *([self._spare[0]] if self._spare else [])}
        for stray in accounts.children() - known:  # its parent is dead, or it broke away
            with contextlib.suppress(ProcessLookupError):
                os.kill(stray, signal.SIGKILL)
