"""Workers of a Dask cluster: ``python -m distributed.cli.dask_worker tcp://…`` on machines that have this package.

Dask is optional (``requirements-cluster.txt``). Its connections carry code: whoever reaches the scheduler may run
anything on the workers, so it belongs in a network of its own (docs/trust.md).
"""

from __future__ import annotations

import threading
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from pruning_core.errors import UserError, quoted
from pruning_core.runs.crew import Crew
from pruning_core.studies.spreading import PIECES, split, task

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 10  # seconds until a scheduler that does not answer is not there


def dask_crew(address: str) -> Crew:
    """The workers that the scheduler at ``address`` knows whenever something is to be done; it is asked then, not now.

    Raises UserError where Dask is not installed.
    """
    try:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise UserError(
            "SCHEDULER names a Dask cluster, and Dask is not installed. Install requirements-cluster.txt."
        ) from error
    cluster = _Cluster(address)
    lost = (KilledWorker, FutureCancelledError, CommClosedError)
    return Crew(cluster.open, task, PIECES, split, cluster.size, near=False, share=cluster.share, lost=lost)


class _Cluster:
    """The connection, made when first needed and again after it broke."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Client | None = None
        self._lock = threading.Lock()

    def open(self) -> Executor:
        # pure: the same piece asked for again would be the task that was called off, and stay so
        executor: Executor = self._connected().get_executor(pure=False)
        return executor

    def size(self) -> int:
        return sum(self._connected().nthreads().values())

    def share(self, data: bytes) -> Any:
        """Goes to one worker now, and from there to each that does a piece with it."""
        return self._connected().scatter(data, hash=True)

    def _connected(self) -> Client:
        from distributed import Client

        with self._lock:
            try:
                if self._client is None or self._client.status != "running":
                    self._client = Client(self._address, timeout=PATIENCE, set_as_default=False)
                self._client.wait_for_workers(1, timeout=PATIENCE)
            except (OSError, TimeoutError, ValueError) as error:
                raise UserError(
                    f"The cluster at {quoted(self._address)} does not answer, or has no workers. Start its scheduler "
                    "and a worker, then resume the run; or start this server without SCHEDULER."
                ) from error
            return self._client
