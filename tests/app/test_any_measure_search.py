"""The search page for a network that is no classifier: trials, front and winners in the words of its measure."""

from __future__ import annotations

import dataclasses

import pytest
from streamlit.testing.v1 import AppTest

from pages.search import charts, frames
from pages.ui import state
from pages.ui.desk import Desk
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.trial import Trial
from pruning_core.datasets import import_data
from pruning_core.measuring.measures import Accuracy
from pruning_core.runs.view import State
from pruning_core.studies.search import SearchRun
from pruning_core.studies.tried import Finalist, Tried
from pruning_core.zoo import import_model
from tests.app.page_under_test import ROOT, metrics, text_of
from tests.core.task_nets import Enlarger, archive, exported, made, pictures


@pytest.fixture
def desk() -> Desk:
    """Twice as many pixels a side, with the large pictures as labels: judged by PSNR."""
    root, large = state.workspace(), pictures(90, side=32)
    model = import_model(exported(made(Enlarger)), "enlarger.pt2", root, input_size=(3, 16, 16)).ref
    data = import_data(archive(images=large[:, ::2, ::2], labels=large), "pairs.npz", root)
    return Desk(model, dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3))


def framed(desk: Desk, monkeypatch) -> AppTest:
    monkeypatch.chdir(ROOT)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.session_state["desk"] = desk
    app.run().switch_page("pages/search/page.py").run()
    assert not app.exception and not app.error, [each.value for each in app.error]
    return app


@pytest.mark.parametrize(("measure", "unit"), [("", "dB"), ("mae", "")])
def test_a_search_is_of_what_the_network_is_judged_by(desk, monkeypatch, measure, unit):
    desk = dataclasses.replace(desk, data=dataclasses.replace(desk.data, measure=measure))
    page = framed(desk, monkeypatch)
    name = "PSNR" if unit else "Mean absolute error"
    assert (name if unit else name.lower()) in text_of(page)
    page.select_slider(key="search.trials").set_value(10)
    page.button(key="search.start").click().run()
    ended = state.jobs().wait(page.session_state["search.run"], 180)
    assert ended.state is State.DONE, ended.error
    page.run()
    assert not page.exception
    found = ended.all(Tried)
    values = [frames.value(each) for each in found if each.by == "tpe" and each.trial.within]
    assert all(each.low <= frames.value(each) <= each.high and each.measure == (measure or "psnr") for each in found)
    (shown,) = [value for label, value in metrics(page).items() if label == f"Best of {frames.name_of('tpe')}"]
    best = max(values) if unit else min(values)
    assert shown == (f"{best:.1f}\u202fdB" if unit else f"{best:.4g}")
    table = page.dataframe[0].value
    assert all(("dB" in each) == bool(unit) for each in table["top1"]) and "points" not in "".join(table["lost"])
    whole = next(each for each in ended.all(Finalist) if each.by == "unpruned")
    assert whole.accuracy.measure == (measure or "psnr")
    assert "ccuracy" not in text_of(page) + "".join(metrics(page))


def tried(number: int, error: float, macs: int, within: bool = True) -> Tried:
    trial = Trial(number, (), {"a": 0.5}, {"a": (0,)}, macs, 10, None, -error, within, False, 0.1)
    return Tried("x", trial, error - 0.1, error + 0.1, 100, "mae")


def test_of_an_error_less_is_better(desk):
    network = state.network(desk.model)
    full = network.cost().macs
    found = {("x", n): tried(n, *each) for n, each in enumerate([(3.0, full), (2.0, full), (2.5, full // 2)])}
    frame = frames.table(found.values(), network)
    assert list(frame["top1"]) == [3.0, 2.0, 2.5] and list(frame["front"]) == [False, True, True]
    assert list(frames.best_so_far(frame, rises=False)["best"]) == [3.0, 2.0, 2.0]
    figure = charts.front(
        frame, told=["t"] * 3, names=["x"], origin=1.9, selected=0, limit=None, timed=False, measure="mae"
    )
    assert figure.layout.yaxis.tickformat is None and "Best: x with 2 at" in figure.layout.meta["alt"]
    assert "Mean absolute error 2 (95 % interval 1.9–2.1)" in frames.told(found["x", 1], network)
    spec = SearchRun(desk.model, desk.data, budgets=(Budget("macs", 0.9),))
    assert frames.best(found, "x", spec, None).trial.number == 1
    origin = Accuracy(2.0, None, 0.0, 100, 1.9, 2.1, 100, "d", 0.1, "mae", whole=30.0)
    free = SearchRun(desk.model, desk.data, budgets=())
    assert frames.best(found, "x", free, origin).trial.number == 2, "half of a whole of 30 is a sixtieth"
