"""Codec, artifacts, database, workspace: what is written is what is read."""

from __future__ import annotations

import dataclasses
import io
import json
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.allocation.budget import Budget, Kind
from pruning_core.errors import UserError
from pruning_core.graph import LayerCost
from pruning_core.runs.events import OWN
from pruning_core.storage.artifacts import Artifacts, replacing
from pruning_core.storage.codec import Codec, UnknownClass, digest, dump
from pruning_core.storage.database import MIGRATIONS, Database
from pruning_core.storage.place import default_root
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.specs import EVENTS, PRODUCT, VALUES
from pruning_core.zoo import ModelRef


@dataclass(frozen=True)
class Inner:
    rate: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    inner: Inner | None
    ratios: dict[str, float]
    flag: bool = False


CODEC = Codec((Inner, Outer))
FLOATS = st.floats(allow_nan=False)
INNER = st.builds(Inner, FLOATS, st.lists(st.text()).map(tuple))
KEYS = st.text().filter(lambda key: key != "$")
OUTER = st.builds(Outer, st.none() | INNER, st.dictionaries(KEYS, FLOATS), st.booleans())
BY_HINT = {"int": st.integers(), "float": FLOATS, "str": st.text(), "bool": st.booleans()}
BY_HINT["Kind"] = st.sampled_from(get_args(Kind))
BY_HINT["Budget"] = st.builds(Budget, BY_HINT["Kind"], st.floats(0.01, 1)) | st.builds(
    Budget, BY_HINT["Kind"], amount=st.floats(1, 1e9)
)
BY_HINT["Mapping[str, str]"] = st.dictionaries(KEYS, st.text())
BY_HINT["Mapping[str, float]"] = st.dictionaries(KEYS, FLOATS, max_size=4)
BY_HINT["tuple[float, ...]"] = st.lists(FLOATS, max_size=4).map(tuple)
BY_HINT["tuple[float, float]"] = st.tuples(FLOATS, FLOATS)
BY_HINT["Mapping[str, tuple[int, ...]]"] = st.dictionaries(KEYS, st.lists(st.integers()).map(tuple), max_size=4)

BY_HINT["tuple[str, ...]"] = st.lists(st.text()).map(tuple)
BY_HINT["tuple[int, ...]"] = st.lists(st.integers()).map(tuple)
BY_HINT["tuple[tuple[LayerCost, LayerCost], ...]"] = st.just(((LayerCost("a", "b", (1, 2), (3,), 4, 5),) * 2,))
BY_HINT["ModelRef"] = st.builds(
    ModelRef, st.just("pruned"), st.text(), base=st.builds(ModelRef, st.just("demo"), st.text())
)


def events() -> st.SearchStrategy[Any]:
    """Any event of any class, from the field types alone: a new event class is tested by being listed."""

    by_name = {cls.__name__: cls for cls in (*OWN, *EVENTS, *VALUES)}  # an event may stand in a field of another one

    def hinted(hint: str) -> st.SearchStrategy[Any]:
        if hint not in BY_HINT and hint.startswith("tuple[") and hint.endswith(", ...]"):
            return st.lists(hinted(hint[len("tuple[") : -len(", ...]")]), max_size=3).map(tuple)
        return st.none() if hint == "None" else BY_HINT[hint] if hint in BY_HINT else of(by_name[hint])

    def of(cls: type) -> st.SearchStrategy[Any]:
        fields = {}
        for field in dataclasses.fields(cls):
            fields[field.name] = st.one_of(*[hinted(part) for part in str(field.type).split(" | ")])
        return st.builds(cls, **fields)

    return st.one_of(*[of(cls) for cls in (*OWN, *EVENTS)])


@given(OUTER)
@settings(deadline=None)
def test_values_come_back_equal_with_strict_json(value: Outer) -> None:
    text = dump(value)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert CODEC.load(text) == value


@given(events())
@settings(deadline=None)
def test_every_event_comes_back_equal(event: Any) -> None:
    assert PRODUCT.event(dump(event)) == event


def test_nan_is_kept() -> None:
    back = CODEC.load(dump(Inner(float("nan"))))
    assert back.rate != back.rate


@given(OUTER)
@settings(deadline=None)
def test_equal_values_have_equal_digests(value: Outer) -> None:
    backwards = dict(reversed(value.ratios.items()))
    assert digest(dataclasses.replace(value, ratios=backwards)) == digest(value)
    assert digest(Inner(1)) == digest(Inner(1.0)) != digest(Inner(2))


def test_only_named_classes_come_out_and_only_plain_values_go_in() -> None:
    with pytest.raises(UnknownClass):
        CODEC.load('{"$":"Popen","args":["true"]}')
    for bad in ({1: 2}, {"$": "Inner"}, {1, 2}, object(), b"x"):
        with pytest.raises(TypeError):
            dump(bad)
    with pytest.raises(ValueError, match="two stored classes"):
        Codec((Inner, dataclasses.make_dataclass("Inner", ["x"])))


def test_fields_that_came_or_went_do_not_break_old_rows() -> None:
    assert CODEC.load('{"$":"Inner","rate":1.5,"gone":3}') == Inner(1.5)


@given(st.binary(max_size=3000))
@settings(deadline=None)
def test_artifacts_are_named_by_their_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    artifacts = Artifacts(tmp_path_factory.mktemp("artifacts"))
    name = artifacts.put(data)
    assert name == artifacts.put_file(io.BytesIO(data)) == artifacts.put(data)
    assert artifacts.read(name) == data and artifacts.has(name)
    assert [path.name for path in artifacts.folder.rglob("*") if path.is_file()] == [name]
    assert artifacts.put_file(artifacts.path(name)) == name


def test_a_failed_write_leaves_nothing_and_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    with replacing(target) as file:
        file.write(b"old")
    with pytest.raises(ZeroDivisionError), replacing(target) as file:
        file.write(b"half of the n")
        raise ZeroDivisionError
    assert target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_a_digest_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="64 hexadecimal"):
        Artifacts(tmp_path).path(name)


def test_a_missing_artifact_is_said(tmp_path: Path) -> None:
    assert not Artifacts(tmp_path).has("0" * 64)
    with pytest.raises(UserError, match="no longer in the data directory"):
        Artifacts(tmp_path).read("0" * 64)


def test_each_thread_has_a_connection_in_wal_mode_with_foreign_keys(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    seen = [database.connection]
    thread = threading.Thread(target=lambda: seen.append(database.connection))
    thread.start()
    thread.join()
    assert seen[0] is database.connection and seen[0] is not seen[1]
    for pragma, value in (("journal_mode", "wal"), ("foreign_keys", 1), ("user_version", len(MIGRATIONS))):
        assert seen[1].execute(f"PRAGMA {pragma}").fetchone()[0] == value
    database.close()
    with pytest.raises(sqlite3.ProgrammingError):
        seen[1].execute("SELECT 1")
    assert database.connection.execute("SELECT 1").fetchone()[0] == 1


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    database.connection.execute("CREATE TABLE t (x)")
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        raise ZeroDivisionError
    assert database.connection.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def test_a_newer_database_is_refused_in_words(tmp_path: Path) -> None:
    Database(tmp_path / "db").connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="newer version"):
        Database(tmp_path / "db")


def test_the_workspace_finds_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNESCOPE_DATA", str(tmp_path / "chosen"))
    assert Workspace().root == tmp_path / "chosen"
    monkeypatch.delenv("PRUNESCOPE_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_root() == tmp_path / "xdg" / "prunescope"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_root() == Path.home() / ".local/share/prunescope"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        Workspace(tmp_path / "file" / "below")


def test_scratch_comes_and_goes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (workspace.scratch("key") / "x").write_text("1")
    workspace.drop_scratch("key")
    workspace.drop_scratch("key")
    assert not (tmp_path / "scratch" / "key").exists()


def test_stored_jobs_are_shown_without_loading_torch() -> None:
    code = "import sys, pruning_core.runs.jobs, pruning_core.runs.events; print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
