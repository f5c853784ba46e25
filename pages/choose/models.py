"""Where a network comes from: a demo, torchvision, or a file."""

from __future__ import annotations

import json

import streamlit as st

from pages.choose import files
from pages.choose.progress import Bar
from pages.ui import cards, numbers, provenance, state
from pages.ui.errors import plain_errors
from pruning_core.datasets import DataRef
from pruning_core.zoo import (
    Demo,
    ModelRef,
    available_demos,
    load_model,
    torchvision_names,
)
from pruning_core.zoo.torchvision_models import input_size, parameters

DEMO, TORCHVISION, FILE = "Demo", "torchvision", "A file of yours"
PRETRAINED, RANDOM = "pretrained", "random"


def draw() -> None:
    source = st.segmented_control(
        "Where from",
        (DEMO, TORCHVISION, FILE),
        default=DEMO,
        required=True,
        key="choose.model.source",
        persist_state="session",
        wrap=True,
    )
    match source:
        case "Demo":
            _demos()
        case "torchvision":
            _torchvision()
        case _:
            files.draw(take)


def take(model: ModelRef, data: DataRef | None = None) -> None:
    """Put it on the desk. Raises UserError when it does not load."""
    if state.choose_model(model, data):
        st.toast("It is on the desk.", icon=":material/check:")
    st.rerun()


# -- demos -------------------------------------------------------------------------------------------------------------


def _demos() -> None:
    st.caption("Trained by this project, with the command that repeats it. Each brings its data.")
    now = state.desk().model
    for demo in available_demos():
        with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{demo.title}**  \n{_worth(demo)}")
            chosen = demo.ref == now
            label = "On the desk" if chosen else "Use it"
            if st.button(label, key=f"choose.demo.{demo.name}", disabled=chosen, wrap=True):
                with plain_errors():
                    take(demo.ref, demo.data)


def _worth(demo: Demo) -> str:
    """What its training wrote down beside it."""
    facts = json.loads(demo.provenance_path.read_text(encoding="utf-8"))
    accuracy = facts["accuracy"]
    source = provenance.measured(facts["data"]["name"], images=accuracy["test_images"], device=facts["device"])
    return (
        f":gray[{numbers.count(facts['parameters'])} parameters, right on {numbers.percent(accuracy['test'])} of "
        f"{accuracy['test_images']:,} test images of {facts['data']['name']}] {cards.badge(source)}"
    )


# -- torchvision -------------------------------------------------------------------------------------------------------


def _torchvision() -> None:
    names = torchvision_names()
    left, middle, right = st.columns([2, 2, 1])
    name = left.selectbox("Network", names, names.index("resnet18"), key="choose.tv.name", persist_state="session")
    with middle:
        weights = st.segmented_control(
            "Weights",
            (PRETRAINED, RANDOM),
            default=PRETRAINED,
            required=True,
            key="choose.tv.weights",
            help="Pretrained: on ImageNet, as published; they are downloaded once. Random: untrained, and says so.",
            persist_state="session",
            wrap=True,
        )
    classes, side = 1000, input_size(name, weights == PRETRAINED)[1]
    if weights == RANDOM:
        fitting = len(state.splits(state.desk().data)[1].classes) or 1000
        classes = right.number_input("Classes", 2, 100_000, fitting, key="choose.tv.classes", persist_state="session")
        usual = side
        side = left.number_input(
            "Image side (pixels)", 16, 1024, usual, key=f"choose.tv.side.{name}", help="Images are resized to it."
        )
    st.caption(
        f"{numbers.count(parameters(name))} parameters with 1,000 classes, images of {side} × {side} pixels."
        + (" :orange-badge[untrained] Random weights: its accuracy is chance." if weights == RANDOM else "")
    )
    if st.button("Load it", type="primary", key="choose.tv.load", wrap=True):
        ref = ModelRef("torchvision", name, weights=PRETRAINED)
        if weights == RANDOM:
            size = None if side == input_size(name)[1] else (3, side, side)
            ref = ModelRef("torchvision", name, weights=RANDOM, num_classes=classes, input_size=size)
        with plain_errors(), Bar("Loading …") as bar:
            load_model(ref, state.workspace(), bar)
            take(ref)
