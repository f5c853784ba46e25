"""Damaged, foreign, old and full: a true sentence each, and nothing is made worse."""

from __future__ import annotations

import errno
import hashlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pruning_core.errors import UserError
from pruning_core.storage import trouble
from pruning_core.storage.artifacts import Artifacts
from pruning_core.storage.database import MIGRATIONS, Database
from pruning_core.storage.workspace import Workspace

ROOT = Path(__file__).parents[2]


def flip(path: Path, at: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_flipped_byte_is_an_error_and_never_read(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    name = store.put(b"weights of a network")
    flip(store.path(name), 5)
    for look in (store.path, store.read):
        with pytest.raises(UserError, match="damaged: its bytes are not those that were stored"):
            look(name)
    with pytest.raises(UserError, match="damaged"):
        Artifacts(tmp_path / "child", behind=tmp_path).read(name)
    assert store.put(b"weights of a network") == name and store.read(name) == b"weights of a network", "stored anew"


def test_a_network_with_a_flipped_byte_is_not_opened(workspace: Workspace) -> None:
    import torch

    from pruning_core.storage.weights import store_weights
    from pruning_core.zoo import ModelRef, load_model

    name = store_weights(torch.nn.Linear(2, 2).state_dict(), workspace)
    flip(workspace.artifacts.path(name), -1)
    with pytest.raises(UserError, match="damaged"):
        load_model(ModelRef("upload", "net", name, "resnet18"), workspace)


def test_decoded_images_with_a_flipped_byte_are_decoded_again(tmp_path: Path) -> None:
    import torch

    from pruning_core.datasets import decoded
    from pruning_core.datasets.raw import Raw

    raw = Raw(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), ("a",))
    path = tmp_path / "copy.safetensors"
    decoded.save(path, raw)
    assert decoded.load(path) is not None
    flip(path, -1)
    assert decoded.load(path) is None and not path.exists()


def content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as rows:
        rows.execute("CREATE TABLE bookmarks (url)")


def text(path: Path) -> None:
    path.write_text("This is no database, but it is longer than the header of one would be. " * 40)


def torn(path: Path) -> None:
    """Ours, with a page of rubbish in the middle."""
    Database(path).close()
    rows = sqlite3.connect(path)
    with rows:
        rows.executemany("INSERT INTO events VALUES (?, ?, ?)", ((f"job {n}", n, "x" * 500) for n in range(400)))
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows.close()
    data = bytearray(path.read_bytes())
    middle = len(data) // 8192 * 4096
    data[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(data)


def newer(path: Path) -> None:
    Database(path).close()
    rows = sqlite3.connect(path, isolation_level=None)
    rows.execute("PRAGMA user_version = 99")
    rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rows.close()


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (foreign, "belongs to another program"),
        (text, "is damaged, so nothing is read"),
        (torn, "is damaged, so nothing is read"),
        (newer, "written by a newer version"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_and_left_alone(tmp_path: Path, harm, sentence: str) -> None:
    path = tmp_path / "prunescope.sqlite"
    harm(path)
    before = content(path)
    with pytest.raises(UserError, match=sentence):
        Workspace(tmp_path)
    assert content(path) == before


def test_a_database_of_the_first_version_is_taken_over_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "prunescope.sqlite"
    with sqlite3.connect(path) as rows:
        for statement in MIGRATIONS[0].split(";"):
            rows.execute(statement)
        rows.execute("PRAGMA user_version = 1")
        rows.execute("INSERT INTO jobs VALUES ('a', 'k', 'count', 't', '{}', 'cpu', 'done', NULL, 1, 's', 1, 1, 2, 1)")
    rows.close()
    opened = Workspace(tmp_path).database.connection
    assert opened.execute("SELECT id FROM jobs").fetchone()[0] == "a"
    assert opened.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


def test_sqlite_itself_says_each_sentence(tmp_path: Path) -> None:
    """The errors are the library's own, not made up."""

    def said(work) -> str:
        with pytest.raises(sqlite3.Error) as caught:
            work()
        return trouble.sentence_of(caught.value)

    full = sqlite3.connect(tmp_path / "full")
    full.execute("CREATE TABLE t (x)")
    full.execute("PRAGMA max_page_count = 2")
    assert said(lambda: full.execute("INSERT INTO t VALUES (zeroblob(100000))")) == trouble.FULL
    only = sqlite3.connect(f"file:{tmp_path / 'full'}?mode=ro", uri=True)
    assert said(lambda: only.execute("INSERT INTO t VALUES (1)")) == trouble.READ_ONLY
    full.execute("BEGIN EXCLUSIVE")
    held = sqlite3.connect(tmp_path / "full", timeout=0)
    assert said(lambda: held.execute("SELECT * FROM t")) == trouble.BUSY
    (tmp_path / "text").write_text("no database " * 200)
    assert said(lambda: sqlite3.connect(tmp_path / "text").execute("SELECT 1 FROM t")) == trouble.DAMAGED
    assert trouble.sentence_of(sqlite3.OperationalError("no such table: jobs")) == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_no_draft_and_what_was_there(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Artifacts(tmp_path)
    kept = store.put(b"before")

    def full(handle: int) -> None:
        raise OSError(number, "no room")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no room") as caught:
        store.put(b"after")
    assert trouble.sentence_of(caught.value) == trouble.FULL
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [kept]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_who_may_not_write_is_said_of_the_data_directory_alone(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNESCOPE_DATA", str(tmp_path / "data"))
    ours, elsewhere = (str(tmp_path / name / "artifacts" / "ab") for name in ("data", "other"))
    assert trouble.sentence_of(PermissionError(number, "not permitted", ours)) == trouble.READ_ONLY
    assert trouble.sentence_of(PermissionError(number, "not permitted", elsewhere)) == "", "a bug, or somebody else's"
    assert trouble.sentence_of(PermissionError(number, "not permitted")) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux")
def test_the_system_itself_says_that_a_disk_is_full() -> None:
    with pytest.raises(OSError, match="No space") as caught, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    assert trouble.sentence_of(caught.value) == trouble.FULL
    from safetensors import SafetensorError

    assert trouble.sentence_of(SafetensorError("I/O error: No space left on device (os error 28)")) == trouble.FULL


def test_two_servers_may_start_on_one_empty_directory_at_once(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pruning_core.storage.workspace import Workspace\n"
    code += f"Workspace({str(tmp_path)!r}); print('ok')"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [each.communicate(timeout=60)[0].strip() for each in both] == ["ok"] * 4
