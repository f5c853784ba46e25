"""A crew does pieces: in any order, again where a worker is lost, and no longer than somebody waits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pruning_core import __version__
from pruning_core.errors import UserError
from pruning_core.runs import piece
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.crew import ATTEMPTS, CLUSTER, Crew, Hands
from pruning_core.runs.events import Artifact, Event, Stage
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.piece import Asked, Brought
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace


@dataclass(frozen=True)
class Word(RunSpec):
    """Says its word; ``file`` names one to read, ``fatal`` a folder in which as many workers leave their lives."""

    kind: ClassVar[str] = "word"
    word: str
    file: str = ""
    fatal: str = ""
    lives: int = 1

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        if self.fatal and len(list(Path(self.fatal).iterdir())) < self.lives:
            (Path(self.fatal) / str(os.getpid())).touch()
            os._exit(9)
        if self.word == "refused":
            raise UserError("Choose another word.")
        read = workspace.artifacts.read(self.file).decode() if self.file else ""
        yield Artifact(self.word, workspace.artifacts.put(self.word.encode()), read)


@dataclass(frozen=True)
class Words(RunSpec):
    """A run in pieces; by itself it says that it is alone."""

    kind: ClassVar[str] = "words"
    words: tuple[str, ...]

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        yield Stage("alone")

    def spread(self, workspace: Workspace, past: tuple[Event, ...], crew: Crew) -> Iterator[Event]:
        with Hands(crew, workspace) as hands:
            for _ in hands.reach():
                yield Stage("reaching")
            for word in self.words:
                hands.give(Word(word))
            for found in hands.results():
                yield from found[1] if found else (Stage("waiting"),)


FAKES = Catalogue((Word, Words))


def task(asked: Asked, *sent: bytes) -> Brought:
    return piece.do(FAKES, asked, sent)


def crew_of(executor: Executor, **more: Any) -> Crew:
    return Crew(
        lambda: executor, task, FAKES, lambda spec: spec.spread if isinstance(spec, Words) else None, **more
    )  # fmt: skip


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def said(hands: Hands) -> list[str]:
    return [e.name for found in hands.results() if found for e in found[1] if isinstance(e, Artifact)]


def test_pieces_come_back_with_their_files(threads: Executor, workspace: Workspace) -> None:
    with Hands(crew_of(threads), workspace) as hands:
        for word in ("one", "two", "two", "three"):
            hands.give(Word(word))
        found = [e for each in hands.results() if each for e in each[1] if isinstance(e, Artifact)]
    assert sorted(e.name for e in found) == ["one", "three", "two"]
    assert all(workspace.artifacts.read(e.digest).decode() == e.name for e in found)


def test_what_a_lost_worker_had_begun_is_done_again(workspace: Workspace, tmp_path: Path) -> None:
    (fatal := tmp_path / "fatal").mkdir()
    pools: list[Executor] = []

    def opened() -> Executor:
        pools.append(ProcessPoolExecutor(1, mp_context=get_context("fork")))
        return pools[-1]

    crew = replace(crew_of(ThreadPoolExecutor(1)), open=opened)
    try:
        with Hands(crew, workspace) as hands:
            hands.give(Word("mortal", fatal=str(fatal), lives=2))
            hands.give(Word("beside"))
            assert sorted(said(hands)) == ["beside", "mortal"]
        assert len(list(fatal.iterdir())) == 2 and len(pools) == 3
        with Hands(crew, workspace) as hands, pytest.raises(UserError, match=f"{ATTEMPTS} times"):
            hands.give(Word("mortal", fatal=str(fatal), lives=100))
            said(hands)
        assert len(list(fatal.iterdir())) == 2 + ATTEMPTS
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)


def test_a_worker_elsewhere_is_sent_what_it_lacks_and_keeps_it(
    threads: Executor, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRUNESCOPE_DATA", str(tmp_path / "theirs"))
    shared: list[bytes] = []

    def share(data: bytes) -> bytes:
        shared.append(data)
        return data

    crew = crew_of(threads, near=False, share=share)
    name = workspace.artifacts.put(b"weights")
    for word in ("first", "second"):
        with Hands(crew, workspace) as hands:
            hands.give(Word(word, file=name))
            events = [e for found in hands.results() if found for e in found[1]]
            assert "weights" in [e.media_type for e in events if isinstance(e, Artifact)]
    assert shared == [b"weights"] and not (tmp_path / "theirs" / "prunescope.sqlite").exists()


def test_what_a_worker_says_to_a_person_is_read_here(threads: Executor, workspace: Workspace) -> None:
    with Hands(crew_of(threads), workspace) as hands, pytest.raises(UserError, match="another word"):
        hands.give(Word("refused"))
        list(hands.results())
    old = piece.do(FAKES, Asked("", "0.0.1"), ())
    assert "0.0.1" in old.problem and not old.events


def test_whoever_stops_waiting_calls_off_what_has_not_begun(workspace: Workspace) -> None:
    free = threading.Event()
    with ThreadPoolExecutor(1) as one:
        one.submit(free.wait)
        with Hands(crew_of(one), workspace) as hands:
            hands.give(Word("never"))
            assert next(iter(hands.results())) is None, "it says that it waits"
            (future,) = hands._waiting
        free.set()
        assert future.cancelled()


def test_a_cancel_is_answered_while_the_crew_is_out_of_reach(threads: Executor, workspace: Workspace) -> None:
    there, asked = threading.Event(), threading.Event()

    def opened() -> Executor:
        asked.set()
        there.wait(30)
        return threads

    jobs = Jobs(workspace, FAKES, threads=1, crew=replace(crew_of(threads), open=opened))
    try:
        job = jobs.submit(Words(("a",)), "ann")
        assert asked.wait(20)
        began = time.monotonic()
        jobs.cancel(job)
        assert jobs.wait(job, 10).state is State.CANCELLED and time.monotonic() - began < 1.0
        there.set()
        jobs.resume(job)
        seen = jobs.wait(job, 20)
        assert seen.state is State.DONE and [e.name for e in seen.events if isinstance(e, Artifact)] == ["a"]
    finally:
        there.set()
        jobs.close()


def test_a_piece_that_nobody_wants_any_more_ends_at_its_next_event(workspace: Workspace) -> None:
    asked = Asked(dump(Words(("a", "b"))), __version__, str(workspace.root))
    assert piece.do(FAKES, asked, ()).events
    off = piece.do(FAKES, asked, (), unwanted=lambda: True)
    assert off.problem and not off.events


def test_runs_that_can_be_split_have_a_queue_of_their_own(threads: Executor, workspace: Workspace) -> None:
    jobs = Jobs(workspace, FAKES, threads=1, crew=crew_of(threads))
    try:
        seen = jobs.wait(jobs.submit(Words(("a", "b")), "ann"), 20)
        assert seen.state is State.DONE and seen.device == CLUSTER
        assert {e.name for e in seen.events if isinstance(e, Artifact)} == {"a", "b"}
        assert jobs.wait(jobs.submit(Word("home"), "ann"), 20).device == "cpu"
    finally:
        jobs.close()
