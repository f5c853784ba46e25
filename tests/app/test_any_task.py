"""A network that is no classifier, with images alone, through the pages: nothing on them is called an accuracy."""

from __future__ import annotations

import dataclasses

import pytest

from pages.ui import standing, state
from pages.ui.desk import Desk
from pruning_core.datasets import import_data
from pruning_core.graph import Plan
from pruning_core.runs.view import State
from pruning_core.zoo import import_model
from tests.app.page_under_test import metrics, opened, text_of
from tests.core.task_nets import Enlarger, archive, exported, made, pictures


@pytest.fixture
def desk() -> Desk:
    root = state.workspace()
    model = import_model(exported(made(Enlarger)), "enlarger.pt2", root, input_size=(3, 16, 16)).ref
    data = import_data(archive(images=pictures(80)), "pictures.npz", root)
    return Desk(model, dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3))


def test_what_it_is_judged_by_is_proposed_and_chosen(desk, monkeypatch):
    page = opened("choose", monkeypatch, desk=desk)
    said = text_of(page)
    assert "no labels" in said and "a map of 3 numbers at each of 32 × 32 places" in said
    assert "**Output error**" in said and "lower is better" in said
    (box,) = [each for each in page.selectbox if each.label == "What its outputs are judged by"]
    assert box.options[:2] == ["Output error (proposed)", "Agreement of places"]
    box.set_value("cosine").run()
    assert page.session_state["desk"].data.measure == "cosine" and "**Cosine similarity**" in text_of(page)


def test_a_sweep_is_of_the_output_error(desk, monkeypatch):
    page = opened("sensitivity", monkeypatch, desk=desk)
    page.button_group(key="sensitivity.ratios").set_value([0.3, 0.5]).run()
    page.button(key="sensitivity.start").click().run()
    ended = state.jobs().wait(page.session_state["sensitivity.run"], 120)
    assert ended.state is State.DONE, ended.error
    page.run()
    page.session_state["sensitivity.cell"] = ("first", 0.5)
    page.run()
    shown = metrics(page)
    assert shown["Unpruned output error"].startswith("0.0") and float(shown["Output error"].split("\u202f")[0]) > 0
    assert shown["Change"].startswith("+"), "an error rises"
    said = text_of(page)
    assert "lower is better" in said and "ccuracy" not in said and "right before" not in said


def test_a_plan_is_measured_applied_and_taken_on(desk, monkeypatch):
    planned = desk.with_plan(Plan({"first": range(4), "second": range(4)}))
    page = opened("whatif", monkeypatch, desk=planned)
    assert float(metrics(page)["Output error"].split("\u202f")[0]) > 0
    page.button(key="whatif.apply").click().run()
    job = state.jobs().find(standing.application(planned))
    assert job is not None and state.jobs().wait(job.id, 120).state is State.DONE
    page.run()
    shown, said = metrics(page), text_of(page)
    assert shown["Output error before"].startswith("0.0") and float(shown["Output error after"].split("\u202f")[0]) > 0
    assert "lower is better" in said and "images were right" not in said
    page.button(key="whatif.adopt").click().run()
    assert page.session_state["desk"].model.base == planned.model
    page = opened("download", monkeypatch, owner=page.session_state["owner"], desk=page.session_state["desk"])
    assert "Relative output error" in metrics(page) and "Top-1 accuracy" not in metrics(page)
