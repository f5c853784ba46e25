"""Where a network comes from: a demo, torchvision, or a file."""

from __future__ import annotations

import json

import streamlit as st

from pages.choose import inbox
from pages.choose.progress import Bar
from pages.ui import cards, numbers, provenance, state
from pages.ui.errors import plain_errors
from pages.ui.literal import literal, named
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.zoo import (
    ARCHITECTURES,
    SUFFIXES,
    Demo,
    ModelRef,
    available_demos,
    import_model,
    load_model,
    torchvision_names,
)
from pruning_core.zoo.torchvision_models import input_size, parameters

DEMO, TORCHVISION, FILE = "Demo", "torchvision", "A file of yours"
PRETRAINED, RANDOM = "pretrained", "random"
SLOT = "model"
FAULT = "choose.model.fault"
RECOGNISE = "recognise it"


def draw() -> None:
    source = st.segmented_control(
        "Where from",
        (DEMO, TORCHVISION, FILE),
        default=DEMO,
        required=True,
        key="choose.model.source",
        persist_state="session",
    )
    match source:
        case "Demo":
            _demos()
        case "torchvision":
            _torchvision()
        case _:
            _file()


def take(model: ModelRef, data: DataRef | None = None) -> None:
    """Put it on the desk. Raises UserError when it does not load."""
    state.choose_model(model, data)
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
            if st.button(label, key=f"choose.demo.{demo.name}", disabled=chosen):
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
        )
    classes, side = 1000, input_size(name, weights == PRETRAINED)[1]
    if weights == RANDOM:
        fitting = len(state.splits(state.desk().data)[1].classes)
        classes = right.number_input("Classes", 2, 100_000, fitting, key="choose.tv.classes", persist_state="session")
        usual = side
        side = left.number_input(
            "Image side (pixels)", 16, 1024, usual, key=f"choose.tv.side.{name}", help="Images are resized to it."
        )
    st.caption(
        f"{numbers.count(parameters(name))} parameters with 1,000 classes, images of {side} × {side} pixels."
        + (" :orange-badge[untrained] Random weights: its accuracy is chance." if weights == RANDOM else "")
    )
    if st.button("Load it", type="primary", key="choose.tv.load"):
        ref = ModelRef("torchvision", name, weights=PRETRAINED)
        if weights == RANDOM:
            size = None if side == input_size(name)[1] else (3, side, side)
            ref = ModelRef("torchvision", name, weights=RANDOM, num_classes=classes, input_size=size)
        with plain_errors(), Bar("Loading …") as bar:
            load_model(ref, state.workspace(), bar)
            take(ref)


# -- files -------------------------------------------------------------------------------------------------------------


def _file() -> None:
    sent = inbox.receive(
        "A network as a file: " + ", ".join(SUFFIXES),
        SLOT,
        help="State dicts, also inside a checkpoint; exported programs; ONNX. Nothing in the file is ever run.",
    )
    if sent is None:
        st.caption(
            "The architecture is recognised from the names and shapes of the weights where it is torchvision's or one "
            "of ours. A .pt2 or .onnx brings its own."
        )
        return
    fault = st.session_state.get(FAULT)
    if fault is None or fault[0] != sent:
        _read(sent, None, None)
        return
    st.error(literal(fault[1]), icon=":material/error:")
    _retry(sent)


def _read(sent: inbox.Sent, architecture: str | None, size: tuple[int, int, int] | None) -> None:
    """Judge and keep the file; what is wrong with it stays on the page until another is sent."""
    try:
        with st.spinner(f"Reading {named(sent.name)} …", show_time=True):
            loaded = import_model(sent.path, sent.name, state.workspace(), architecture, size)
            state.loaded(loaded.ref)
    except UserError as error:
        st.session_state[FAULT] = (sent, str(error))
        st.rerun()
    inbox.drop(SLOT)
    st.session_state.pop(FAULT, None)
    take(loaded.ref)


def _retry(sent: inbox.Sent) -> None:
    """The ways on: another file, or the same one with what the visitor knows about it."""
    if st.button("Forget this file", key="choose.file.forget"):
        inbox.drop(SLOT)
        st.session_state.pop(FAULT, None)
        st.rerun()
    with st.expander(f"I know what {named(sent.name)} is ({numbers.size_bytes(sent.size)})", icon=":material/build:"):
        options = (RECOGNISE, *(item.name for item in ARCHITECTURES), *torchvision_names())
        titles = {item.name: item.title for item in ARCHITECTURES}
        left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
        name = left.selectbox(
            "Architecture", options, key="choose.file.architecture", format_func=lambda each: titles.get(each, each)
        )
        side = middle.number_input("Image side (pixels)", 1, 1024, None, key="choose.file.side", placeholder="as usual")
        channels = right.selectbox("Channels", (3, 1), key="choose.file.channels")
        if st.button("Try again", type="primary", key="choose.file.again"):
            size = (int(channels), int(side), int(side)) if side else None
            _read(sent, None if name == RECOGNISE else name, size)
