"""A sweep on a Dask cluster of real processes, one of which is killed in the middle."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dask_workers import start_worker
from distributed import Client, LocalCluster
from test_spreading import SWEEP as LARGE
from test_spreading import base, heatmap

from pruning_core.errors import UserError
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.view import State
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.cluster import dask_crew
from pruning_core.studies.in_pieces import Ranked, RowsDone
from pruning_core.studies.specs import PRODUCT

SWEEP = replace(LARGE, ratios=(0.5,), images=100)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, protocol="tcp://") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def workers(scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """By their data directory, which each has to itself."""
    homes = [tmp_path_factory.mktemp(name) for name in ("a", "b")]
    started = {str(home): start_worker(scheduler, home) for home in homes}
    with Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def test_a_sweep_survives_a_killed_worker_and_is_that_of_one_machine(
    scheduler: str, workers: dict[str, subprocess.Popen[bytes]], workspace: Workspace
) -> None:
    crew = dask_crew(scheduler)
    how = crew.split(SWEEP)
    assert how is not None
    called_off = how(workspace, (), crew)
    assert isinstance(next(called_off), Stage) and isinstance(next(called_off), Progress)
    called_off.close()  # and asked for again at once, below
    together: list[Event] = []
    for event in how(workspace, (), crew):
        together.append(event)
        if isinstance(event, RowsDone) and len([e for e in together if isinstance(e, RowsDone)]) == 1:
            next(iter(workers.values())).kill()
    alone = list(SWEEP.run(workspace))
    assert [process.poll() for process in workers.values()].count(None) == 1, "one was killed, the other lives"
    assert heatmap(together) == heatmap(alone) and base(together) == base(alone)
    (ranked,) = (event for event in together if isinstance(event, Ranked))
    held = [list(Path(home, "artifacts").rglob(ranked.digest)) for home in workers]
    assert all(len(files) == 1 for files in held), "each was sent the scores, and keeps them"


def test_a_cancel_is_answered_at_once_ends_the_pieces_and_what_is_resumed_is_right(
    scheduler: str, workers: dict[str, subprocess.Popen[bytes]], workspace: Workspace
) -> None:
    long = replace(LARGE, ratios=tuple(n / 80 for n in range(1, 76)), images=450)
    jobs = Jobs(workspace, PRODUCT, threads=1, crew=dask_crew(scheduler))
    try:
        job = jobs.submit(long, "ann")
        with Client(scheduler, set_as_default=False) as client:
            _until(lambda: measuring(jobs, job) and busy(client) == 2)
            began = time.monotonic()
            jobs.cancel(job)
            assert jobs.wait(job, 10).state is State.CANCELLED and time.monotonic() - began < 1.0
            _until(lambda: busy(client) == 0, 1.0)  # a piece by itself takes several seconds
        short = jobs.wait(jobs.submit(SWEEP, "ann"), 60)
        assert short.state is State.DONE and heatmap(list(short.events)) == heatmap(list(SWEEP.run(workspace)))
    finally:
        jobs.close()


def busy(client: Client) -> int:
    """Workers that are at work."""
    return sum(client.run(lambda dask_worker: dask_worker.state.executing_count).values())


def measuring(jobs: Jobs, job: str) -> bool:
    return Stage("measuring") in jobs.snapshot(job).events


def _until(what: Callable[[], bool], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_cluster_that_is_not_there_is_said(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pruning_core.studies.cluster.PATIENCE", 0.3)
    crew = dask_crew("tcp://127.0.0.1:9")
    how = crew.split(replace(SWEEP, seed=1))
    assert how is not None
    with pytest.raises(UserError, match="does not answer"):
        list(how(workspace, (), crew))
