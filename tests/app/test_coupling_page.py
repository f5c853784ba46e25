"""The Coupling page: what must follow a cut, on the real groups of the loaded network."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.coupling import charts, graph, sections
from pages.ui import numbers, state
from pruning_core.graph import Plan
from pruning_core.zoo import DEMOS, available_demos

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.chdir(ROOT)
    return AppTest.from_file(str(ROOT / "pages" / "coupling" / "page.py"), default_timeout=120)


def test_the_demos_residual_stream_by_hand():
    network = state.network(DEMOS[0].ref)
    group = graph.made_by(network, "layer1.0.conv2")
    assert graph.makers(group) == ("conv1", "layer1.0.conv2")
    assert set(graph.readers(group)) == {"layer1.0.conv1", "layer2.0.conv1", "layer2.0.shortcut.0"}
    assert set(graph.carriers(group)) == {"bn1", "layer1.0.bn2"}
    found = graph.picture(flow_of(DEMOS[0]), group)
    mine = {(each.maker, each.reader) for each in found.arrows if group.key in each.groups}
    assert mine == {
        ("conv1", "layer1.0.conv1"),
        ("conv1", "+1"),
        ("layer1.0.conv2", "+1"),
        ("+1", "layer2.0.conv1"),
        ("+1", "layer2.0.shortcut.0"),
    }, "the sum carries what conv1 made past the block"
    assert {node.name for node in found.nodes if node.sign and group.key in node.groups} == {"+1"}


def test_what_was_not_seen_running_follows_the_groups():
    network = state.network(DEMOS[0].ref)
    group = graph.made_by(network, "layer1.0.conv2")
    found = graph.picture(graph.by_groups(network), group)
    mine = {(each.maker, each.reader) for each in found.arrows if group.key in each.groups}
    assert mine == {
        ("conv1", "layer1.0.conv1"),
        ("layer1.0.conv2", "layer2.0.conv1"),
        ("layer1.0.conv2", "layer2.0.shortcut.0"),
    }
    assert not any(node.sign for node in found.nodes)


def flow_of(demo):
    return graph.seen(state.loaded(demo.ref).model, state.network(demo.ref))


@pytest.mark.parametrize("demo", available_demos(), ids=lambda demo: demo.ref.name)
def test_arrows_go_down_and_no_two_nodes_lie_in_one_place(demo):
    network, seen = state.network(demo.ref), flow_of(demo)
    for group in network.groups:
        found = graph.picture(seen, group)
        row = {node.name: node.row for node in found.nodes}
        assert all(row[each.maker] < row[each.reader] for each in found.arrows)
        assert len({(node.row, node.lane) for node in found.nodes}) == len(found.nodes)
        assert {*graph.makers(group), *graph.readers(group)} <= set(row)
        assert group.coupled == any(node.sign and group.key in node.groups for node in found.nodes)


def test_a_shortcut_is_a_curve_round_its_block_and_a_sum_a_circle_with_a_plus():
    network, seen = state.network(DEMOS[0].ref), flow_of(DEMOS[0])
    group = graph.made_by(network, "conv1")
    figure = charts.graph(
        graph.picture(seen, group), key=group.key, cut="conv1", makers=set(graph.makers(group)),
        readers=set(graph.readers(group)),
    )  # fmt: skip
    curves = [each for each in figure.data if each.mode == "lines"]
    assert min(min(each.x) for each in curves) < -0.1, "the shortcut goes round what stands between"
    assert any(each.text and list(each.text) == ["<b>+</b>"] * 3 for each in figure.data)
    assert len(figure.layout.annotations) == len(seen.arrows)
    assert charts.way((0, 1), (0, 2)) == [(0, 1), (0, 2)]


def test_of_a_large_network_only_what_is_touched_is_drawn(monkeypatch):
    network = state.network(DEMOS[0].ref)
    group = graph.made_by(network, "layer3.0.conv1")
    monkeypatch.setattr(graph, "MOST", 3)
    assert {node.name for node in graph.picture(flow_of(DEMOS[0]), group).nodes} == {"layer3.0.conv1", "layer3.0.conv2"}
    stream = graph.picture(flow_of(DEMOS[0]), graph.made_by(network, "layer2.0.conv2"))
    arrows = {(each.maker, each.reader) for each in stream.arrows}
    assert ("+2", "layer3.0.conv1") in arrows and not any("+1" in pair for pair in arrows)


def test_what_must_follow_is_told_drawn_and_counted(page):
    page.run()
    page.selectbox(key=sections.LAYER).set_value("layer1.0.conv2").run()
    assert not page.exception and not page.error
    said = " ".join(text.value for text in page.markdown)
    assert "**The same filter of** `conv1`" in said and "layer2.0.shortcut.0" in said
    network = state.network(state.desk().model)
    cost, less = network.cost(), network.cost(Plan({"conv1": [0]}))
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown["Parameters"] == numbers.count(cost.parameters - less.parameters)
    assert shown["MACs"] == numbers.count(cost.macs - less.macs)


def test_a_click_chooses_the_layer(page):
    page.session_state[sections.NEXT] = "layer2.0.conv1"
    page.run()
    assert not page.exception and page.selectbox(key=sections.LAYER).value == "layer2.0.conv1"
    page.slider(key="coupling.channel").set_value(3).run()
    assert not page.exception


def test_a_row_and_a_column_are_marked():
    import torch

    matrix, mark = charts.weight(torch.ones(4, 6, 3, 3), layer="a", channel=2, rows=True).data
    assert matrix.z.shape == (4, 6) and (mark.z[2] == 1).all() and not (mark.z[[0, 1, 3]] == 1).any()
    _, mark = charts.weight(torch.ones(4, 6), layer="a", channel=5, rows=False).data
    assert (mark.z[:, 5] == 1).all() and (mark.z == 1).sum() == 4
