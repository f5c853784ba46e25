"""What a server costs that has run for long, measured.

    python -m benchmarks.reliability rerun [--runs 1000]     one click on Sensitivity, with so many runs stored
    python -m benchmarks.reliability memory [--runs 100]     after as many failed and as many cancelled runs

The first runs the page as a visitor's click does, without a browser; the median of several. The second looks at the
server's process: memory, threads, open files.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Event, Progress
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.storage.workspace import Workspace

ROOT = Path(__file__).parents[1]
EVENTS = 120  # of one stored sweep: its cells and progress
CLICKS = 9
WARM = 20  # runs before memory is looked at the first time: what is loaded once is no growth


@dataclass(frozen=True)
class Tiny(RunSpec):
    """Takes a tensor of 4 MB, then fails or waits until it is cancelled."""

    kind: ClassVar[str] = "tiny"
    number: int
    fails: bool = False

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        import torch

        layer = torch.nn.Linear(1000, 1000)
        handle = layer.register_forward_hook(lambda *given: None)
        try:
            done = 0
            while True:
                layer(torch.zeros(8, 1000))
                yield Progress(done := done + 1, 1000, "steps")
                if self.fails:
                    raise ValueError("on purpose")
                time.sleep(0.002)
        finally:
            handle.remove()


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    memory_bytes: int
    threads: int
    files: int

    @staticmethod
    def now() -> Held:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return Held(pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), len(os.listdir("/proc/self/fd")))


def churn(jobs: Jobs, first: int, runs: int) -> None:
    """As many runs that fail, and as many that are cancelled while they run."""
    for number in range(first, first + runs):
        jobs.wait(jobs.submit(Tiny(number, fails=True), "ann"))
        job_id = jobs.submit(Tiny(number), "ann")
        while not jobs.snapshot(job_id).count:
            time.sleep(0.001)
        jobs.cancel(job_id)
        ended = jobs.wait(job_id)
        assert ended.state is State.CANCELLED, ended


def grown(runs: int, root: Path) -> tuple[Held, Held]:
    """What this process holds before and after."""
    jobs = Jobs(Workspace(root), Catalogue((Tiny,)), threads=1)
    churn(jobs, 0, WARM)
    before = Held.now()
    churn(jobs, WARM, runs)
    after = Held.now()
    jobs.close()
    return before, after


def store_sweeps(root: Path, owner: str, runs: int) -> None:
    """Sweeps of the demo as they would stand in the database."""
    from dataclasses import replace

    from pruning_core.datasets import DIGITS
    from pruning_core.runs.store import Job, Store
    from pruning_core.studies.sensitivity import SensitivityRun
    from pruning_core.studies.specs import PRODUCT
    from pruning_core.zoo import DEMOS

    workspace = Workspace(root)
    store = Store(workspace.database, PRODUCT)
    data = replace(DIGITS, split="held-out")
    workspace.database.connection.execute("BEGIN")
    for number in range(runs):
        spec = SensitivityRun(DEMOS[0].ref, data, images=32 + number)
        job = Job(f"{number:032}", spec.key, spec.kind, spec.title, spec, "cpu", "none", State.DONE)
        store.insert(job)
        store.add_owner(job.id, owner)
        for done in range(EVENTS):
            store.append(job.id, Progress(done + 1, EVENTS, "cells"))
    workspace.database.connection.execute("COMMIT")
    workspace.database.close()


def rerun_s(runs: int, root: Path) -> float:
    """Median seconds of a rerun of the Sensitivity page."""
    os.environ["PRUNESCOPE_DATA"] = str(root)
    os.chdir(ROOT)
    from streamlit.testing.v1 import AppTest

    store_sweeps(root, "ann", runs)
    page = AppTest.from_file(str(ROOT / "pages" / "sensitivity" / "page.py"), default_timeout=600)
    page.session_state["owner"] = "ann"
    page.run()
    assert not page.exception
    taken = []
    for _ in range(CLICKS):
        started = time.perf_counter()
        page.run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rerun", "memory"))
    parser.add_argument("--runs", type=int)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        if chosen.what == "rerun":
            runs = chosen.runs if chosen.runs is not None else 1000
            print(f"{runs:,} stored runs: {1000 * rerun_s(runs, Path(folder)):.0f} ms for a rerun of the page")
        else:
            before, after = grown(chosen.runs or 100, Path(folder))
            growth = after.memory_bytes / before.memory_bytes - 1
            print(f"memory {before.memory_bytes / 2**20:.0f} -> {after.memory_bytes / 2**20:.0f} MiB ({growth:+.1%})")
            print(f"threads {before.threads} -> {after.threads}, open files {before.files} -> {after.files}")
    sys.stdout.flush()
    os._exit(0)  # the page's jobs and children need no farewell here


if __name__ == "__main__":
    main()
