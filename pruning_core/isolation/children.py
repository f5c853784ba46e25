"""A server's side: one fork server, and a child for every task that is asked of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pruning_core.errors import UserError
from pruning_core.isolation.child import Child
from pruning_core.isolation.limits import GIVEN, ORDER, READY, Limits, Order
from pruning_core.storage.codec import dump

ROOT = Path(__file__).parents[2]
# What a child may know of the server's environment: how to find things and how to compute, never a secret.
PASSED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PRUNESCOPE_DATA", "XDG_DATA_HOME", "TORCH_HOME")
PASSED_FAMILIES = ("LC_", "PYTHON", "OMP_", "GOMP_", "MKL_", "CUDA", "NVIDIA_", "NUMBA_", "COVERAGE_")
ALONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # no thread before the fork
START = "-m"


class Children:
    """Children of the fork server that ``module`` is when started with ``python -m`` (where AVAILABLE).

    ``environment``: what its process is told besides. All methods may be called from any thread. The fork server
    starts with the first child, or before with ``start``, and again should it ever end.
    """

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._module, self._environment = module, dict(environment or {})
        self._lock = threading.Lock()
        self._swept: set[Path] = set()
        self._ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Have the fork server import what it needs; returns at once."""
        with self._lock:
            self._started()

    @property
    def ready(self) -> bool:
        """Whether a child would start at once; before, it starts when everything is imported."""
        with self._lock:
            if self._control is not None and not self._ready:
                with contextlib.suppress(BlockingIOError):
                    self._ready = self._control.recv(len(READY), socket.MSG_DONTWAIT) == READY
            return self._ready and self._process is not None and self._process.poll() is None

    def begin(self, task: str, given: Any, limits: Limits, home: Path) -> Child:
        """Start ``task`` on ``given`` (plain JSON) in a child of its own; use it with ``with``.

        It gets a folder under ``home``, where those are removed that a server left which was killed.
        """
        folder, held = self._folder(home)
        (folder / GIVEN).write_text(json.dumps(given, allow_nan=False), encoding="utf-8")
        order = dump(Order(task, str(folder), limits)).encode()
        assert len(order) < ORDER, "paths do not grow without end"
        channel, its_channel = socket.socketpair()
        told, its_told = socket.socketpair()
        try:
            with self._lock:
                self._send(order, its_channel.fileno(), its_told.fileno())
        except BaseException:
            for end in (channel, told):
                end.close()
            os.close(held)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            its_channel.close()
            its_told.close()
        return Child(folder, held, limits, channel, told)

    def close(self) -> None:
        """End the fork server and every child; safe to call twice."""
        with self._lock:
            self._stop()

    def _folder(self, home: Path) -> tuple[Path, int]:
        """A new one, and what holds it: a lock that lasts as long as this process uses it."""
        with self._lock:  # nobody may look at a folder between its making and its locking
            home.mkdir(parents=True, exist_ok=True)
            if home not in self._swept:
                _sweep(home)
                self._swept.add(home)
            folder = Path(tempfile.mkdtemp(dir=home))
            held = os.open(folder, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX)
            return folder, held

    def _send(self, order: bytes, *fds: int) -> None:
        for attempt in (1, 2):
            control = self._started()
            try:
                socket.send_fds(control, [order], fds)
                return
            except OSError as error:
                self._stop()  # it has died since the last child; a new one is as good
                if attempt == 2:
                    raise UserError(
                        "The process that opens files and runs jobs cannot be started. Whoever runs this server finds "
                        "the reason in its output."
                    ) from error

    def _started(self) -> socket.socket:
        if self._process is not None and self._control is not None and self._process.poll() is None:
            return self._control
        self._stop()
        self._ready = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, START, self._module, str(theirs.fileno())],
                env=self._its_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl+C in the server's terminal is the server's to hear
            )
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()  # it ends when it reads that
            self._control = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _its_environment(self) -> dict[str, str]:
        passed = {
            name: value for name, value in os.environ.items() if name in PASSED or name.startswith(PASSED_FAMILIES)
        }
        path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        return {**passed, **ALONE, "PYTHONPATH": os.pathsep.join(path), **self._environment}


def _sweep(home: Path) -> None:
    """Remove what nobody holds any more."""
    for folder in home.iterdir():
        with contextlib.suppress(OSError):  # somebody does, or it is no folder
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(held)
