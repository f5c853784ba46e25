"""A real server that is told to end: what runs stops where it can be taken up again, whoever says it."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90


@pytest.fixture
def served(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path / "log").open("wb")
    command = [sys.executable, "-m", "streamlit", "run", str(Path(__file__).parent / "served_with_a_run.py")]
    process = subprocess.Popen(
        [*command, f"--server.port={port}", "--server.headless=true"],
        cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
        env={**os.environ, "PRUNESCOPE_DATA": str(tmp_path / "data"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    yield process
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    log.close()


def the_run(data: Path) -> tuple[str, str, int]:
    """(id, state, events) of the fine-tuning; ("", "", 0) before it is there."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(data / "prunescope.sqlite")) as rows:
        found = rows.execute(
            "SELECT id, state, (SELECT COUNT(*) FROM events WHERE job_id = id) FROM jobs WHERE kind = 'fine-tune'"
        ).fetchone()
        return found or ("", "", 0)
    return "", "", 0


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_server_told_to_end_leaves_its_run_interrupted_with_a_checkpoint(served, tmp_path, by):
    data = tmp_path / "data"
    deadline = time.monotonic() + PATIENCE_S
    while the_run(data)[2] < 8:
        assert served.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.1)
    served.send_signal(by)
    served.wait(20)
    _, state, _ = the_run(data)
    assert state == "interrupted"
    assert any((data / "scratch").rglob("*.*")), "nothing to go on from"
    assert not list((data / "servers").glob("*.lock")), "it has said goodbye"
