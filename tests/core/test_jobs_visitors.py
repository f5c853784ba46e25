"""Visitors who share a server: turns, limits, and whose run it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runs import FAKES, GATES, PATIENCE, STARTED, Count, Gate, Unasked

from pruning_core.errors import UserError
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.line import Line
from pruning_core.runs.rules import Rules
from pruning_core.runs.view import Cancel, State
from pruning_core.storage.workspace import Workspace


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[Jobs]]:
    GATES.clear()
    STARTED.clear()
    every: list[Jobs] = []
    yield every
    for gate in GATES.values():
        gate.open.set()
    for jobs in every:
        jobs.close(PATIENCE)


def server(made: list[Jobs], tmp_path: Path, rules: Rules | None = None) -> Jobs:
    made.append(Jobs(Workspace(tmp_path), Catalogue(FAKES), threads=1, rules=rules))
    return made[-1]


def named(name: str) -> Count:
    GATES[name] = Gate()
    return Count(2, name)


def held(jobs: Jobs, spec: Count, owner: str) -> str:
    job_id = jobs.submit(spec, owner)
    assert GATES[spec.gate].reached.wait(PATIENCE)
    return job_id


def test_visitors_take_turns_and_who_has_many_waits_no_less() -> None:
    line = Line()
    for number in range(4):
        line.add(f"ann {number}", "ann")
    line.add("by itself", "the server", unasked=True)
    line.add("bob 0", "bob")
    line.add("cid 0", "cid")
    line.add("bob 1", "bob")
    expected = ["ann 0", "bob 0", "cid 0", "ann 1", "bob 1", "ann 2", "ann 3", "by itself"]
    assert line.order() == expected and len(line) == 8 and line.of("ann") == 4
    line.remove("cid 0")
    line.remove("nobody's")
    expected.remove("cid 0")
    assert [line.take() for _ in range(7)] == expected and not line
    with pytest.raises(IndexError):
        line.take()


def test_a_newcomer_is_not_behind_all_of_anothers_runs(made: list[Jobs], tmp_path: Path) -> None:
    jobs = server(made, tmp_path)
    held(jobs, named("first"), "ann")
    for number in range(20):
        jobs.submit(named(f"ann {number}"), "ann")
    late = jobs.submit(named("bob"), "bob")
    assert jobs.snapshot(late).position == 2
    for gate in GATES.values():
        gate.open.set()
    jobs.wait(late, PATIENCE)
    assert STARTED.index("bob") == 2, "after the running one and one of ann's"


def test_more_than_one_visitor_may_have_is_refused_and_room_is_found_again(made: list[Jobs], tmp_path: Path) -> None:
    jobs = server(made, tmp_path, Rules(queued_each=3, queued_all=5))
    held(jobs, named("running"), "ann")
    waiting = [jobs.submit(named(f"ann {number}"), "ann") for number in range(3)]
    with pytest.raises(UserError, match="3 of your runs are waiting already"):
        jobs.submit(named("ann 3"), "ann")
    assert jobs.submit(named("ann 0"), "ann") == waiting[0], "what waits already is shared"
    for number in range(2):
        jobs.submit(named(f"bob {number}"), "bob")
    with pytest.raises(UserError, match="5 runs are waiting already"):
        jobs.submit(named("cid"), "cid")
    jobs.submit(Unasked(1), "cid")  # the page goes on
    jobs.cancel(waiting[0], "ann")
    with pytest.raises(UserError, match="5 runs are waiting"):
        jobs.resume(waiting[0], "ann")
    jobs.cancel(waiting[1], "ann")
    jobs.submit(named("cid"), "cid")


def test_who_joins_does_not_take_the_right_to_stop(made: list[Jobs], tmp_path: Path) -> None:
    jobs = server(made, tmp_path)
    spec = named("shared")
    job_id = held(jobs, spec, "ann")
    jobs.submit(spec, "bob")
    assert jobs.cancel(job_id, "cid") is Cancel.NOT_YOURS
    assert jobs.cancel(job_id, "bob") is Cancel.SHARED and jobs.of("bob") == ()
    jobs.submit(spec, "bob")
    assert jobs.cancel(job_id, "ann") is Cancel.STOPPING
    GATES["shared"].open.set()
    assert jobs.wait(job_id, PATIENCE).state is State.CANCELLED
    assert [view.id for view in jobs.of("bob")] == [job_id], "bob reads what became of it"
    jobs.resume(job_id, "bob")
    assert jobs.wait(job_id, PATIENCE).state is State.DONE


def test_only_who_has_it_on_the_list_resumes_and_then_it_is_theirs(made: list[Jobs], tmp_path: Path) -> None:
    jobs = server(made, tmp_path)
    spec = named("resumed")
    held(jobs, named("before"), "ann")
    job_id = jobs.submit(spec, "ann")
    jobs.submit(spec, "bob")
    assert jobs.cancel(job_id, "ann") is Cancel.REMOVED
    with pytest.raises(UserError, match="belongs to another visitor"):
        jobs.resume(job_id, "cid")
    assert jobs.snapshot(job_id).state is State.CANCELLED
    jobs.resume(job_id, "bob")
    assert jobs.cancel(job_id, "ann") is Cancel.SHARED and jobs.cancel(job_id, "bob") is Cancel.REMOVED


def test_the_owner_is_known_after_a_restart(made: list[Jobs], tmp_path: Path) -> None:
    first = server(made, tmp_path)
    held(first, named("before"), "ann")
    spec = named("kept")
    job_id = first.submit(spec, "ann")
    first.submit(spec, "bob")
    first.close(0)
    second = server(made, tmp_path)
    held(second, named("again"), "bob")
    second.submit(spec, "ann")
    second.submit(spec, "bob")
    assert second.cancel(job_id, "bob") is Cancel.SHARED and second.cancel(job_id, "ann") is Cancel.REMOVED


def test_a_run_that_takes_too_long_is_ended_with_a_sentence_and_can_go_on(made: list[Jobs], tmp_path: Path) -> None:
    jobs = server(made, tmp_path, Rules(longest_s=0.2))
    spec = replace(named("slow"), to=3)
    job_id = held(jobs, spec, "ann")
    time.sleep(0.3)
    GATES["slow"].open.set()
    view = jobs.wait(job_id, PATIENCE)
    assert view.state is State.FAILED and view.error is not None
    assert "stopped after 0.2 seconds, the longest that one may take" in view.error
    for _ in range(3):
        view = jobs.wait(jobs.resume(job_id, "ann").id, PATIENCE)
    assert view.state is State.DONE


def test_specs_and_lists_are_read_without_events(made: list[Jobs], tmp_path: Path) -> None:
    first = server(made, tmp_path)
    ids = [first.submit(Count(3 + number), "ann") for number in range(4)]
    for job_id in ids:
        first.wait(job_id, PATIENCE)
    first.close(PATIENCE)
    jobs = server(made, tmp_path)
    asked: list[str] = []
    jobs.workspace.database.connection.set_trace_callback(asked.append)
    expected = [Count(3 + number) for number in (3, 2, 1, 0)]
    assert [jobs.spec(view.id) for view in jobs.of("ann", "count")] == expected
    assert [spec for _, spec in jobs.listed("ann", "count")] == expected
    assert jobs.of("ann", "unasked") == () and jobs.of("ann", active=True) == ()
    jobs.workspace.database.connection.set_trace_callback(None)
    assert not [text for text in asked if "SELECT body" in text]
    assert jobs.snapshot(ids[0]).count == 3
