"""Every network that was made, as a tree; and two of them image by image."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from pages.compare import apart, groups, measured, parallel, sections, table, tree
from pages.ui import made, numbers, state
from pages.ui.desk import first_desk, remember
from pruning_core.analysis.differing import LayerDifference
from pruning_core.export.table import csv_of
from pruning_core.graph import Plan
from pruning_core.measuring.answers import flips
from pruning_core.runs.events import Artifact
from pruning_core.runs.view import State
from pruning_core.studies.differences import DifferencesRun
from pruning_core.studies.fine_tune import PRUNED, FineTuneRun
from pruning_core.studies.front import FrontRun
from pruning_core.studies.prune import PruneRun
from tests.app.page_under_test import opened, text_of
from tests.app.test_finetune_page import one_thread  # noqa: F401 (a fixture)
from tests.app.test_show_page import galleries

ME = "me"


@pytest.fixture
def desk(monkeypatch, one_thread):  # noqa: F811
    """A cut with new statistics, and one size of the front."""
    monkeypatch.setattr(state, "owner", lambda: ME)
    first = first_desk()
    plan = Plan({group.key: range(group.size // 2) for group in state.network(first.model).groups})
    for run in (PruneRun(first.model, first.data, plan.to_json()), FrontRun(first.model, first.data, shares=(0.3,))):
        assert state.jobs().wait(state.jobs().submit(run, ME), 200).state is State.DONE
    remember(state.workspace(), ME, first)
    yield first
    state.jobs().close()


def shown(monkeypatch, **session):
    """The page once everything on it is measured."""
    page = opened("compare", monkeypatch, **session)
    for view in state.jobs().of(ME):
        assert state.jobs().wait(view.id, 200).state is State.DONE
    page.run()
    assert not page.exception and not page.error
    return page


def test_the_tree_says_what_each_network_was_made_from_and_how(desk):
    (nodes,) = tree.families(desk).values()
    by = {node.operation: node for node in nodes}
    assert set(by) == {"", "cut", "new statistics", "cut and mended"}
    assert by["cut"].parent == by["cut and mended"].parent == desk.model == by[""].model
    assert by["new statistics"].parent == by["cut"].model and by["new statistics"].depth == 2
    assert [node.row for node in nodes] == [0, 1, 2, 3] and by[""].label == "ResNet on digits"
    assert by["cut"].model.plan == by["new statistics"].model.plan


def test_every_network_is_measured_on_the_same_images(desk, monkeypatch):
    page = shown(monkeypatch)
    (nodes,) = tree.families(desk).values()
    rows = measured.rows(nodes, made.tested(desk.model, desk.data), desk.model)
    frame = page.dataframe[0].value
    assert list(frame["macs"]) == [row.cost.macs for row in rows] and len(frame) == 4
    for row in rows:
        assert row.accuracy.images == 450 and row.latency.batch_size == 64
        assert (row.change is None) == (row.node.model == desk.model)
    front = measured.front(rows, "macs")
    assert 0 in front or any(row.accuracy.top1 >= rows[0].accuracy.top1 for row in rows[1:])
    for at, row in enumerate(rows):
        beaten = any(o.cost.macs <= row.cost.macs and o.accuracy.top1 > row.accuracy.top1 for o in rows)
        assert not (beaten and at in front)
    text = csv_of(table.head("top1"), table.cells(rows, "top1"))
    assert text.count("\r\n") == 5 and f",{rows[1].cost.macs}," in text


def test_the_images_that_flipped_are_those_of_the_two_chosen(desk, monkeypatch):
    (nodes,) = tree.families(desk).values()
    at = next(node.row for node in nodes if node.operation == "cut")
    page = shown(monkeypatch, **{sections.OTHER: at, sections.PINNED: 0})
    rows = measured.rows(nodes, made.tested(desk.model, desk.data), desk.model)
    found = flips(rows[0].answers, rows[at].answers)
    assert f"{found.count} of 450 test images get another answer" in text_of(page)
    (gallery,) = galleries(page)
    assert gallery.count("base64") == min(40, len(found.lost)) > 0
    assert gallery.count('class="right"') == gallery.count('class="wrong"') == min(40, len(found.lost))
    assert np.array_equal(rows[0].answers.labels, rows[at].answers.labels)


def test_nothing_made_is_said_and_the_page_shows_the_way(monkeypatch):
    monkeypatch.setattr(state, "owner", lambda: "nobody")
    from pages.ui import links

    monkeypatch.setattr(links, "to_what_if", lambda *_: None)
    assert "nothing to compare" in text_of(opened("compare", monkeypatch))


def test_parallel_coordinates_hold_every_measured_network(desk, monkeypatch):
    shown(monkeypatch)
    (nodes,) = tree.families(desk).values()
    rows = measured.rows(nodes, made.tested(desk.model, desk.data), desk.model)
    drawn = parallel.figure(parallel.complete(rows), "top1", nodes[0].model, nodes[1].model)
    order = [*rows[2:], rows[0], rows[1]]
    assert [line.name for line in drawn.data] == [row.node.label.replace("\u202f", " ") for row in order]
    assert [line.showlegend for line in drawn.data] == [False] * (len(rows) - 2) + [True, True]
    macs = [row.cost.macs for row in order]
    shares = [(each - min(macs)) / (max(macs) - min(macs)) for each in macs]
    assert [line.y[0] for line in drawn.data] == pytest.approx(shares)
    assert [line.customdata[4] for line in drawn.data] == [numbers.percent(row.accuracy.top1) for row in order]
    unknown = dataclasses.replace(rows[1], latency=None)
    assert parallel.complete([rows[0], unknown]) == [rows[0]]


def test_a_step_is_undone_by_going_back_to_what_it_was_made_from(desk, monkeypatch):
    (nodes,) = tree.families(desk).values()
    renewed = next(node for node in nodes if node.operation == "new statistics")
    page = shown(monkeypatch, **{sections.OTHER: renewed.row})
    page.button(key="compare.open").click().run()
    assert not page.exception and page.session_state["desk"].model == renewed.model
    page.button(key="compare.undo").click().run()
    assert page.session_state["desk"].model == renewed.parent != desk.model
    page.button(key="compare.undo").click().run()
    assert page.session_state["desk"].model == desk.model
    assert not [each for each in page.button if each.key == "compare.undo"], "nothing was done to the first one"
    assert len(next(iter(tree.families(desk).values()))) == len(nodes), "what was undone can be taken up again"


def test_layers_are_held_together_over_the_channels_of_both(desk, monkeypatch):
    (nodes,) = tree.families(desk).values()
    at = next(node.row for node in nodes if node.operation == "cut")
    page = shown(monkeypatch, **{sections.OTHER: at, sections.PINNED: 0})
    run = DifferencesRun(nodes[0].model, nodes[at].model, made.tested(nodes[0].model, desk.data))
    view = state.jobs().find(run)
    assert view.state is State.DONE, "a small network is compared without being asked for"
    found = state.jobs().snapshot(view.id).all(LayerDifference)
    assert {each.weights for each in found} == {0.0} and max(each.activations for each in found) > 0.1
    assert "Relative norms over the channels that both have" in text_of(page)
    drawn = apart.figure(found)
    assert [list(trace.x) for trace in drawn.data] == [[0.0] * len(found), [each.activations for each in found]]


def test_a_table_of_groups_says_what_each_of_them_loses(desk, monkeypatch):
    (nodes,) = tree.families(desk).values()
    at = next(node.row for node in nodes if node.operation == "cut")
    page = shown(monkeypatch, **{sections.OTHER: at, sections.PINNED: 0})
    rows = measured.rows(nodes, made.tested(desk.model, desk.data), desk.model)
    listed = groups.listed(desk, rows[0], rows[at]).split("\r\n")
    assert listed[0].startswith("image,class,") and len(listed) == 452
    sent = "\n".join([f"{listed[0]},half", *(f"{row},{'odd' if number % 2 else 'even'}" for number, row in
                                             enumerate(listed[1:-1]))])  # fmt: skip
    page.file_uploader(key="compare.groups.file").set_value(("mine.csv", sent.encode(), "text/csv")).run()
    assert not page.exception and not page.error
    assert page.selectbox(key="compare.groups.column").value == "half"
    page.file_uploader(key="compare.groups.file").set_value(("mine.csv", b"half\nodd\n", "text/csv")).run()
    assert "1 rows for 450 test images" in page.error[0].value


def test_a_training_that_kept_the_weights_from_before_made_no_network(desk, monkeypatch):
    """Else the network would have been made from itself, and be in no tree."""
    (nodes,) = tree.families(desk).values()
    renewed = next(node for node in nodes if node.operation == "new statistics").model
    kept, run = [Artifact(f"{PRUNED} weights", renewed.weights, "")], FineTuneRun(renewed, desk.data)
    seen = SimpleNamespace(all=lambda kind: kept)
    with monkeypatch.context() as patched:
        patched.setattr(tree.started, "mine", lambda kind, wanted: [(SimpleNamespace(id=""), run)])
        patched.setattr(state, "jobs", lambda: SimpleNamespace(snapshot=lambda name: seen))
        assert renewed.weights and list(tree._tunings()) == []
        kept[0] = Artifact(f"{PRUNED} weights", "1" * 64, "")
        assert [each.parent for each in tree._tunings()] == [renewed]
