"""The Similarity page: what it shows of a layer is what the core says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.similarity import charts
from pages.ui import filters, links, state
from pages.ui.sweeps import judged_on
from pruning_core.analysis.similarity import EUCLIDEAN, all_but_one, grow, weight_rows
from pruning_core.graph import Plan
from pruning_core.runs.view import State
from pruning_core.studies.embed import EmbedRun, read_places
from pruning_core.studies.prune import PruneRun

ROOT = Path(__file__).parents[2]


def open_page(timeout: float = 90) -> AppTest:
    """The page by itself, not run yet."""
    return AppTest.from_file(str(ROOT / "pages" / "similarity" / "page.py"), default_timeout=timeout)


@pytest.fixture
def page(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(links, "to_what_if", lambda: None)  # a page by itself knows no way to the others
    run = open_page(120).run()
    assert not run.exception and not run.error
    return run


def shown(page):
    return {metric.label: metric.value for metric in page.metric}


def first_layer():
    desk = state.desk()
    network, model = state.network(desk.model), state.loaded(desk.model).model
    group = network.groups[0]
    return desk, network, model, group


def test_the_cut_decides_clusters_ratio_cost_and_plan(page):
    _, network, model, group = first_layer()
    points = weight_rows(model, group)
    tree = grow(EUCLIDEAN.distances(points))
    slider = next(each for each in page.slider if each.label == "Cut the tree at")
    height = float(tree.merges[group.size // 2, 2])
    slider.set_value(height).run()
    labels = tree.cut(slider.value)
    dropped = all_but_one(points, tree.distances, labels)
    numbers = shown(page)
    assert numbers["Clusters"] == str(labels.max() + 1) and numbers["Channels"] == str(group.size)
    assert numbers["MACs"] == f"{network.cost(Plan({group.key: dropped})).macs:,}"
    page.button(key="similarity.add").click().run()
    assert page.session_state["desk"].plan == Plan({group.key: dropped})
    assert len(dropped) == group.size - (labels.max() + 1)


def test_the_accuracy_is_measured_on_the_really_smaller_network(page):
    desk, _, _, group = first_layer()
    page.segmented_control(key="similarity.method").set_value("k-means").run()
    slider = next(each for each in page.slider if each.label == "Number of clusters")
    slider.set_value(group.size // 2).run()
    assert shown(page)["Clusters"] == str(group.size // 2)
    page.button(key="similarity.add").click().run()
    plan = page.session_state["desk"].plan
    view = state.jobs().wait(state.jobs().submit(PruneRun(desk.model, judged_on(desk.data), plan.to_json()), "me"), 120)
    assert view.state is State.DONE, view.error
    page.run()
    after = view.events[-1].after.accuracy.top1
    assert shown(page)["Top-1 accuracy"].startswith(f"{100 * after:.1f}")


def test_activations_and_every_metric_are_drawn(page):
    for metric in ("Cosine", "Correlation"):
        page.segmented_control(key="similarity.metric").set_value(metric).run()
        assert not page.exception and not page.error
    page.segmented_control(key="similarity.source").set_value("Activations").run()
    assert not page.exception and not page.error


def test_t_sne_runs_in_the_background_and_is_kept(page):
    desk, _, _, group = first_layer()
    page.segmented_control(key="similarity.how").set_value("t-SNE").run()
    assert not page.exception and not page.error
    view = state.jobs().wait(state.jobs().find(EmbedRun(desk.model, group.key, "Euclidean")).id, 120)
    assert view.state is State.DONE, view.error
    page.run()
    assert read_places(state.workspace(), view).shape == (group.size, 2)
    assert not page.exception and not page.error


def test_a_picture_is_the_mean_kernel_of_its_filter():
    _, _, model, group = first_layer()
    drawn = filters.pictures(model, group)
    weight = dict(model.named_parameters())[group.producers[0].parameter].detach().double().numpy()
    assert np.allclose(drawn, weight.mean(1)[group.producers[0].index[:, 0]])
    text = filters.drawn(np.array([[0.0, 1.0], [0.5, 1.0]]))
    assert text == "  ██<br>▒▒██"
    assert filters.drawn(np.zeros((20, 20))) == ""


def test_the_matrix_of_a_wide_layer_is_thinned_and_means_are_true():
    size = 2 * charts.MOST_CELLS
    distances = np.add.outer(np.arange(size), np.arange(size)).astype(float)
    labels, order = np.zeros(size, np.int64), np.arange(size)
    figure = charts.distance_matrix(distances, order, labels, title="Euclidean")
    assert np.asarray(figure.data[0].z).shape == (charts.MOST_CELLS, charts.MOST_CELLS)
    assert figure.data[0].z[0][1] == pytest.approx(distances[:2, 2:4].mean())
    assert figure.data[0].zmin == pytest.approx(distances[:2, 2:4].mean()), "the diagonal takes no part in the colours"


def test_leaves_hang_from_zero_or_where_nothing_is_alike_just_below_the_first_merge():
    labels, order = np.zeros(3, np.int64), np.arange(3)
    x = np.array([[0.0, 0, 1, 1], [0.5, 0.5, 2, 2]])
    alike = charts.dendrogram(x, np.array([[0.0, 1, 1, 0], [1, 4, 4, 0]]), order, labels, cut=None, title="")
    apart = charts.dendrogram(x, np.array([[0.0, 9, 9, 0], [9, 10, 10, 0]]), order, labels, cut=None, title="")
    for figure, floor in ((alike, 0.0), (apart, 8.8)):
        leaves = next(trace for trace in figure.data if trace.mode == "markers")
        assert list(leaves.y) == pytest.approx([floor] * 3)
        assert figure.layout.yaxis.range[0] == pytest.approx(floor)


def test_branches_below_the_cut_have_the_colour_of_their_cluster():
    points = np.array([[0.0], [0.1], [5.0], [5.1]])
    import torch

    tree = grow(EUCLIDEAN.distances(torch.from_numpy(points)))
    drawn = tree.dendrogram
    figure = charts.dendrogram(drawn.x, drawn.height, drawn.order, tree.cut(1.0), cut=1.0, title="Euclidean")
    branches = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(branches) == 3, "two clusters below the cut, and the branch above it"
    assert len({trace.line.color for trace in branches}) == 3
