"""The parts of the page, from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.column_types import ColumnConfig

from pages.model import charts, frames
from pages.ui import cards, jobs, measured, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.literal import code, literal, named
from pruning_core.errors import UserError, clip
from pruning_core.graph import Network
from pruning_core.measuring.measure import Measure
from pruning_core.measuring.measures import TOP1, Accuracy, Latency
from pruning_core.runs.view import JobView
from pruning_core.studies.measure import EvaluateRun, LatencyRun
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.meaning import Meaning

MAP_HEIGHT = 720
SELECTED = "model.group"
COUNTED = provenance.derived("counted in the captured network, exactly")
INTERVAL = "The range below is the 95 % Wilson interval: where the accuracy on endless such images would lie."


def introduction(model: LoadedModel) -> None:
    size = " × ".join(str(side) for side in model.input_size)
    plain = model.outputs.meaning is Meaning.SCORES
    gives = f"tells {model.num_classes:,} classes apart" if plain else f"gives {model.outputs}"
    text = f"Reads images of {size} and {gives}."
    if not model.trained:
        text += " :orange-badge[untrained] Its weights are random: accuracies say nothing but chance."
    st.markdown(text)
    for note in model.notes:
        st.caption(literal(note))
    if "command" in model.provenance:
        with st.popover("How it was trained", icon=":material/history_edu:", type="tertiary", wrap=True):
            _training(model.provenance)


def _training(facts: Mapping[str, Any]) -> None:
    data, recipe, accuracy = facts["data"], facts["recipe"], facts["accuracy"]
    st.markdown(
        f"On {data['training_images']:,} images of {named(data['name'])}, {recipe['epochs']} epochs, seed "
        f"{facts['seed']}, "
        f"{facts['device']}, {numbers.duration(facts['seconds'])}, {facts['date']}."
    )
    st.markdown(
        f"It was right on {numbers.percent(accuracy['test'])} of {accuracy['test_images']:,} test images that it had "
        "never seen. The command that repeats it:"
    )
    st.code(facts["command"], language="bash")


# -- figures -----------------------------------------------------------------------------------------------------------


def figures(desk: Desk) -> None:
    """The row on top. Counts are there at once; what has to be run appears while it is measured."""
    cost = state.network(desk.model).cost()
    jobs_of_row = (
        state.jobs().submit(EvaluateRun(desk.model, desk.data), state.owner()),
        state.jobs().submit(LatencyRun(desk.model), state.owner()),
    )
    try:
        judged = measured.of_desk(desk)
    except UserError:  # the run says why
        judged = measured.measure(TOP1)

    def row(views: tuple[JobView, ...]) -> None:
        places = cards.row(6)
        _accuracy(judged, views[0], places[0], places[1])
        cards.number("Parameters", numbers.count(cost.parameters), COUNTED, detail="trainable", container=places[2])
        cards.number("MACs", numbers.count(cost.macs), COUNTED, detail="per image", container=places[3])
        cards.number("Size", numbers.size_bytes(cost.size_bytes), COUNTED, detail="with buffers", container=places[4])
        _latency(views[1], places[5])
        jobs.faults(views, key="model.figures")

    jobs.follow(jobs_of_row, row, key="model.figures")


def _accuracy(judged: Measure, view: JobView, first: DeltaGenerator, second: DeltaGenerator) -> None:
    found = view.last(Accuracy)
    if found is None:
        cards.pending(judged.title, jobs.waiting(view), container=first)
        cards.pending("Top-5 accuracy", jobs.waiting(view), container=second)
        return
    judged = measured.measure(found.measure)
    seen = "" if found.complete else f"so far, of {found.total:,}"
    source = provenance.measured(found.dataset, images=found.images, device=view.device.upper(), note=seen)
    help = INTERVAL if judged.decides else f"The {judged.says}; {measured.way(judged.key)}."
    cards.number(judged.title, measured.value(found), source, detail=measured.bounds(found), help=help, container=first)
    if found.top5 is None:
        why = "fewer than six classes" if found.measure == TOP1 else "only of classes with labels"
        cards.pending("Top-5 accuracy", why, container=second)
    else:
        cards.number(
            "Top-5 accuracy", numbers.percent(found.top5), source, detail=f"{found.images:,} images", container=second
        )


def _latency(view: JobView, place: DeltaGenerator) -> None:
    found = view.last(Latency)
    if found is None:
        cards.pending("Latency", jobs.waiting(view), container=place)
        return
    threads = f", {found.threads} thread{'' if found.threads == 1 else 's'}" if found.device == "CPU" else ""
    source = provenance.measured(
        f"random images, batches of {found.batch_size}, {found.runs} passes",
        device=found.device + threads,
        note=f"Median; 10th to 90th percentile {found.p10_ms:.3g} to {found.p90_ms:.3g} ms.",
    )
    cards.number(
        "Latency", numbers.milliseconds(found.median_ms), source, detail=f"batch {found.batch_size}", container=place
    )


# -- layers and their coupling -----------------------------------------------------------------------------------------


def layers(network: Network) -> None:
    frame = frames.layer_table(network)
    only_weights = st.toggle(
        "Only layers with parameters", True, key="model.only_weights", persist_state="session", wrap=True
    )
    shown = frame[frame["parameters"] > 0] if only_weights else frame
    st.dataframe(
        shown,
        hide_index=True,
        height=min(600, 38 + 35 * len(shown)),
        column_config={
            "layer": st.column_config.TextColumn("Layer", pinned=True, width="medium"),
            "kind": st.column_config.TextColumn("Kind"),
            "input": st.column_config.TextColumn("Input (C × H × W)"),
            "output": st.column_config.TextColumn("Output (C × H × W)"),
            "parameters": st.column_config.NumberColumn("Parameters", format="localized"),
            "macs": st.column_config.NumberColumn("MACs", format="localized", help="For one image."),
            "share_of_parameters": _bar("Parameters, share", shown["share_of_parameters"].max()),
            "share_of_macs": _bar("MACs, share", shown["share_of_macs"].max()),
        },
    )
    cards.source_line(COUNTED)


def _bar(title: str, most: float) -> ColumnConfig:
    return st.column_config.ProgressColumn(title, format="percent", min_value=0.0, max_value=max(float(most), 1e-9))


def coupling(network: Network) -> None:
    st.markdown(
        "Layers that add or concatenate their outputs must lose the *same* channels. Each line is one group of "
        "channels that live or die together; click a dot to see everything that is cut with it."
    )
    if not network.groups:
        st.info("Nothing in this network can be cut. The table below says which operators stand in the way.")
    chosen = st.session_state.get(SELECTED)
    known = {group.key for group in network.groups}
    figure = charts.coupling(
        frames.links(network),
        layers=frames.coupled_layers(network),
        blocked=frames.blocked(network),
        selected=chosen if chosen in known else None,
    )
    left, right = st.columns([3, 2], gap="medium")
    height: int | Literal["content"] = MAP_HEIGHT if figure.layout.height > MAP_HEIGHT else "content"
    with left, st.container(height=height, border=True):
        clicked = plots.pick(figure, "model.coupling", charts.POINTS)
    if clicked is not None:
        st.session_state[SELECTED] = clicked["customdata"]
        st.rerun()
    with right:
        _group(network, chosen if chosen in known else None)
        _blocked(network)


def _group(network: Network, key: str | None) -> None:
    if key is None:
        widest = max(network.groups, key=lambda group: len(group.layers), default=None)
        channels = sum(group.size for group in network.groups)
        st.markdown(f"**{len(network.groups)} groups**, {channels:,} channels to choose from.")
        if widest is not None:
            st.markdown(f"The widest group starts at {code(widest.key)} and ties {len(widest.layers)} layers.")
        return
    group = network.group(key)
    st.markdown(f"**{named(group.key)}** · {group.size} channels · {len(group.layers)} layers")
    if group.exact:
        st.markdown(
            ":green-badge[exact] The cut network computes what the original computes with these channels silenced."
        )
    else:
        st.markdown(f":orange-badge[approximate] {literal(clip(group.reason, 400))}.")
    st.dataframe(
        frames.members(group)[["parameter", "role", "entries_per_channel"]],
        hide_index=True,
        height="content" if len(group.members) <= 12 else 420,
        column_config={
            "parameter": "Tensor",
            "role": "Role",
            "entries_per_channel": st.column_config.NumberColumn("Entries per channel", format="localized"),
        },
    )


def _blocked(network: Network) -> None:
    frame = frames.blocked(network)
    if frame.empty:
        return
    with st.expander(
        f"{len(frame)} dimension{'' if len(frame) == 1 else 's'} that cannot be cut", icon=":material/block:"
    ):
        st.dataframe(
            frame[["parameter", "dimension", "entries", "operator", "reason"]],
            hide_index=True,
            column_config={
                "parameter": "Tensor",
                "dimension": "Dimension",
                "entries": "Entries",
                "operator": "Blocked by",
                "reason": "Because",
            },
        )
