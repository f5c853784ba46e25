"""The Methods page for a network that is no classifier: run, followed and compared by what it is judged by."""

from __future__ import annotations

import dataclasses

import pytest

from pages.methods import charts
from pages.ui import state
from pages.ui.charts import alt_text
from pages.ui.desk import Desk
from pruning_core.datasets import import_data
from pruning_core.measuring.measures import Accuracy
from pruning_core.runs.view import State
from pruning_core.studies.treated import Treated
from pruning_core.zoo import import_model
from tests.app.page_under_test import metrics, opened, text_of
from tests.core.task_nets import Enlarger, archive, exported, made, pictures


@pytest.fixture
def desk() -> Desk:
    root, large = state.workspace(), pictures(90, side=32)
    model = import_model(exported(made(Enlarger)), "enlarger.pt2", root, input_size=(3, 16, 16)).ref
    data = import_data(archive(images=large[:, ::2, ::2], labels=large), "pairs.npz", root)
    return Desk(model, dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3))


def test_a_method_runs_by_what_the_network_is_judged_by(desk, monkeypatch):
    page = opened("methods", monkeypatch, desk=desk)
    page.selectbox(key="methods.method").set_value("gal").run()
    assert any("judged by PSNR" in each.value for each in page.warning), "what needs classes says so before it runs"
    assert page.button(key="methods.start").disabled
    page.selectbox(key="methods.method").set_value("cut-train")
    page.number_input(key="methods.epochs").set_value(2).run()
    page.button(key="methods.start").click().run()
    ended = state.jobs().wait(page.session_state["methods.job"], 120)
    assert ended.state is State.DONE, ended.error
    page.run()
    assert not page.exception
    end = ended.last(Treated)
    assert end.after.accuracy.measure == "psnr" and end.drop.measure == "psnr"
    assert metrics(page)["PSNR"] == f"{end.after.accuracy.top1:.1f}\u202fdB"
    assert "ccuracy" not in "".join(metrics(page)) and "PSNR. Weights were chosen" in text_of(page)
    (table,) = [each.value for each in page.dataframe if "accuracy" in each.value]
    assert all(each == "–" or "dB" in each for each in table["accuracy"])


def test_of_an_error_the_least_stands_first():
    def point(name: str, error: float, chance: bool = False) -> charts.Point:
        return charts.Point(name, chance, Accuracy(error, None, 0.1, 9, error - 1, error + 1, 9, "d", 0.1, "mae"))

    figure = charts.beside([point("A", 7.0), point("B", 5.0), point("C", 9.0, True), point("D", 8.0, True)])
    assert list(figure.data[-1].y) == ["B", "A"] and figure.layout.xaxis.tickformat is None
    assert "Test mean absolute error of 2 runs; best B with 5; cuts by chance reached 8 to 9" in alt_text(figure)
