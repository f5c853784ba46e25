"""What a visitor's files take, deleting them, and a damaged one that is computed again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import state
from pruning_core.runs.catalogue import Catalogue
from pruning_core.runs.events import Artifact, Event
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.rules import Rules
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import State
from pruning_core.storage import Workspace
from tests.app.page_under_test import metrics, opened, text_of


@dataclass(frozen=True)
class Stores(RunSpec):
    """Stores a text."""

    kind: ClassVar[str] = "stores"
    text: str

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        yield Artifact("text", workspace.artifacts.put(self.text.encode()), "text/plain")


@pytest.fixture
def runs(data_directory, monkeypatch):
    real = Jobs(Workspace(data_directory), Catalogue((Stores,)), rules=Rules(stored_each=4000))
    monkeypatch.setattr(state, "jobs", lambda: real)
    monkeypatch.setattr(state, "owner", lambda: "me")
    yield real
    real.close()


def done(runs: Jobs, text: str) -> tuple[str, str]:
    view = runs.wait(runs.submit(Stores(text), "me"), 20)
    assert view.state is State.DONE
    return view.id, view.all(Artifact)[0].digest


def test_a_new_visitor_has_nothing(runs, monkeypatch):
    page = opened("yours", monkeypatch)
    assert metrics(page)["Stored for you"] == "0\u202fB"
    assert "Nothing that you sent" in text_of(page) and "No run of yours" in text_of(page)


def test_runs_and_uploads_stand_there_with_what_they_take(runs, monkeypatch):
    done(runs, "a" * 1000), done(runs, "b" * 2000)
    runs.ledger.sent("me", runs.workspace.artifacts.put(b"c" * 500), "my net.pt")
    page = opened("yours", monkeypatch)
    assert metrics(page) == {"Stored for you": "3.50\u202fkB", "Left of what one visitor may store": "500\u202fB"}
    uploads, listed = (each.value for each in page.dataframe)
    assert list(uploads["File"]) == ["my net.pt"] and list(listed["Size, MB"]) == [0.002, 0.001]
    assert all(button.disabled for button in page.button), "nothing is marked"


def _damaged(digest: str) -> None:
    from pages.ui import state
    from pages.ui.errors import plain_errors

    for _ in range(2):  # the sidebar and the page
        with plain_errors():
            state.jobs().workspace.artifacts.read(digest)


def test_a_damaged_result_is_computed_again_by_one_click(runs):
    _, digest = done(runs, "a result")
    path = runs.workspace.artifacts.path(digest)
    path.write_bytes(b"a resulT")
    page = AppTest.from_function(_damaged, args=(digest,), default_timeout=60).run()
    assert "damaged" in page.error[0].value and [each.label for each in page.button] == ["Compute it again"]
    page.button[0].click().run()
    deadline = time.monotonic() + 20
    while path.read_bytes() != b"a result" and time.monotonic() < deadline:
        time.sleep(0.02)
    page.run()
    assert not page.error and not page.button and not page.exception


def test_what_no_run_made_has_no_such_button(runs):
    digest = runs.workspace.artifacts.put(b"an upload")
    runs.workspace.artifacts.path(digest).write_bytes(b"other")
    page = AppTest.from_function(_damaged, args=(digest,), default_timeout=60).run()
    assert page.error and not page.button
