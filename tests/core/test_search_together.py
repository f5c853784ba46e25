"""Two processes share one search in a database: together they make its trials, and both know all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.sampled import Tpe
from pruning_core.allocation.search import Search
from pruning_core.apart.places import limits_of
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.methods.recoveries import JustCut
from pruning_core.runs.events import Event
from pruning_core.storage.workspace import Workspace
from pruning_core.studies import search
from pruning_core.studies.search import STORAGE, Contest, SearchRun
from pruning_core.studies.spreading import split
from pruning_core.studies.tried import Finalist, Tried
from pruning_core.zoo import DEMOS, ModelRef

TRIALS = 6
SPEC = SearchRun(
    DEMOS[0].ref, DIGITS, search=Search(Tpe(startup=2), trials=TRIALS), budgets=(Budget("macs", fraction=0.5),),
    images=60, recovery=JustCut(), control=False, device="cpu",
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STORAGE, f"sqlite:///{tmp_path / 'searches.sqlite'}")
    return tmp_path / "searches.sqlite"


def by_one(home: Path, talk: Connection, own: list[int]) -> list[Event]:
    """A search whose every own trial waits for leave; ``own`` gets their positions."""
    judged = Contest.judged

    def counted(self: Contest, plan):  # type: ignore[no-untyped-def]
        talk.send("trying")
        talk.recv()
        own.append(len(self.trials["tpe"]))
        return (yield from judged(self, plan))

    Contest.judged = counted  # type: ignore[method-assign]
    return list(SPEC.run(Workspace(home)))


def process(home: Path, talk: Connection) -> None:
    own: list[int] = []
    events = by_one(home, talk, own)
    talk.send((len(own), [e for e in events if isinstance(e, Tried)], [e for e in events if isinstance(e, Finalist)]))


def test_two_processes_make_the_trials_of_one_search_together(database: Path, tmp_path: Path) -> None:
    fork, ends = get_context("fork"), []
    for name in ("a", "b"):
        here, there = fork.Pipe()
        fork.Process(target=process, args=(tmp_path / name, there), daemon=True).start()
        ends.append(here)
    found: dict[int, tuple[int, list[Tried], list[Finalist]]] = {}
    assert [end.recv() for end in ends] == ["trying", "trying"], "both have begun before either goes on"
    for end in ends:
        end.send("go")
    while len(found) < 2:
        for number, end in enumerate(ends):
            if number not in found and end.poll(0.05):
                said = end.recv()
                if said == "trying":
                    end.send("go")
                else:
                    found[number] = said
    (mine, here, first), (theirs, there, second) = found[0], found[1]
    assert mine + theirs == TRIALS and mine and theirs
    assert len(here) == len(there) == TRIALS and same(here) == same(there)
    ends_of = [[replace(e.accuracy, seconds=0.0) for e in ends[:2]] for ends in (first, second)]
    assert ends_of[0] == ends_of[1], "the unpruned and the uniform network are the same ones"
    again = list(SPEC.run(Workspace(tmp_path / "c")))  # who comes later finds all of it done
    assert same([e for e in again if isinstance(e, Tried)]) == same(here)


def same(events: list[Tried]) -> dict[int, Tried]:
    """By number, without what depends on the order in which they were heard of."""
    return {e.trial.number: replace(e, trial=replace(e.trial, front=False)) for e in events}


def test_what_was_cancelled_is_tried_by_the_next(database: Path, workspace: Workspace) -> None:
    with closing(_until_the_second(workspace)) as events:
        assert isinstance(next(events), Tried)
    rest = [e for e in SPEC.run(workspace) if isinstance(e, Tried)]
    assert len(rest) == TRIALS


def _until_the_second(workspace: Workspace) -> Iterator[Event]:
    for event in SPEC.run(workspace):
        if isinstance(event, Tried):
            yield event


def test_a_database_that_is_not_there_is_said_without_its_address(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE, "postgresql://me:hunter2@127.0.0.1:9/none")
    with pytest.raises(UserError, match="cannot be opened") as raised:
        list(SPEC.run(workspace))
    assert "hunter2" not in str(raised.value)


def test_a_shared_search_stays_in_the_server_and_a_strangers_program_is_not_shared(
    database: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits_of(SPEC, workspace) is None and split(SPEC) is None
    foreign = replace(SPEC, model=ModelRef("upload", "net.pt2", weights="0" * 64, architecture="exported"))
    assert not search.shared(foreign) and limits_of(foreign, workspace) is not None
    monkeypatch.delenv(STORAGE)
    assert limits_of(SPEC, workspace) is not None and split(SPEC) is not None
