"""The engine that answers a plan with a measured accuracy at once: one for each network and data, for all pages."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.ui import state
from pages.ui.desk import Desk
from pages.ui.language import _
from pages.ui.waiting import waiting
from pruning_core.analysis.slider import Measured, Slider
from pruning_core.apart import household
from pruning_core.apart.sliding import FarSlider
from pruning_core.datasets import DataRef, hold_out
from pruning_core.graph import Network, Plan
from pruning_core.studies.inputs import fitted
from pruning_core.zoo import ModelRef

UNASKED_MACS = 1.2e11  # of a measurement that need not be asked for: about a second
IMAGES, FEW = 512, 64  # measured on; the few when it has to be asked for
KEPT = 3


def unasked(network: Network) -> bool:
    """Whether the network is small enough to be measured after every move."""
    return network.cost().macs * IMAGES <= UNASKED_MACS


def of(desk: Desk, network: Network) -> Slider | FarSlider:
    """Raises UserError when network and data do not fit."""
    images = IMAGES if unasked(network) else FEW
    data = replace(desk.data, split="test")  # as the other pages name it, so that the images are loaded once
    key = desk.model.to_json(), data.to_json(), images, str(state.workspace().root)
    return waiting(_("Preparing estimates …"), _shared, *key)


def measure(desk: Desk, network: Network, plan: Plan) -> tuple[Measured, str]:
    """A plan's accuracy on held-out images, and the device's name; at once where it is known. Raises UserError."""
    slider = of(desk, network)
    found = slider.measured(plan)
    if found is None:
        *_, found = slider.measuring(plan)
    return found, slider.title


@st.cache_resource(show_spinner=False, max_entries=KEPT)
def _shared(model: str, data: str, images: int, root: str) -> Slider | FarSlider:
    ref, images_of = ModelRef.from_json(model), DataRef.from_json(data)
    if far := household.far(ref, state.workspace()):
        return far.slider(images_of, images)
    loaded = state.loaded(ref)
    held_out = hold_out(state.splits(images_of)[0], images_of)[1]
    return Slider(loaded.model, state.network(ref), fitted(held_out.subset(images), images_of, loaded))
