"""What is cleaned away, and what is not: nothing that a living process uses."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_runs import FAKES, GATES, PATIENCE, Count, Gate, Saves

from pruning_core.runs import upkeep
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.store import Job, Store
from pruning_core.runs.view import State
from pruning_core.storage.cleaning import DAY_S, clean
from pruning_core.storage.presence import LOCKS, Presence
from pruning_core.storage.workspace import Workspace

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from pruning_core.storage.artifacts import replacing
with replacing(Path({path!r})) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


def old(path: Path, seconds: float) -> Path:
    """As if nothing had touched it for so long."""
    for each in (*path.rglob("*"), path):
        os.utime(each, (time.time() - seconds,) * 2)
    return path


def written(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="without locks only the age tells")
def test_a_draft_goes_when_its_writer_was_killed_and_not_before(tmp_path: Path) -> None:
    code = WRITER.format(root=str(ROOT), path=str(tmp_path / "artifacts" / "ab" / "file"))
    writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline().strip() == "writing"
    [draft] = (tmp_path / "artifacts").rglob(".part-*")
    old(draft, 300)
    assert clean(tmp_path, lambda key: None).files == 0 and draft.exists(), "somebody writes it"
    writer.kill()
    writer.communicate()
    assert draft.exists(), "that is what a kill leaves"
    cleaned = clean(tmp_path, lambda key: None)
    assert (cleaned.files, cleaned.size_bytes) == (1, 4) and not draft.exists()


def test_only_scratch_files_that_nobody_can_take_up_go(tmp_path: Path) -> None:
    states = {"done": False, "stopped": True, "unknown": None, "forgotten": None}
    folders = {name: written(tmp_path / "scratch" / name / "place.pt").parent for name in states}
    for name in ("done", "stopped", "forgotten"):
        old(folders[name], 8 * DAY_S)
    clean(tmp_path, lambda key: states[key])
    assert {name for name, folder in folders.items() if folder.exists()} == {"stopped", "unknown"}


def test_decoded_copies_go_when_nobody_has_used_them_for_a_month(tmp_path: Path) -> None:
    used, unused = (written(tmp_path / "cache" / "images" / f"{name}.safetensors") for name in ("used", "unused"))
    old(used, 29 * DAY_S), old(unused, 31 * DAY_S)
    clean(tmp_path, lambda key: None)
    assert used.exists() and not unused.exists()


def test_locks_of_dead_servers_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    alive = Presence(tmp_path / LOCKS)
    dead = written(tmp_path / LOCKS / "dead.lock")
    kept = written(tmp_path / "artifacts" / "ab" / ("ab" * 32))
    old(kept, 900 * DAY_S)
    clean(tmp_path, lambda key: None)
    assert not dead.exists() and [path.stem for path in (tmp_path / LOCKS).iterdir()] == [alive.id]
    assert kept.exists(), "uploads and results are nobody's to clean"
    alive.close()


def test_a_server_cleans_when_it_starts(tmp_path: Path) -> None:
    draft = old(written(tmp_path / "artifacts" / ".part-left"), 300)
    scratch = written(tmp_path / "scratch" / Saves("clean").key / "best").parent
    first = Jobs(Workspace(tmp_path), Catalogue(FAKES), threads=1)
    store = Store(first.workspace.database, Catalogue(FAKES))
    spec = Saves("clean")
    store.insert(Job("id", spec.key, spec.kind, spec.title, spec, "cpu", "nobody", State.CANCELLED))
    deadline = time.monotonic() + PATIENCE
    while draft.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert scratch.exists(), "a cancelled run can be taken up again"
    first.close(PATIENCE)


def test_a_run_whose_server_is_gone_says_so_to_a_server_that_was_there_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_S", 0.05)
    GATES["gone"] = Gate()
    dies = Jobs(Workspace(tmp_path), Catalogue(FAKES), threads=1)
    job_id = dies.submit(Count(3, "gone", hold=2), "ann")
    assert GATES["gone"].reached.wait(PATIENCE)
    stays = Jobs(Workspace(tmp_path), Catalogue(FAKES), threads=1)
    time.sleep(0.3)
    assert stays.snapshot(job_id).state is State.RUNNING, "its server lives"
    dies._presence.close()  # as the system does when a process is killed
    deadline = time.monotonic() + PATIENCE
    while stays.snapshot(job_id).state is State.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert stays.snapshot(job_id).state is State.INTERRUPTED
    GATES["gone"].open.set()
    dies.close(PATIENCE)
    stays.close(PATIENCE)
