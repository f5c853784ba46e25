"""The commands of docs/trust.md, run: a copy made while a server works is a data directory that works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_runs import FAKES, GATES, PATIENCE, Count, Gate

from pruning_core.errors import UserError
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Progress
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.view import State
from pruning_core.storage.draft import PART
from pruning_core.storage.workspace import Workspace
from tools.backup import backup

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    """Those under "backup, restore", in order."""
    part = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8").split("## Stopping, backup, restore")[1]
    blocks = re.findall(r"```\n(.*?)```", part, re.DOTALL)
    return "".join(blocks).strip().splitlines()


def run(command: str, data: Path, kept: Path) -> str:
    """As a person would, with a backup folder of the test's."""
    python = f'"{sys.executable}" '
    environment = {**os.environ, "PRUNESCOPE_DATA": str(data)}
    text = command.replace("/backup", str(kept)).replace("python ", python)
    return subprocess.run(
        text, shell=True, check=True, cwd=ROOT, env=environment, capture_output=True, text=True
    ).stdout


def test_a_backup_made_at_work_is_restored_with_runs_and_files(tmp_path: Path) -> None:
    made, restored_by = commands()
    GATES["backup"] = Gate()
    jobs = Jobs(Workspace(tmp_path / "data"), Catalogue(FAKES), threads=1)
    done = jobs.submit(Count(5), "ann")
    jobs.wait(done, PATIENCE)
    stored = jobs.workspace.artifacts.put(b"a network")
    jobs.ledger.sent("ann", stored, "net.pt")
    running = jobs.submit(Count(4, "backup", hold=2), "ann")
    assert GATES["backup"].reached.wait(PATIENCE)

    kept, data = tmp_path / "kept", tmp_path / "again"
    assert "files copied" in run(made, tmp_path / "data", kept)
    GATES["backup"].open.set()
    jobs.close(PATIENCE)

    data.mkdir()
    run(restored_by, data, kept)
    restored = Jobs(Workspace(data), Catalogue(FAKES), threads=1)
    assert restored.snapshot(done).count == 5 and restored.workspace.artifacts.read(stored) == b"a network"
    assert restored.ledger.used("ann") == len(b"a network")
    assert restored.snapshot(running).state is State.INTERRUPTED
    restored.resume(running, "ann")
    view = restored.wait(running, PATIENCE)
    assert view.state is State.DONE and [event.done for event in view.all(Progress)] == [1, 2, 3, 4]
    restored.close(PATIENCE)


def test_again_into_the_same_folder_copies_what_is_new(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "data")
    first = place.artifacts.put(b"one")
    (place.root / "cache").mkdir()
    (place.root / "cache" / "decoded").write_bytes(b"made again")
    assert backup(place.root, tmp_path / "kept") == 2, "the database and one file"
    second = place.artifacts.put(b"two")
    assert backup(place.root, tmp_path / "kept") == 2
    kept = Workspace(tmp_path / "kept").artifacts
    with pytest.raises(UserError, match="outside the data directory"):
        backup(place.root, place.root / "kept")
    assert (kept.read(first), kept.read(second)) == (b"one", b"two")
    assert not (tmp_path / "kept" / "cache").exists() and not list((tmp_path / "kept").rglob(f"{PART}*"))
