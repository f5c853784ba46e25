"""Workers of a Dask cluster: ``python -m distributed.cli.dask_worker tcp://…`` on machines that have this package.

Dask is optional (``requirements-cluster.txt``). Its connections carry code: whoever reaches the scheduler may run
anything on the workers, so it belongs in a network of its own (docs/trust.md).
"""

from __future__ import annotations

import threading
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruning_core.errors import UserError, quoted
from pruning_core.runs import piece
from pruning_core.runs.crew import Crew
from pruning_core.runs.piece import Asked, Brought
from pruning_core.studies.spreading import PIECES, split

if TYPE_CHECKING:
    from distributed import Client, Security

PATIENCE = 10  # seconds until a scheduler that does not answer is not there


def dask_crew(address: str, certificates: str = "") -> Crew:
    """The workers that the scheduler at ``address`` knows whenever something is to be done; it is asked then, not now.

    ``certificates``: folder of the ca.pem that has signed everybody's certificate there, and of the cert.pem and
    key.pem of this program, for an address that begins with tls://. Raises UserError where Dask is not installed.
    """
    try:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise UserError(
            "SCHEDULER names a Dask cluster, and Dask is not installed. Install requirements-cluster.txt."
        ) from error
    cluster = _Cluster(address, certificates)
    lost = (KilledWorker, FutureCancelledError, CommClosedError)
    return Crew(cluster.open, task, PIECES, split, cluster.size, near=False, share=cluster.share, lost=lost)


def task(asked: Asked, *sent: bytes) -> Brought:
    """A piece on a worker, which ends it early where nobody waits for it any more: cancelled, or the server is gone."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def unwanted() -> bool:
        known = worker.state.tasks.get(key)
        return known is None or known.state == "cancelled"

    return piece.do(PIECES, asked, sent, unwanted)


class _Cluster:
    """The connection, made when first needed and again after it broke."""

    def __init__(self, address: str, certificates: str) -> None:
        self._address, self._certificates = address, certificates
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
                    self._client = Client(
                        self._address, timeout=PATIENCE, set_as_default=False, security=self._security()
                    )
                self._client.wait_for_workers(1, timeout=PATIENCE)
            except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
                if self._certificates or self._address.startswith("tls:"):
                    raise UserError(
                        f"The cluster at {quoted(self._address)} does not answer, has no workers, or wants other "
                        "certificates. Look at its log; for tls:// name your certificates in "
                        "PRUNESCOPE_CLUSTER_CERTIFICATES, for tcp:// none (docs/trust.md). Then resume the run."
                    ) from error
                raise UserError(
                    f"The cluster at {quoted(self._address)} does not answer, or has no workers. Start its scheduler "
                    "and a worker, then resume the run; or start this server without SCHEDULER."
                ) from error
            return self._client

    def _security(self) -> Security | None:
        """None for what Dask's own settings say."""
        from distributed import Security

        if not self._certificates:
            return None
        ca, cert, key = (str(Path(self._certificates) / name) for name in ("ca.pem", "cert.pem", "key.pem"))
        return Security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
