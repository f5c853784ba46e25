"""What survives the end of a server, orderly or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_runs import FAKES, GATES, PATIENCE, Count, Gate, Saves

from pruning_core.errors import UserError
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Artifact, Outdated, Progress
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.view import Cancel, State
from pruning_core.storage.workspace import Workspace

ROOT = Path(__file__).parents[2]

SERVER = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
from fake_runs import FAKES, GATES, PATIENCE, Count, Gate, Saves
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.jobs import Jobs
from pruning_core.storage.workspace import Workspace
jobs = Jobs(Workspace({data!r}), Catalogue(FAKES), threads=1)
jobs.wait(jobs.submit(Count(2), "ann"), PATIENCE)
for spec in (Count(8, "crash", hold=3), Saves("save")):
    GATES[spec.gate] = Gate()
jobs.submit(Count(8, "crash", hold=3), "ann")
jobs.submit(Saves("save"), "ann")
GATES["crash"].reached.wait(PATIENCE)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> subprocess.Popen[str]:
    code = SERVER.format(root=str(ROOT), here=str(Path(__file__).parent), data=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline().strip() == "ready"
    yield process
    process.kill()
    process.communicate()


def test_after_a_crash_results_are_there_and_the_rest_can_be_resumed(
    server: subprocess.Popen[str], tmp_path: Path
) -> None:
    beside = Jobs(Workspace(tmp_path), Catalogue(FAKES), threads=1)
    running = beside.find(Count(8, "crash", hold=3))
    assert running is not None and running.state is State.RUNNING, "a live server's jobs are left alone"
    assert running.count == 3 and beside.cancel(running.id) is Cancel.ELSEWHERE
    beside.close()

    os.kill(server.pid, signal.SIGKILL)
    server.wait(PATIENCE)

    jobs = Jobs(Workspace(tmp_path), Catalogue(FAKES), threads=1)
    states = {(view.kind, view.count): view.state for view in jobs.of("ann")}
    assert states == {
        ("count", 2): State.DONE,
        ("count", 3): State.INTERRUPTED,
        ("saves", 0): State.INTERRUPTED,  # it never started, so nothing could be handed over
    }
    GATES["crash"] = Gate()
    GATES["crash"].open.set()
    jobs.resume(running.id)
    view = jobs.wait(running.id, PATIENCE)
    assert view.state is State.DONE and [event.done for event in view.all(Progress)] == list(range(1, 9))
    jobs.close()


def test_an_orderly_end_interrupts_and_keeps(tmp_path: Path) -> None:
    first = Jobs(Workspace(tmp_path), Catalogue(FAKES), threads=1)
    for name in ("end", "later"):
        GATES[name] = Gate()
    job_id = first.submit(Saves("end"), "ann")
    waiting = first.submit(Saves("later"), "ann")
    assert GATES["end"].reached.wait(PATIENCE)
    first.close(timeout=0)  # the run stands at its gate: close may not wait for it
    assert first.snapshot(waiting).state is State.INTERRUPTED
    with pytest.raises(UserError, match="shutting down"):
        first.submit(Count(1), "ann")
    GATES["end"].open.set()
    assert first.wait(job_id, PATIENCE).state is State.INTERRUPTED
    first.close(PATIENCE)

    second = Jobs(Workspace(tmp_path), Catalogue(FAKES), threads=1)
    view = second.snapshot(job_id)
    assert view.state is State.INTERRUPTED and view.last(Artifact) is not None
    for name in ("end", "later"):
        GATES[name].open.set()
    for stopped in (job_id, waiting):
        second.resume(stopped)
        assert second.wait(stopped, PATIENCE).state is State.DONE
    second.close()


def test_jobs_and_events_of_another_version_do_no_harm(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first = Jobs(workspace, Catalogue(FAKES), threads=1)
    job_id = first.submit(Count(2), "ann")
    first.wait(job_id, PATIENCE)
    first.close()
    row = (job_id, '{"$":"Retired","text":"old"}')
    workspace.database.connection.execute("INSERT INTO events VALUES (?, 2, ?)", row)
    workspace.database.connection.execute("UPDATE jobs SET state = 'cancelled'")

    same = Jobs(workspace, Catalogue(FAKES), threads=1)
    assert [type(event) for event in same.snapshot(job_id).events] == [Progress, Progress, Outdated]
    same.resume(job_id)
    ended = same.wait(job_id, PATIENCE)
    assert ended.state is State.DONE and [type(event) for event in ended.events] == [Progress, Progress]
    same.close()

    workspace.database.connection.execute("UPDATE jobs SET state = 'cancelled'")
    other = Jobs(workspace, Catalogue((Saves,)), threads=1)
    assert other.snapshot(job_id).count == 2
    with pytest.raises(UserError, match="another version"):
        other.resume(job_id)
    other.close()
