"""The Granularity page: one layer of the loaded network, cut at each granularity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.granularity import charts, effects
from pages.ui import engine, numbers, state
from pruning_core.analysis import one_layer
from pruning_core.sparsity import grains
from pruning_core.sparsity.grains import Grain

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.chdir(ROOT)
    return AppTest.from_file(str(ROOT / "pages" / "granularity" / "page.py"), default_timeout=120)


@pytest.mark.parametrize("grain", list(Grain))
def test_every_granularity_draws_measures_and_times(page, grain):
    page.session_state["granularity.grain"] = grain
    page.run()
    assert not page.exception and not page.error
    shown = {metric.label: metric.value for metric in page.metric}
    desk, layer = state.desk(), page.selectbox(key="granularity.layer").value
    ratio = 0.75 if grains.least(grain) < 0.75 < grains.most(grain) else grains.least(grain)
    found = effects.effect(desk, layer, grain, ratio)
    assert shown["MACs of the network"] == numbers.count(found.macs)
    assert shown["Accuracy"] == numbers.percent(found.measured.accuracy.top1)
    assert found.removed == (grain is Grain.FILTER)
    times = effects.times(desk, layer, grain, ratio)
    assert (one_layer.SMALLER in times) == (grain is Grain.FILTER)


def test_filters_are_really_removed_and_zeros_only_counted(monkeypatch):
    monkeypatch.chdir(ROOT)
    desk = state.desk()
    network, weights = (
        state.network(desk.model),
        one_layer.layers(state.loaded(desk.model).model, state.network(desk.model)),
    )
    layer = "layer3.0.conv1"
    mask = grains.mask(Grain.FILTER, weights[layer], 0.5)
    plan = effects.plan_of(network, layer, mask)
    assert set(plan[layer]) == {i for i in range(64) if not mask[i].any()}
    cut = effects.effect(desk, layer, Grain.FILTER, 0.5)
    assert cut.macs == network.cost(plan).macs
    assert cut.measured == engine.measure(desk, network, plan)[0]
    own = next(row.macs for row in network.layer_costs() if row.name == layer)
    assert effects.effect(desk, layer, Grain.ELEMENT, 0.5).macs == network.cost().macs - own // 2 > cut.macs


def test_the_picture_shows_every_kernel_and_what_goes():
    weight = torch.arange(1.0, 73).reshape(2, 4, 3, 3)
    mask = grains.mask(Grain.FILTER, weight, 0.5)
    gone, kept = charts.kernels(weight, mask, layer="a", grain="filter").data
    assert gone.z.shape == (7, 15) and (gone.z[:3] == 1).sum() == 36, "the first filter is the smaller one"
    assert (kept.z[4:] > 0).sum() == 36 and not (kept.z[:3] > 0).any()


def test_all_of_them_side_by_side(page):
    page.session_state["granularity.all"] = True
    page.run()
    assert not page.exception and not page.error
    table = page.dataframe[0].value
    assert len(table) == len(Grain) and set(table["structure"]) == {"structured", "semi-structured", "unstructured"}
    assert set(table.loc[table["smaller"] != "–", "granularity"]) == {"Filter"}
