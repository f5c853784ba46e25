"""What one layer cut at one granularity does to its network: counted, measured, timed. No widgets."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from torch import Tensor, nn

from pages.ui import engine, state
from pages.ui.desk import Desk
from pages.ui.language import N_
from pruning_core.analysis import one_layer
from pruning_core.analysis.one_layer import Stored
from pruning_core.analysis.slider import Measured, Slider
from pruning_core.graph import Network, Plan
from pruning_core.measuring.beside import InTurns
from pruning_core.sparsity import grains
from pruning_core.sparsity.grains import Grain
from pruning_core.zoo import ModelRef

AWAY = N_(
    "This network is a program out of a file and runs in a process of its own, where single "
    "weights are not changed. Its weights are shown and counted; what they "
    "do to it, and times, are measured for networks of this house."
)


@dataclass(frozen=True, eq=False)
class Effect:
    """``removed``: whether the network is really smaller, else it has zeros. ``macs`` of one image; with zeros those
    whose weight is not zero. ``measured`` None where the network does not run here."""

    zeros: float
    macs: int
    removed: bool
    stored: Stored
    measured: Measured | None
    device: str


def plan_of(network: Network, layer: str, mask: Tensor) -> Plan | None:
    """The removal of the filters that ``mask`` (True stays) leaves nothing of; None where it is no exact removal."""
    empty = ~mask.flatten(1).any(1)
    for group in network.groups:
        for member in group.producers:
            if member.layer == layer and member.dim == 0 and group.exact:
                gone = [unit for unit, rows in enumerate(member.index) if bool(empty[rows.tolist()].all())]
                return Plan({group.key: gone}) if 0 < len(gone) < group.size else None
    return None


def effect(desk: Desk, layer: str, grain: Grain, ratio: float) -> Effect:
    """Raises UserError where the network cannot be measured on the data."""
    return _effect(
        desk.model.to_json(), desk.data.to_json(), layer, grain.value, ratio, str(state.workspace().root), desk
    )


@st.cache_resource(show_spinner=False, max_entries=256)
def _effect(model: str, data: str, layer: str, grain: str, ratio: float, root: str, _desk: Desk) -> Effect:
    loaded, network = state.loaded(_desk.model), state.network(_desk.model)
    weight = one_layer.layers(loaded.model, network)[layer]
    mask = grains.mask(Grain(grain), weight, ratio)
    plan = plan_of(network, layer, mask) if grain == Grain.FILTER else None
    own = next(row.macs for row in network.layer_costs() if row.name == layer)
    zeros = 1 - float(mask.double().mean())
    slider = engine.of(_desk, network)
    measured: Measured | None = None
    if plan is not None:
        measured, _ = engine.measure(_desk, network, plan)
    elif isinstance(slider, Slider):
        measured = slider.instead(one_layer.masked(slider.model, {layer: mask}))
    macs = network.cost(plan).macs if plan is not None else round(network.cost().macs - zeros * own)
    return Effect(zeros, macs, plan is not None, one_layer.stored(weight, mask), measured, slider.title)


@st.cache_resource(show_spinner=False, max_entries=256)
def timed(model: str, layer: str, grain: str, ratio: float, root: str) -> dict[str, InTurns]:
    """Empty where the layer does not run in this process."""
    ref = ModelRef.from_json(model)
    loaded, network = state.loaded(ref), state.network(ref)
    known: dict[str, nn.Module] = dict(loaded.model.named_modules())
    if type(known.get(layer)) not in (nn.Conv2d, nn.Linear):
        return {}
    row = next(row for row in network.layer_costs() if row.name == layer)
    weight = one_layer.layers(loaded.model, network)[layer]
    return one_layer.timed(known[layer], row.shape_in, grains.mask(Grain(grain), weight, ratio), row.macs)


def times(desk: Desk, layer: str, grain: Grain, ratio: float) -> dict[str, InTurns]:
    return timed(desk.model.to_json(), layer, grain.value, ratio, str(state.workspace().root))
