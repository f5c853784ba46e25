"""Where a network comes from: a demo, torchvision, or a file."""

from __future__ import annotations

import json

import streamlit as st

from pages.choose import files
from pages.choose.progress import Bar
from pages.ui import cards, numbers, provenance, state
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, about
from pages.ui.nouns import IMAGE
from pruning_core.datasets import DataRef
from pruning_core.datasets.called import Called
from pruning_core.zoo import (
    Demo,
    ModelRef,
    available_demos,
    load_model,
    torchvision_names,
)
from pruning_core.zoo.torchvision_models import input_size, parameters

DEMO, TORCHVISION, FILE = N_("Demo"), "torchvision", N_("A file of yours")
PRETRAINED, RANDOM = "pretrained", "random"


def draw() -> None:
    source = st.segmented_control(
        _("Where from"),
        (DEMO, TORCHVISION, FILE),
        format_func=_,
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
        st.toast(_("It is on the desk."), icon=":material/check:")
    st.rerun()


# -- demos -------------------------------------------------------------------------------------------------------------


def _demos() -> None:
    st.caption(_("Trained by this project, with the command that repeats it. Each brings its data."))
    now = state.desk().model
    for demo in available_demos():
        with st.container(border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.markdown(f"**{demo.title}**  \n{_worth(demo)}")
            chosen = demo.ref == now
            label = _("On the desk") if chosen else _("Use it")
            if st.button(label, key=f"choose.demo.{demo.name}", disabled=chosen, wrap=True):
                with plain_errors():
                    take(demo.ref, demo.data)


def _worth(demo: Demo) -> str:
    """What its training wrote down beside it."""
    facts = json.loads(demo.provenance_path.read_text(encoding="utf-8"))
    accuracy = facts["accuracy"]
    of_text = "perplexity" in accuracy
    with about(Called.SEQUENCE if of_text else IMAGE):  # whatever lies on the desk now
        source = provenance.measured(facts["data"]["name"], images=accuracy["test_images"], device=facts["device"])
        text = (
            _(
                ":gray[{count} parameters, right about {percent} of the characters that follow in {accuracy:,} test "
                "windows of {facts}, perplexity {perplexity:.2f}] {badge}"
            )
            if of_text
            else _(":gray[{count} parameters, right on {percent} of {accuracy:,} test images of {facts}] {badge}")
        )
        return text.format(
            count=numbers.count(facts["parameters"]),
            percent=numbers.percent(accuracy["test"]),
            accuracy=accuracy["test_images"],
            facts=facts["data"]["name"],
            perplexity=accuracy.get("perplexity", 0.0),
            badge=cards.badge(source),
        )


# -- torchvision -------------------------------------------------------------------------------------------------------


def _torchvision() -> None:
    names = torchvision_names()
    left, middle, right = st.columns([2, 2, 1])
    name = left.selectbox(_("Network"), names, names.index("resnet18"), key="choose.tv.name", persist_state="session")
    with middle:
        weights = st.segmented_control(
            _("Weights"),
            (PRETRAINED, RANDOM),
            default=PRETRAINED,
            required=True,
            key="choose.tv.weights",
            help=_("Pretrained: on ImageNet, as published; they are downloaded once. Random: untrained, and says so."),
            persist_state="session",
            wrap=True,
        )
    classes, side = 1000, input_size(name, weights == PRETRAINED)[1]
    if weights == RANDOM:
        fitting = len(state.splits(state.desk().data)[1].classes) or 1000
        classes = right.number_input(
            _("Classes"), 2, 100_000, fitting, key="choose.tv.classes", persist_state="session"
        )
        usual = side
        side = left.number_input(
            _("Image side (pixels)"), 16, 1024, usual, key=f"choose.tv.side.{name}", help=_("Images are resized to it.")
        )
    st.caption(
        _("{count} parameters with 1,000 classes, images of {side} × {side} pixels.").format(
            count=numbers.count(parameters(name)), side=side
        )
        + (_(" :orange-badge[untrained] Random weights: its accuracy is chance.") if weights == RANDOM else "")
    )
    if st.button(_("Load it"), type="primary", key="choose.tv.load", wrap=True):
        ref = ModelRef("torchvision", name, weights=PRETRAINED)
        if weights == RANDOM:
            size = None if side == input_size(name)[1] else (3, side, side)
            ref = ModelRef("torchvision", name, weights=RANDOM, num_classes=classes, input_size=size)
        with plain_errors(), Bar(_("Loading …")) as bar:
            load_model(ref, state.workspace(), bar)
            take(ref)
