"""The Criteria page for networks that are no classifiers: compared by what they are judged by, gradients included."""

from __future__ import annotations

import dataclasses

import pytest

from pages.criteria import charts, frames
from pages.ui import state
from pages.ui.charts import alt_text
from pages.ui.desk import Desk
from pruning_core.datasets import import_data
from pruning_core.runs.view import State
from pruning_core.studies.points import ORIGIN, Point, When
from pruning_core.zoo import import_model
from tests.app.page_under_test import opened, text_of
from tests.core.task_nets import Enlarger, Landmarks, archive, exported, made, pictures


def desk_of(kind, measure: str, **labels) -> Desk:
    root = state.workspace()
    model = import_model(exported(made(kind)), f"{kind.__name__}.pt2", root, input_size=(3, 16, 16)).ref
    data = import_data(archive(images=pictures(80), **labels), "pictures.npz", root)
    return Desk(model, dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3, measure=measure))


@pytest.mark.parametrize("measure", ["output_error", "mae"])
def test_criteria_are_compared_by_what_the_network_is_judged_by(measure, monkeypatch):
    points = pictures(80).reshape(80, -1)[:, :10].astype("float32") / 255
    desk = desk_of(Enlarger, measure) if measure == "output_error" else desk_of(Landmarks, measure, labels=points)
    page = opened("criteria", monkeypatch, desk=desk)
    page.multiselect(key="criteria.chosen").set_value(["l1", "taylor", "taylor-so"])
    page.multiselect(key="criteria.budgets").set_value([0.5]).run()
    page.button(key="criteria.start").click().run()
    ended = state.jobs().wait(page.session_state["criteria.job"], 180)
    assert ended.state is State.DONE, ended.error
    page.run()
    assert not page.exception and not page.error
    found = ended.all(Point)
    assert {each.measure for each in found} == {measure} and all(each.low <= each.top1 <= each.high for each in found)
    table = page.dataframe[0].value
    assert len(table) == 10 and ("points" in "".join(table["Change"])) is (measure == "output_error")
    said = text_of(page)
    assert "lower is better" in said and "ccuracy" not in said and "Wilson" not in said


def test_of_an_error_the_best_is_the_least():
    def point(name: str, error: float, draw: int = 0) -> Point:
        drop = None if name == ORIGIN else error - 1.0
        return Point(name, name, draw, 0.5, str(When.PRUNED), 500, 10, error, None, error - 0.5, error + 0.5, 9, 1.0,
                     drop, drop and drop - 0.1, drop and drop + 0.1, measure="mae")  # fmt: skip

    frame = frames.summary([point("A", 3.0), point("B", 2.0), point("C", 4.0), point("C", 6.0, 1)], ())
    figure = charts.tradeoff(frame, names=["A", "B", "C"], origins={"unpruned": 1.0}, full_macs=1000)
    assert "Mean absolute error against MACs" in alt_text(figure) and "Best: B with 2 at" in alt_text(figure)
    assert figure.layout.yaxis.tickformat is None and figure.layout.yaxis.title.text == "Mean absolute error"
    texts = [trace.hovertext[0] for trace in figure.data if trace.hovertext is not None]
    assert "Mean absolute error 3 (95 % interval 2.5–3.5)" in texts[0] and "2 repeats, between 4–6" in texts[2]
