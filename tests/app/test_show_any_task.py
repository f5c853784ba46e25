"""Report and Show of networks that are no classifiers: their measure, and pictures where they make any."""

import dataclasses

import numpy as np
import pytest

from pages.download import reporting
from pages.show import charts, sources
from pages.ui import links, state
from pages.ui.desk import Desk, remember
from pruning_core.datasets import import_data
from pruning_core.graph import Plan
from pruning_core.runs.view import State
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.zoo import import_model
from tests.app.page_under_test import metrics, opened, text_of
from tests.app.test_finetune_page import one_thread  # noqa: F401 (a fixture)
from tests.core.task_nets import Enlarger, Landmarks, archive, exported, made, pictures

ME = "me"


def cut_desk(kind, unit, **arrays) -> Desk:
    """With a network that was cut here, judged by what is proposed for these arrays."""
    root = state.workspace()
    model = import_model(exported(made(kind)), "it.pt2", root, input_size=(3, 16, 16)).ref
    data = import_data(archive(**arrays), "them.npz", root)
    data = dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3)
    run = PruneRun(model, data, Plan({unit: range(4)}).to_json(), device="cpu")
    (cut,) = [event for event in run.run(root) if isinstance(event, Pruned)]
    desk = Desk(cut.model, data)
    remember(root, ME, desk)
    return desk


def reported(desk, monkeypatch, **session) -> str:
    monkeypatch.setattr(state, "owner", lambda: ME)
    app = opened("download", monkeypatch, desk=desk, **session)
    app.button(key="download.report.make").click().run()
    for view in state.jobs().of(ME):
        ended = state.jobs().wait(view.id, 100)
        assert ended.state is State.DONE, ended.error
    app.run()
    assert not app.exception
    text = state.workspace().artifacts.read(app.session_state[reporting.KEPT][1]).decode()
    return text[: text.index("<script>")]  # what is drawn, without what draws it


@pytest.mark.parametrize("points", [False, True], ids=["pictures", "points"])
def test_a_report_says_what_was_measured(points, monkeypatch, one_thread):  # noqa: F811
    if points:
        labels = np.random.default_rng(0).random((60, 10), np.float32)
        text = reported(cut_desk(Landmarks, "body.0", images=pictures(60), labels=labels), monkeypatch)
    else:
        large = pictures(60, side=32).transpose(0, 3, 1, 2).astype(np.float32) / 255
        text = reported(cut_desk(Enlarger, "first", images=pictures(60), labels=large), monkeypatch)
    assert "ccuracy" not in text and "another answer" not in text and "prediction flipped" not in text
    name = "R²" if points else "PSNR"
    assert f'<div class="label">{name}' in text and "higher is better" in text and "test images: " in text
    assert ("dB" in text) is not points
    assert text.count('<figure class="picture">') == (0 if points else 18)
    assert text.count('<div class="set">') == (0 if points else 6), "what goes in, before and after"
    assert ("Pictures that changed most" in text) is not points


def test_both_networks_stand_side_by_side_by_their_measure(monkeypatch, one_thread):  # noqa: F811
    large = pictures(60, side=32).transpose(0, 3, 1, 2).astype(np.float32) / 255
    desk = cut_desk(Enlarger, "first", images=pictures(60), labels=large)
    monkeypatch.setattr(state, "owner", lambda: ME)
    page = opened("show", monkeypatch, desk=desk)
    for view in state.jobs().of(ME):
        assert state.jobs().wait(view.id, 100).state is State.DONE
    page.run()
    shown, said = metrics(page), text_of(page)
    assert shown["PSNR"].endswith("dB") and "Accuracy" not in shown
    assert "ccuracy" not in said and "another answer" not in said
    assert shown["Work for one image"] == f"{state.network(desk.model).cost().macs:,}"


def test_all_sizes_of_it_are_offered_and_drawn(monkeypatch, one_thread):  # noqa: F811
    points = np.random.default_rng(0).random((60, 10), np.float32)
    cut = cut_desk(Landmarks, "body.0", images=pictures(60), labels=points)
    desk = cut.with_model(cut.model.origin, dataclasses.replace(cut.data, measure="mae"))
    run = dataclasses.replace(sources.front(desk), shares=(0.7, 0.4))
    monkeypatch.setattr(sources, "front", lambda _: run)
    monkeypatch.setattr(state, "owner", lambda: ME)
    monkeypatch.setattr(links, "to_what_if", lambda: None)  # the other page is not there when this one runs alone
    page = opened("show", monkeypatch, desk=desk)
    assert "judged on the test images (Mean absolute error)" in text_of(page)
    page.button(key="show.start").click().run()
    (view,) = [each for each in state.jobs().of(ME) if each.kind == "front"]
    ended = state.jobs().wait(view.id, 100)
    assert ended.state is State.DONE, ended.error
    page.run()
    assert not page.exception and "Mean absolute error" in metrics(page)
    assert len(page.select_slider(key="show.at").options) > 2
    found = sources.measured(run, state.jobs().snapshot(view.id))
    figure = charts.front(found, 0)
    assert figure.layout.yaxis.title.text.startswith("Mean absolute error") and not figure.layout.yaxis.tickformat
