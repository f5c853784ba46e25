"""A network that cannot be judged on the data beside it: every page says so once and comes to rest."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import state
from pages.ui.desk import first_desk, remember
from pruning_core.runs.view import State
from pruning_core.studies.measure import EvaluateRun
from pruning_core.zoo import import_model
from tests.app.page_under_test import ROOT, opened, text_of
from tests.app.test_finetune_page import one_thread  # noqa: F401 (a fixture)
from tests.core.upload_files import network, saved

ME = "me"


@pytest.fixture
def misfit(one_thread):  # noqa: F811
    """Three classes on the desk, beside the ten digits."""
    model = import_model(saved(network(classes=3).state_dict()), "three.pt", state.workspace()).ref
    desk = first_desk().with_model(model, first_desk().data)
    remember(state.workspace(), ME, desk)
    yield desk
    state.jobs().close()


def accuracy(desk):
    view = state.jobs().find(EvaluateRun(desk.model, desk.data))
    return state.jobs().wait(view.id, 60)


def test_the_model_page_says_once_why_it_cannot_measure_and_stops(misfit, monkeypatch):
    page = opened("model", monkeypatch, owner=ME)
    assert accuracy(misfit).state is State.FAILED
    for _ in range(3):
        page.run(timeout=60)
        view = accuracy(misfit)
        assert (view.state, view.attempt) == (State.FAILED, 1), "looking at the page starts nothing again"
    said = [each.value for each in page.warning]
    assert len(said) == 1 and "3 classes apart" in said[0] and "has 10" in said[0]
    assert "has 10" not in text_of(page), "the sentence stands there once"
    (again,) = (each for each in page.button if each.label == "Try again")
    again.click().run(timeout=60)
    assert accuracy(misfit).attempt == 2


def test_no_other_page_starts_what_failed(misfit, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(state, "owner", lambda: ME)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    app.switch_page("pages/model/page.py").run()
    accuracy(misfit)
    for name in ("home", "show", "sensitivity", "whatif", "search", "finetune", "download", "criteria", "similarity"):
        app.switch_page(f"pages/{name}/page.py").run()
        before = [(view.id, view.attempt) for view in state.jobs().of(ME)]
        app.run()
        assert not app.exception
        assert [(view.id, view.attempt) for view in state.jobs().of(ME)] == before, name
    assert accuracy(misfit).attempt == 1
