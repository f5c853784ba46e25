"""The panel that shows any run: state, progress, buttons, and what went wrong."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import jobs as panel
from pages.ui import state
from pruning_core.errors import UserError
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Artifact, Event, Progress, Stage
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import JobView, State
from pruning_core.storage import Workspace
from pruning_core.training.events import Checking, Step

GATE = threading.Event()  # a run waits here until the test lets it go


@dataclass(frozen=True)
class Counting(RunSpec):
    """Counts to `total`; waits at the gate after `wait_at`, fails at `fail_at`."""

    kind: ClassVar[str] = "counting"
    total: int = 4
    wait_at: int = -1
    fail_at: int = -1

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        for done in range(len(past), self.total):
            if done == self.fail_at:
                raise UserError("The images are empty. Choose another data set.")
            yield Progress(done + 1, self.total, "cells", 2.0)
            while done == self.wait_at and not GATE.is_set():
                yield Progress(done + 1, self.total, "cells", 2.0)
                time.sleep(0.01)
        yield Artifact("counted", str(self.total), "text/plain")


@pytest.fixture
def runs(data_directory, monkeypatch):
    GATE.clear()
    real = Jobs(Workspace(data_directory), Catalogue((Counting,)))
    monkeypatch.setattr(state, "jobs", lambda: real)
    monkeypatch.setattr(state, "owner", lambda: "me")
    yield real
    GATE.set()
    real.close()


def _page(job_id):
    import streamlit as st

    from pages.ui import jobs

    view = jobs.watch(job_id, key="panel", draw=lambda now: st.write(f"{now.count} events"))
    st.write(f"page saw {view.state}")


def show(job_id: str) -> AppTest:
    page = AppTest.from_function(_page, args=(job_id,)).run(timeout=20)
    assert not page.exception
    return page


def reach(runs: Jobs, job_id: str, *states: State) -> JobView:
    for _ in range(1000):
        view = runs.snapshot(job_id)
        if view.state in states and (view.state is not State.RUNNING or view.events):
            return view
        time.sleep(0.01)
    raise AssertionError(f"still {view.state}")


def text_of(page: AppTest) -> str:
    return "\n".join(each.value for each in (*page.markdown, *page.caption))


def test_a_finished_run_says_so_and_offers_nothing_to_press(runs):
    job = runs.submit(Counting(), "me")
    reach(runs, job, State.DONE)
    page = show(job)
    assert "done" in text_of(page) and "5 events" in text_of(page)
    assert not page.button


def test_a_running_run_is_cancelled_and_resumed(runs):
    job = runs.submit(Counting(wait_at=1), "me")
    reach(runs, job, State.RUNNING)
    page = show(job)
    assert "of 4 cells" in text_of(page) and "2.0\u202fs left" in text_of(page)
    page.button(key="panel.cancel").click().run(timeout=20)
    assert "stops at its next step" in page.toast[0].value
    reach(runs, job, State.CANCELLED)
    page.run(timeout=20)
    assert "cancelled" in text_of(page)
    GATE.set()
    page.button(key="panel.resume").click().run(timeout=20)
    assert reach(runs, job, State.DONE).attempt == 2


def test_cancelling_twice_is_answered_and_harmless(runs):
    job = runs.submit(Counting(wait_at=1), "me")
    reach(runs, job, State.RUNNING)
    page = show(job)
    runs.cancel(job)
    reach(runs, job, State.CANCELLED)
    page.button(key="panel.cancel").click().run(timeout=20)  # the page still showed the button
    assert not page.exception
    assert "cancelled before" in page.toast[0].value


def test_a_failed_run_shows_its_sentence(runs):
    job = runs.submit(Counting(fail_at=2), "me")
    reach(runs, job, State.FAILED)
    page = show(job)
    assert page.error[0].value == "The images are empty. Choose another data set."
    assert page.button(key="panel.resume")


def test_a_run_that_an_older_version_stored_says_so(runs, data_directory):
    job = runs.submit(Counting(), "me")
    reach(runs, job, State.DONE)
    assert "older version" not in text_of(show(job))
    rows = Workspace(data_directory).database.connection
    rows.execute("UPDATE events SET body = ? WHERE job_id = ? AND n = 4", ('{"$":"Result","payload":{}}', job))
    read = Jobs(Workspace(data_directory), Catalogue((Counting,)))
    try:
        state.jobs = lambda: read  # undone by the fixture
        assert "An older version of PruneScope stored this run" in text_of(show(job))
    finally:
        read.close()


def test_a_waiting_run_knows_its_place(runs):
    first = runs.submit(Counting(wait_at=1), "me")
    reach(runs, first, State.RUNNING)
    waiting = [runs.submit(Counting(total=total), "me") for total in (7, 8)]
    assert "next in the queue" in text_of(show(waiting[0]))
    assert "1 run before it in the queue" in text_of(show(waiting[1]))


def _page_with_a_button(job_id):
    import streamlit as st

    from pages.ui import jobs, sidebar

    jobs.watch(job_id, key="panel")
    sidebar._runs()
    if st.button("Prepare", key="prepare"):
        st.write("prepared")


@pytest.mark.parametrize("asked", ["snapshot", "of"])
def test_a_click_counts_when_a_run_ends_in_the_midst_of_its_answer(runs, monkeypatch, asked):
    job = runs.submit(Counting(wait_at=1), "me")
    reach(runs, job, State.RUNNING)
    page = AppTest.from_function(_page_with_a_button, args=(job,)).run(timeout=20)
    look = getattr(runs, asked)

    def and_then_it_ends(*args, **options):
        seen = look(*args, **options)
        GATE.set()
        while runs.find(Counting(wait_at=1)).active:
            time.sleep(0.01)
        return seen

    monkeypatch.setattr(runs, asked, and_then_it_ends)
    page.button(key="prepare").click().run(timeout=20)
    assert "prepared" in text_of(page)


def test_an_unknown_run_is_a_sentence_not_a_crash(runs):
    with pytest.raises(UserError, match="no longer stored"):
        panel.watch("nobody", key="panel")


def view_with(*events: Event, state: State = State.RUNNING) -> JobView:
    return JobView("i", "k", "kind", "title", state, False, None, 1, events, 0, len(events), 0, 0, None, 0, "cpu", None)


@pytest.mark.parametrize(
    ("event", "share", "text"),
    [
        (Progress(3, 12, "cells", 61.0), 0.25, "3 of 12 cells, 1\u202fmin 1\u202fs left"),
        (Progress(0, 0, "cells"), 0.0, "0 of 0 cells"),
        (Step(2, 1.5, 0.5, 0.1, 0.01, 900.0, 30.0), 0.5, "epoch 2, 30\u202fs left"),
        (Checking(2, 100, 400), 0.25, "testing: 100 of 400 images"),
        (Stage("capturing the network"), None, "capturing the network"),
    ],
)
def test_progress_is_read_from_whatever_event_says_it(event, share, text):
    assert panel.advance(view_with(event)) == panel.Advance(share, text)


def test_the_bar_of_a_training_does_not_jump_while_it_is_tested():
    training = Step(2, 1.5, 0.5, 0.1, 0.01, 900.0, 30.0)
    assert panel.advance(view_with(training, Checking(2, 399, 400))).share == 0.5


def test_before_the_first_event_a_run_is_starting():
    assert panel.advance(view_with()).share is None
