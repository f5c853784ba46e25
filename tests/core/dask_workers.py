"""Worker processes of a Dask scheduler, each with a data directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start_worker(scheduler: str, home: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-nanny", "--nthreads", "1"]
    return subprocess.Popen(
        [*command, "--no-dashboard", "--name", home.name, "--local-directory", str(home), *options],
        cwd=ROOT, stderr=subprocess.DEVNULL,
        env={**os.environ, "PRUNESCOPE_DATA": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
