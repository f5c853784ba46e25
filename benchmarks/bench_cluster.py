"""How a sensitivity sweep scales with workers: processes on this machine under a Dask scheduler, one thread each.

    python -m benchmarks.bench_cluster [--workers 1 2 4] [--images 450] [--data FOLDER]      (a minute; a table)

Each row is the whole sweep as a person waits for it, from asking to the last cell, after one sweep that was not timed:
workers then have imported and compiled everything. The first row is the same sweep in one process without a cluster.
All heatmaps are compared, cell by cell. FOLDER holds cifar10_train.zip and cifar10_test.zip; without it the digits,
whose sweep is so short that little is left to share out.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from distributed import Client, LocalCluster

from benchmarks.methods import cifar, digits
from pruning_core.measuring.measures import Cell
from pruning_core.runs.events import Event
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.cluster import dask_crew
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.studies.spread_sweep import spread_sweep

FILE = Path(__file__).parent / "results" / "cluster.md"


@contextmanager
def workers(count: int, folder: Path) -> Iterator[str]:
    """The address of a scheduler with so many worker processes, each with a data directory of its own."""
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster:
        address, started = cluster.scheduler_address, []
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1"]
        for number in range(count):
            home = folder / f"worker {count}.{number}"
            home.mkdir()
            own = {"PRUNESCOPE_DATA": str(home), "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
            more = ["--no-dashboard", "--local-directory", str(home)]
            started.append(subprocess.Popen([*command, *more], env={**os.environ, **own}, stderr=subprocess.DEVNULL))
        try:
            with Client(address, set_as_default=False) as client:
                client.wait_for_workers(count, timeout=120)
            yield address
        finally:
            for process in started:
                process.kill()
                process.wait()


def cells(events: list[Event]) -> dict[tuple[str, float], Cell]:
    return {(e.group, e.ratio): replace(e, seconds=0.0) for e in events if isinstance(e, Cell)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--images", type=int, default=450)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "home")
        ground = cifar(asked.data, workspace.root, asked.images, 1) if asked.data else digits(1)
        spec = SensitivityRun(ground.ref, ground.data, images=asked.images, device="cpu")
        list(replace(spec, ratios=(0.5,)).run(workspace))
        began = time.perf_counter()
        alone = cells(list(spec.run(workspace)))
        whole = time.perf_counter() - began
        rows = [f"| one process, no cluster | {whole:.1f} | 1.00 |"]
        for count in asked.workers:
            with workers(count, Path(folder)) as address:
                crew = dask_crew(address)
                list(spread_sweep(replace(spec, ratios=(0.5,)), workspace, (), crew))
                began = time.perf_counter()
                found = cells(list(spread_sweep(spec, workspace, (), crew)))
                seconds = time.perf_counter() - began
            assert found == alone, "another heatmap"
            rows.append(f"| {count} worker{'s' * (count > 1)} | {seconds:.1f} | {whole / seconds:.2f} |")
            print(rows[-1], flush=True)
    load = os.getloadavg()[0]
    about = (
        f"{len(alone)} cells of {ground.ref.name} on {asked.images} images, {datetime.date.today()}; {os.cpu_count()} "
        f"cores, load {load:.1f} at the end. Every heatmap is that of one process, cell by cell."
    )
    head = "| | seconds | against one process |\n|---|---|---|"
    FILE.write_text("\n".join(["# A sweep by several workers", "", about, "", head, *rows, ""]), encoding="utf-8")
    print(FILE.name)


if __name__ == "__main__":
    main()
