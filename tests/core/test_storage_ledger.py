"""What a visitor's files take, what refers to a stored file, and taking away what nothing refers to."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pruning_core.errors import UserError
from pruning_core.isolation.limits import Limits
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Artifact, Event
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.rules import Rules
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.storage.artifacts import DAY_S, Artifacts, DamagedError, named_in
from pruning_core.storage.database import MIGRATIONS, Database
from pruning_core.storage.garbage import collect
from pruning_core.storage.ledger import Ledger
from pruning_core.storage.workspace import Workspace


@dataclass(frozen=True)
class Writes(RunSpec):
    """Stores ``size`` bytes of one letter; ``given`` is a stored file that it would read."""

    kind: ClassVar[str] = "writes"
    letter: str
    size: int
    given: str = ""

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        yield Artifact("out", workspace.artifacts.put(self.letter.encode() * self.size), "text/plain")


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = server(tmp_path)
    yield made
    made.close()


def server(root: Path, rules: Rules | None = None) -> Jobs:
    return Jobs(Workspace(root), Catalogue((Writes,)), threads=1, rules=rules)


def done(jobs: Jobs, spec: Writes, owner: str) -> tuple[str, str]:
    """(job id, digest) of a finished run."""
    view = jobs.wait(jobs.submit(spec, owner), 20)
    assert view.state is State.DONE, view.error
    return view.id, view.all(Artifact)[0].digest


def aged(artifacts: Artifacts, days: float, *digests: str) -> None:
    for digest in digests:
        os.utime(artifacts.folder / digest[:2] / digest, (time.time() - days * DAY_S,) * 2)


def test_a_file_counts_once_and_for_everybody_whose_it_is(jobs: Jobs) -> None:
    _, a = done(jobs, Writes("a", 100), "ann")
    done(jobs, Writes("a", 100, given="twice"), "ann")
    done(jobs, Writes("b", 30), "bob")
    done(jobs, Writes("c", 7, given=a), "bob")
    upload = jobs.workspace.artifacts.put(b"u" * 1000)
    jobs.ledger.sent("ann", upload, "net.pt")
    jobs.ledger.sent("ann", "0" * 64, "nothing stored")
    assert jobs.ledger.used("ann") == 1100
    assert jobs.ledger.used("bob") == 137, "what a run was given counts for who runs it"
    assert jobs.ledger.used("eve") == 0 and jobs.ledger.uploads("bob") == ()
    assert [(each.name, each.size_bytes) for each in jobs.ledger.uploads("ann")] == [("net.pt", 1000)]
    assert sorted(jobs.ledger.of_runs("bob").values()) == [30, 107]


def test_what_was_deleted_goes_and_what_somebody_needs_stays(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("runs.jobs", "storage.ledger"):
        monkeypatch.setattr(f"pruning_core.{each}.DELETED_S", -1.0)
    store = jobs.workspace.artifacts
    first, a = done(jobs, Writes("a", 10), "ann")
    second, b = done(jobs, Writes("b", 10), "ann")
    done(jobs, Writes("c", 10, given=b), "bob")
    third, d = done(jobs, Writes("d", 10), "ann")
    (jobs.workspace.root / "desks").mkdir()
    (jobs.workspace.root / "desks" / "bob.json").write_text(f'{{"weights": "{d}"}}')
    upload = store.put(b"sent")
    jobs.ledger.sent("ann", upload, "x"), jobs.ledger.sent("bob", upload, "x")
    for each in (first, second, third):
        jobs.forget(each, "ann")
    jobs.ledger.forget("ann", upload)
    assert not store.has(a), "nothing needs it"
    assert store.has(b), "another's run was given it"
    assert store.has(d), "it is on a desk"
    assert store.has(upload), "another has sent it too"
    jobs.ledger.forget("bob", upload)
    assert not store.has(upload)


def test_deleting_leaves_what_somebody_stored_a_moment_ago(jobs: Jobs) -> None:
    job_id, digest = done(jobs, Writes("a", 10), "ann")
    jobs.forget(job_id, "ann")
    assert jobs.workspace.artifacts.has(digest), "who stored the same bytes just now may be about to name them"


def test_the_old_and_unneeded_is_collected_and_nothing_else(tmp_path: Path) -> None:
    store = Artifacts(tmp_path)
    old, needed, young, read = (store.put(name.encode()) for name in ("old", "needed", "young", "read"))
    aged(store, 31, old, needed, read)
    aged(store, 29, young)
    store.read(read)
    assert collect(store, lambda: {needed}, 30 * DAY_S).files == 1
    assert [store.has(each) for each in (old, needed, young, read)] == [False, True, True, True]
    assert collect(store, lambda: pytest.fail("nothing is old"), 30 * DAY_S).files == 0, "the needed one was marked"


def test_stored_again_while_it_is_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at its age and its removal somebody stores the same bytes."""
    store = Artifacts(tmp_path)
    digest = store.put(b"same")
    aged(store, 31, digest)

    def referred() -> set[str]:
        assert store.put(b"same") == digest
        return set()

    assert collect(store, referred, 30 * DAY_S).files == 0
    assert store.read(digest) == b"same" and not list(tmp_path.rglob(".part-*"))


def test_a_server_takes_away_what_nothing_refers_to(tmp_path: Path) -> None:
    store = Workspace(tmp_path).artifacts
    forgotten = store.put(b"of a run that is gone")
    aged(store, 40, forgotten)
    jobs = server(tmp_path)
    deadline = time.monotonic() + 20
    while store.has(forgotten) and time.monotonic() < deadline:
        time.sleep(0.02)
    jobs.close()
    assert not store.has(forgotten)


def test_who_has_stored_too_much_reads_what_to_do(tmp_path: Path) -> None:
    jobs = server(tmp_path, Rules(stored_each=100))
    first, _ = done(jobs, Writes("a", 100), "ann")
    with pytest.raises(UserError, match=r"take 0.00 MB of the 0.00 MB .* Delete some on the page Your files, or ask"):
        jobs.submit(Writes("b", 1), "ann")
    done(jobs, Writes("c", 1), "bob")
    jobs.forget(first, "ann")
    done(jobs, Writes("b", 1), "ann")
    with pytest.raises(UserError, match=r"this file has 2\.00 GB"):
        Rules(stored_each=3e9).admit_file(2_000_000_000, 1_000_000_001)
    Rules(stored_each=3e9).admit_file(2_000_000_000, 1_000_000_000)
    jobs.close()


def test_the_memory_of_a_run_has_a_limit_of_its_own(tmp_path: Path) -> None:
    class House:
        children = None

        def __init__(self, memory: int | None) -> None:
            self.memory = memory

        def limits(self, spec: RunSpec, workspace: Workspace) -> Limits:
            return Limits(memory=self.memory)

        def provide(self, *_: object) -> None: ...

    for free, most, given in ((10, 7.0, 7), (5, 7.0, 5), (None, 7.0, 7), (None, float("inf"), None)):
        jobs = Jobs(Workspace(tmp_path), Catalogue((Writes,)), 1, House(free), Rules(memory=most))  # type: ignore[arg-type]
        outside = jobs._outside(Writes("a", 1))
        assert outside is not None and outside.limits.memory == given
        jobs.close()


def test_an_older_database_learns_which_files_its_runs_name(tmp_path: Path) -> None:
    path, digest = tmp_path / "prunescope.sqlite", hashlib.sha256(b"x").hexdigest()
    with sqlite3.connect(path) as old:
        for step in MIGRATIONS[:2]:
            old.executescript(str(step))
        old.execute("PRAGMA user_version = 2")
        old.execute(
            "INSERT INTO jobs VALUES ('j', 'k', 'w', 't', '{}', 'cpu', 'done', NULL, 1, 's', 1, 1, 1, 1, 'ann')"
        )
        old.execute("INSERT INTO events VALUES ('j', 0, ?)", (f'{{"digest":"{digest}"}}',))
        old.execute("INSERT INTO owners VALUES ('j', 'ann', 1)")
    old.close()
    found = Workspace(tmp_path)
    assert found.artifacts.put(b"x") == digest
    assert Ledger(found).used("ann") == 1 and Ledger(found).referred() == {digest}
    assert Database(path).connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


def test_names_of_files_are_found_whole() -> None:
    name = "0" * 63 + "f"
    assert named_in(f'"{name}" {name}0 x{name}') == {name}


def test_the_run_that_made_a_damaged_file_makes_it_again(jobs: Jobs) -> None:
    job_id, digest = done(jobs, Writes("a", 10), "ann")
    done(jobs, Writes("b", 10, given=digest), "ann")
    store = jobs.workspace.artifacts
    store.path(digest).write_bytes(b"damaged")
    with pytest.raises(DamagedError) as caught:
        store.read(digest)
    assert jobs.maker(caught.value.digest, "bob") is None
    made = jobs.maker(caught.value.digest, "ann")
    assert made is not None and made.id == job_id
    again = jobs.wait(jobs.submit(jobs.spec(made.id), "ann", fresh=True), 20)
    assert again.state is State.DONE and store.read(digest) == b"a" * 10
