"""Jobs: queue, cancel, resume, sharing, failures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_runs import (
    FAKES,
    GATES,
    PATIENCE,
    STARTED,
    Breaks,
    BreaksUnasked,
    Count,
    Gate,
    LeavesSlowly,
    Saves,
    Threads,
    Unasked,
)

from pruning_core.errors import UserError
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Artifact, Failed, Progress, Stage
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.view import Cancel, JobView, State
from pruning_core.storage.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data")


@pytest.fixture
def jobs(workspace: Workspace) -> Iterator[Jobs]:
    GATES.clear()
    STARTED.clear()
    made = Jobs(workspace, Catalogue(FAKES), threads=1)
    yield made
    for gate in GATES.values():
        gate.open.set()
    made.close(PATIENCE)


def gate(name: str) -> Gate:
    GATES[name] = Gate()
    return GATES[name]


def held(jobs: Jobs, spec: Count | Saves, owner: str = "ann") -> str:
    """Submit and wait until the run stands at its gate."""
    job_id = jobs.submit(spec, owner)
    assert GATES[spec.gate].reached.wait(PATIENCE)
    return job_id


def numbers(view: JobView) -> list[int]:
    return [event.done for event in view.all(Progress)]


def test_a_job_runs_in_the_background_and_keeps_its_events(jobs: Jobs) -> None:
    job_id = jobs.submit(Count(3), "ann")
    view = jobs.wait(job_id, PATIENCE)
    assert (view.state, numbers(view), view.count, view.error) == (State.DONE, [1, 2, 3], 3, None)
    assert view.started is not None and view.finished is not None and view.created <= view.started <= view.finished
    assert view.seconds == pytest.approx(view.finished - view.started)


def test_a_snapshot_gives_only_what_is_new_and_never_changes(jobs: Jobs) -> None:
    stop = gate("new")
    job_id = held(jobs, Count(5, "new", hold=2))
    early = jobs.snapshot(job_id)
    assert (early.state, numbers(early), early.count) == (State.RUNNING, [1, 2], 2)
    stop.open.set()
    jobs.wait(job_id, PATIENCE)
    later = jobs.snapshot(job_id, since=early.count)
    assert (numbers(later), later.first, later.count) == ([3, 4, 5], 2, 5)
    assert numbers(early) == [1, 2]
    beyond = jobs.snapshot(job_id, since=99)
    assert (beyond.events, beyond.first) == ((), 5)


def test_one_job_at_a_time_per_device_in_order_with_its_position_shown(jobs: Jobs) -> None:
    stops = [gate(name) for name in "abc"]
    first = held(jobs, Count(2, "a"))
    second, third = jobs.submit(Count(2, "b"), "ann"), jobs.submit(Count(2, "c"), "ann")
    assert [jobs.snapshot(job).position for job in (first, second, third)] == [None, 1, 2]
    assert not stops[1].reached.is_set()
    stops[0].open.set()
    assert stops[1].reached.wait(PATIENCE)
    assert [jobs.snapshot(job).position for job in (second, third)] == [None, 1]
    for stop in stops:
        stop.open.set()
    jobs.wait(third, PATIENCE)
    assert STARTED == ["a", "b", "c"]


def test_what_nobody_asked_for_waits_behind_what_a_person_starts(jobs: Jobs) -> None:
    stop = gate("asked")
    first = held(jobs, Count(2, "asked"))
    unasked = [jobs.submit(Unasked(to), "ann") for to in (2, 3)]
    asked = [jobs.submit(Count(to), "ann") for to in (4, 5)]
    assert [jobs.snapshot(job_id).position for job_id in (*asked, *unasked)] == [1, 2, 3, 4]
    stop.open.set()
    views = [jobs.wait(job_id, PATIENCE) for job_id in (first, *asked, *unasked)]
    assert [view.started for view in views] == sorted(view.started or 0.0 for view in views)
    assert {(view.state, view.attempt) for view in views} == {(State.DONE, 1)}


def test_what_nobody_asked_for_steps_aside_and_goes_on_afterwards(jobs: Jobs) -> None:
    stop, wait = gate("aside"), gate("asked")
    unasked = held(jobs, Unasked(5, "aside", hold=2))
    asked = jobs.submit(Count(2, "asked"), "ann")
    assert not jobs.snapshot(unasked).stopping
    stop.open.set()
    assert wait.reached.wait(PATIENCE)  # the one that was asked for runs now
    waiting = jobs.snapshot(unasked)
    assert (waiting.state, waiting.position, numbers(waiting)) == (State.QUEUED, 1, [1, 2, 3])
    wait.open.set()
    after = jobs.wait(unasked, PATIENCE)
    assert (after.state, after.attempt, numbers(after)) == (State.DONE, 2, [1, 2, 3, 4, 5])
    assert jobs.wait(asked, PATIENCE).attempt == 1


def test_what_steps_aside_can_be_cancelled(jobs: Jobs) -> None:
    stop = gate("aside")
    unasked = held(jobs, Unasked(5, "aside", hold=2))
    asked = jobs.submit(Count(2), "ann")
    assert jobs.cancel(unasked) is Cancel.STOPPING
    stop.open.set()
    assert jobs.wait(asked, PATIENCE).state is State.DONE
    assert jobs.snapshot(unasked).state is State.CANCELLED


def test_devices_do_not_wait_for_each_other(jobs: Jobs) -> None:
    gate("slow")
    held(jobs, Count(2, "slow"))
    other = jobs.submit(Count(2, place="cuda:0"), "ann")
    assert jobs.wait(other, PATIENCE).state is State.DONE


def test_cancel_closes_the_run_and_twice_is_fine(jobs: Jobs) -> None:
    stop = gate("stop")
    job_id = held(jobs, Count(9, "stop", hold=3))
    assert jobs.cancel(job_id) is Cancel.STOPPING
    assert jobs.snapshot(job_id).stopping
    assert jobs.cancel(job_id) is Cancel.ALREADY
    stop.open.set()
    view = jobs.wait(job_id, PATIENCE)
    assert stop.closed.is_set(), "the generator's finally clause did not run"
    assert (view.state, numbers(view), view.stopping) == (State.CANCELLED, [1, 2, 3, 4], False)
    assert jobs.cancel(job_id) is Cancel.ALREADY


def test_cancel_of_a_waiting_and_of_a_finished_job(jobs: Jobs) -> None:
    stop = gate("front")
    front = held(jobs, Count(2, "front"))
    waiting = jobs.submit(Count(4), "ann")
    assert jobs.cancel(waiting) is Cancel.REMOVED
    assert jobs.snapshot(waiting).state is State.CANCELLED
    stop.open.set()
    assert jobs.wait(front, PATIENCE).state is State.DONE
    assert jobs.cancel(front) is Cancel.OVER
    assert jobs.snapshot(waiting).events == (), "a cancelled job must not run"


def test_resume_goes_on_with_the_past(jobs: Jobs) -> None:
    stop = gate("half")
    job_id = held(jobs, Count(6, "half", hold=2))
    jobs.cancel(job_id)
    stop.open.set()
    assert numbers(jobs.wait(job_id, PATIENCE)) == [1, 2, 3]
    assert jobs.resume(job_id).attempt == 2
    view = jobs.wait(job_id, PATIENCE)
    assert (view.state, numbers(view)) == (State.DONE, [1, 2, 3, 4, 5, 6])
    assert jobs.resume(job_id).attempt == 2, "a finished job is left as it is"


def test_submitting_a_cancelled_spec_resumes_it(jobs: Jobs) -> None:
    stop = gate("again")
    spec = Count(6, "again", hold=2)
    job_id = held(jobs, spec)
    jobs.cancel(job_id)
    stop.open.set()
    jobs.wait(job_id, PATIENCE)
    assert jobs.submit(spec, "ann") == job_id
    assert numbers(jobs.wait(job_id, PATIENCE)) == [1, 2, 3, 4, 5, 6]


def test_a_resume_takes_back_a_cancel_that_was_not_noticed_yet(jobs: Jobs) -> None:
    stop = gate("back")
    job_id = held(jobs, Count(4, "back"))
    jobs.cancel(job_id)
    assert not jobs.resume(job_id).stopping
    stop.open.set()
    view = jobs.wait(job_id, PATIENCE)
    assert (view.state, view.attempt, numbers(view)) == (State.DONE, 1, [1, 2, 3, 4])


def test_a_resume_while_the_run_is_leaving_lets_it_leave_and_starts_it_again(jobs: Jobs) -> None:
    step, leaving = gate("step"), gate("leaving")
    job_id = jobs.submit(LeavesSlowly("leaving"), "ann")
    assert step.reached.wait(PATIENCE)
    jobs.cancel(job_id)
    step.open.set()
    assert leaving.reached.wait(PATIENCE)
    jobs.resume(job_id)
    assert jobs.snapshot(job_id).attempt == 1, "two attempts at once would write over each other"
    leaving.open.set()
    view = jobs.wait(job_id, PATIENCE)
    assert (view.state, view.attempt, numbers(view)) == (State.DONE, 2, [1, 2])


def test_fresh_work_begins_at_nothing(jobs: Jobs) -> None:
    stop = gate("left")
    job_id = held(jobs, Saves("left"))
    jobs.cancel(job_id)
    stop.open.set()
    jobs.wait(job_id, PATIENCE)
    leftover = jobs.workspace.scratch(Saves("left").key) / "leftover"
    leftover.write_text("of the first job")
    anew = jobs.submit(Saves("left"), "ann", fresh=True)
    assert anew != job_id and jobs.wait(anew, PATIENCE).state is State.DONE
    assert not leftover.exists()


def test_a_run_resumes_on_the_device_that_there_is_now(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = gate("moved")
    job_id = held(jobs, Count(3, "moved", place="cuda:0"))
    jobs.cancel(job_id)
    stop.open.set()
    assert jobs.wait(job_id, PATIENCE).device == "cuda:0"
    monkeypatch.setattr(Count, "queue", lambda self: "cpu")
    jobs.resume(job_id)
    assert jobs.wait(job_id, PATIENCE).device == "cpu"


def test_the_same_spec_is_the_same_job(jobs: Jobs) -> None:
    gate("same").open.set()
    first = jobs.submit(Count(3, "same"), "ann")
    assert jobs.submit(Count(3, "same"), "bob") == first
    jobs.wait(first, PATIENCE)
    assert jobs.submit(Count(3, "same"), "eve") == first
    assert STARTED == ["same"], "finished work was computed again"
    anew = jobs.submit(Count(3, "same"), "eve", fresh=True)
    assert anew != first and jobs.wait(anew, PATIENCE).state is State.DONE
    assert STARTED == ["same", "same"]
    found = jobs.find(Count(3, "same"))
    assert found is not None and found.id == anew
    assert jobs.find(Count(99)) is None


def test_lists_are_per_owner_and_newest_first(jobs: Jobs) -> None:
    one, two = jobs.submit(Count(1), "ann"), jobs.submit(Count(2), "ann")
    shared = jobs.submit(Count(1), "bob")
    for job_id in (one, two):
        jobs.wait(job_id, PATIENCE)
    assert shared == one
    assert [view.id for view in jobs.of("ann")] == [two, one]
    assert [(view.id, view.count, view.events) for view in jobs.of("bob")] == [(one, 1, ())]
    assert jobs.of("nobody") == ()


def test_forget_deletes_what_nobody_has(jobs: Jobs) -> None:
    job_id = jobs.submit(Count(1), "ann")
    jobs.submit(Count(1), "bob")
    jobs.wait(job_id, PATIENCE)
    jobs.forget(job_id, "ann")
    assert jobs.snapshot(job_id).state is State.DONE
    jobs.forget(job_id, "bob")
    with pytest.raises(UserError, match="no longer stored"):
        jobs.snapshot(job_id)
    left = jobs.workspace.database.connection.execute("SELECT count(*) FROM events").fetchone()[0]
    assert left == 0, "events must go with their job"


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("user", "The data set is empty. Choose another."),
        ("memory", "The memory was not enough"),
        ("exit", "unexpected"),
        ("event", "unexpected"),
        ("bug", "unexpected"),
    ],
)
def test_a_failure_is_a_sentence_and_the_worker_lives_on(jobs: Jobs, how: str, sentence: str) -> None:
    job_id = jobs.submit(Breaks(how), "ann")
    view = jobs.wait(job_id, PATIENCE)
    failed = view.last(Failed)
    assert view.state is State.FAILED and failed is not None and view.error == failed.sentence
    assert sentence in failed.sentence and "secret" not in failed.sentence and "Traceback" not in failed.sentence
    assert view.all(Stage) == (Stage("about to break"),)
    log = jobs.workspace.log_path.read_text() if jobs.workspace.log_path.exists() else ""
    assert ("Traceback" in log) == (how != "user")
    assert (job_id[:8] in failed.sentence) == ("unexpected" in sentence)
    assert jobs.wait(jobs.submit(Count(1), "ann"), PATIENCE).state is State.DONE


def test_a_failed_run_can_be_tried_again_without_its_failure(jobs: Jobs) -> None:
    job_id = jobs.submit(Breaks("user"), "ann")
    jobs.wait(job_id, PATIENCE)
    jobs.resume(job_id)
    view = jobs.wait(job_id, PATIENCE)
    assert (view.attempt, len(view.all(Failed)), len(view.all(Stage))) == (2, 1, 2)


def test_what_nobody_asked_for_fails_once(jobs: Jobs) -> None:
    """A page that submits it whenever it is drawn, and is drawn again when it fails, must come to rest."""
    for _ in range(3):
        job_id = jobs.submit(BreaksUnasked("user"), "ann")
        view = jobs.wait(job_id, PATIENCE)
        assert (view.state, view.attempt) == (State.FAILED, 1)
    jobs.resume(job_id)
    assert jobs.wait(job_id, PATIENCE).attempt == 2, "a person may try again"
    asked = jobs.submit(Breaks("user"), "ann")
    jobs.wait(asked, PATIENCE)
    jobs.submit(Breaks("user"), "ann")
    assert jobs.wait(asked, PATIENCE).attempt == 2, "and so does a person who starts it"


def test_a_stopped_run_hands_over_what_it_has(jobs: Jobs) -> None:
    stop = gate("save")
    job_id = held(jobs, Saves("save"))
    jobs.cancel(job_id)
    stop.open.set()
    view = jobs.wait(job_id, PATIENCE)
    artifact = view.last(Artifact)
    assert artifact is not None and jobs.workspace.artifacts.read(artifact.digest) == b"best so far"
    assert list((jobs.workspace.root / "scratch").iterdir()), "a stopped run needs its scratch files to go on"
    jobs.resume(job_id)
    view = jobs.wait(job_id, PATIENCE)
    assert view.state is State.DONE and not list((jobs.workspace.root / "scratch").iterdir())
    assert view.all(Stage) == (Stage("working"), Stage("still working")), "keep() decides what of the past remains"


def test_the_worker_starts_every_run_on_a_clean_slate(jobs: Jobs) -> None:
    import torch

    before = torch.get_num_threads()
    seen = [jobs.wait(jobs.submit(Threads(number), "ann"), PATIENCE).last(Progress) for number in range(2)]
    assert seen == [Progress(1, 1, "runs on cpu")] * 2
    assert torch.get_num_threads() == before and torch.is_grad_enabled()


def test_a_page_reads_while_a_worker_writes(jobs: Jobs) -> None:
    job_id = jobs.submit(Count(3000), "ann")
    seen: list[int] = []
    while (view := jobs.snapshot(job_id, since=len(seen))).active:
        seen += numbers(view)
        rows = jobs.workspace.database.connection.execute("SELECT count(*) FROM events").fetchone()[0]
        assert rows >= len(seen), "an event was shown before it was stored"
    seen += numbers(jobs.snapshot(job_id, since=len(seen)))
    assert seen == list(range(1, 3001))


def test_many_threads_submit_the_same_spec_once(jobs: Jobs) -> None:
    gate("crowd").open.set()
    found: list[str] = []
    crowd = [
        threading.Thread(target=lambda n=n: found.append(jobs.submit(Count(2, "crowd"), f"user {n}")))
        for n in range(12)
    ]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(PATIENCE)
    jobs.wait(found[0], PATIENCE)
    assert len(found) == 12 and len(set(found)) == 1 and STARTED == ["crowd"]
