"""The recipe of docs/trust.md: a copy made while a server runs is a data directory that works."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from fake_runs import FAKES, GATES, PATIENCE, Count, Gate

from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Progress
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.view import State
from pruning_core.storage.workspace import Workspace


def test_a_backup_made_at_work_is_restored_with_runs_and_files(tmp_path: Path) -> None:
    GATES["backup"] = Gate()
    jobs = Jobs(Workspace(tmp_path / "data"), Catalogue(FAKES), threads=1)
    done = jobs.submit(Count(5), "ann")
    jobs.wait(done, PATIENCE)
    stored = jobs.workspace.artifacts.put(b"a network")
    running = jobs.submit(Count(4, "backup", hold=2), "ann")
    assert GATES["backup"].reached.wait(PATIENCE)

    (tmp_path / "backup").mkdir()
    source, target = (sqlite3.connect(tmp_path / name / "prunescope.sqlite") for name in ("data", "backup"))
    source.backup(target)  # what `.backup` of its shell does
    source.close(), target.close()
    left_out = shutil.ignore_patterns("prunescope.sqlite*", "servers", "children", "cache", ".part-*")
    shutil.copytree(tmp_path / "data", tmp_path / "backup", ignore=left_out, dirs_exist_ok=True)
    GATES["backup"].open.set()
    jobs.close(PATIENCE)

    restored = Jobs(Workspace(tmp_path / "backup"), Catalogue(FAKES), threads=1)
    assert restored.snapshot(done).count == 5 and restored.workspace.artifacts.read(stored) == b"a network"
    assert restored.snapshot(running).state is State.INTERRUPTED
    restored.resume(running, "ann")
    view = restored.wait(running, PATIENCE)
    assert view.state is State.DONE and [event.done for event in view.all(Progress)] == [1, 2, 3, 4]
    restored.close(PATIENCE)
