"""The parts of the page, from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.column_types import ColumnConfig

from pages.model import charts, frames
from pages.ui import cards, inputs, jobs, measured, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, ngettext, said
from pages.ui.literal import code, literal, named
from pruning_core.errors import UserError, clip
from pruning_core.graph import Network
from pruning_core.measuring.measure import Against, Measure
from pruning_core.measuring.measures import TOP1, Accuracy, Latency
from pruning_core.runs.view import JobView
from pruning_core.studies.measure import EvaluateRun, LatencyRun
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.meaning import Meaning

MAP_HEIGHT = 720
SELECTED = "model.group"
COUNTED = provenance.derived(N_("counted in the captured network, exactly."))
INTERVAL = N_("The range below is the 95 % Wilson interval: where the accuracy on endless such images would lie.")


def introduction(model: LoadedModel) -> None:
    size = " × ".join(str(side) for side in model.input_size)
    plain = model.outputs.meaning is Meaning.SCORES
    if len(model.input_size) != 3:
        reads = inputs.told(model.interface) if model.interface is not None else size
        text = _("Reads {inputs} and gives {outputs}.").format(inputs=reads, outputs=said(str(model.outputs)))
    elif plain:
        text = _("Reads images of {size} and tells {n:,} classes apart.").format(size=size, n=model.num_classes)
    else:
        text = _("Reads images of {size} and gives {outputs}.").format(size=size, outputs=said(str(model.outputs)))
    if not model.trained:
        text += " " + _(
            ":orange-badge[untrained] Its weights are random: what is measured of it says nothing but chance."
        )
    st.markdown(text)
    for note in model.notes:
        st.caption(literal(said(note)))
    if model.ref.origin.architecture == "keras":
        st.caption(_("It goes home as a file of Keras again, as an exported program (.pt2) or as ONNX, on Download."))
    if "command" in model.provenance:
        with st.popover(_("How it was trained"), icon=":material/history_edu:", type="tertiary", wrap=True):
            _training(model.provenance)


def _training(facts: Mapping[str, Any]) -> None:
    data, recipe, accuracy = facts["data"], facts["recipe"], facts["accuracy"]
    st.markdown(
        _("On {n:,} images of {data}, {epochs} epochs, seed {seed}, {device}, {time}, {date}.").format(
            n=data["training_images"],
            data=named(data["name"]),
            epochs=recipe["epochs"],
            seed=facts["seed"],
            device=facts["device"],
            time=numbers.duration(facts["seconds"]),
            date=facts["date"],
        )
    )
    if "perplexity" in accuracy:
        text = _(
            "It was right about {share} of the characters that follow in {n:,} test windows that it had never seen, at "
            "a perplexity of {perplexity:.2f}. The command that repeats it:"
        ).format(share=numbers.percent(accuracy["test"]), n=accuracy["test_images"], perplexity=accuracy["perplexity"])
    else:
        text = _(
            "It was right on {share} of {n:,} test images that it had never seen. The command that repeats it:"
        ).format(share=numbers.percent(accuracy["test"]), n=accuracy["test_images"])
    st.markdown(text)
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
        of_classes = judged.against is Against.CLASSES
        first, *more = cards.row(6 if of_classes else 5)
        _judged(judged, views[0], first)
        if of_classes:
            _top5(views[0], more.pop(0))
        cards.number(_("Parameters"), numbers.count(cost.parameters), COUNTED, detail=_("trainable"), container=more[0])
        cards.number(_("MACs"), numbers.count(cost.macs), COUNTED, detail=_("per image"), container=more[1])
        cards.number(
            _("Size"), numbers.size_bytes(cost.size_bytes), COUNTED, detail=_("with buffers"), container=more[2]
        )
        _latency(views[1], more[3])
        jobs.faults(views, key="model.figures")

    jobs.follow(jobs_of_row, row, key="model.figures")


def _judged(judged: Measure, view: JobView, place: DeltaGenerator) -> None:
    found = view.last(Accuracy)
    if found is None:
        cards.pending(said(judged.title), jobs.waiting(view), container=place)
        return
    judged = measured.measure(found.measure)
    help = (
        _(INTERVAL)
        if judged.decides
        else _("The {what}; {way}.").format(what=said(judged.says), way=measured.way(judged.key))
    )
    cards.number(
        said(judged.title), measured.value(found), _source(found, view), detail=measured.bounds(found), help=help,
        container=place,
    )  # fmt: skip


def _top5(view: JobView, place: DeltaGenerator) -> None:
    found = view.last(Accuracy)
    if found is None or found.top5 is None:
        why = jobs.waiting(view) if found is None else _("fewer than six classes")
        cards.pending(_("Top-5 accuracy"), why, container=place)
        return
    detail = _("{images:,} images").format(images=found.images)
    cards.number(_("Top-5 accuracy"), numbers.percent(found.top5), _source(found, view), detail=detail, container=place)


def _source(found: Accuracy, view: JobView) -> provenance.Provenance:
    seen = "" if found.complete else _("so far, of {total:,}").format(total=found.total)
    return provenance.measured(found.dataset, images=found.images, device=view.device.upper(), note=seen)


def _latency(view: JobView, place: DeltaGenerator) -> None:
    found = view.last(Latency)
    if found is None:
        cards.pending(_("Latency"), jobs.waiting(view), container=place)
        return
    source = provenance.measured(
        _("random images, batches of {n}, {passes} passes").format(n=found.batch_size, passes=found.runs),
        device=provenance.processor(found.device, found.threads),
        note=_("Median; 10th to 90th percentile {low:.3g} to {high:.3g} ms.").format(
            low=found.p10_ms, high=found.p90_ms
        ),
    )
    cards.number(
        _("Latency"),
        numbers.milliseconds(found.median_ms),
        source,
        detail=_("batch {batch_size}").format(batch_size=found.batch_size),
        container=place,
    )


# -- layers and their coupling -----------------------------------------------------------------------------------------


def layers(network: Network) -> None:
    frame = frames.layer_table(network)
    only_weights = st.toggle(
        _("Only layers with parameters"), True, key="model.only_weights", persist_state="session", wrap=True
    )
    shown = frame[frame["parameters"] > 0] if only_weights else frame
    maps = bool((frame["input"].str.count("×") == 2).any())  # of pictures, whatever else comes behind
    st.dataframe(
        shown,
        hide_index=True,
        height=min(600, 38 + 35 * len(shown)),
        column_config={
            "layer": st.column_config.TextColumn(_("Layer"), pinned=True, width="medium"),
            "kind": st.column_config.TextColumn(_("Kind")),
            "input": st.column_config.TextColumn(_("Input (C × H × W)") if maps else _("Input")),
            "output": st.column_config.TextColumn(_("Output (C × H × W)") if maps else _("Output")),
            "parameters": st.column_config.NumberColumn(_("Parameters"), format="localized"),
            "macs": st.column_config.NumberColumn(_("MACs"), format="localized", help=_("For one image.")),
            "share_of_parameters": _bar(_("Parameters, share"), shown["share_of_parameters"].max()),
            "share_of_macs": _bar(_("MACs, share"), shown["share_of_macs"].max()),
        },
    )
    cards.source_line(COUNTED)


def _bar(title: str, most: float) -> ColumnConfig:
    return st.column_config.ProgressColumn(title, format="percent", min_value=0.0, max_value=max(float(most), 1e-9))


def coupling(network: Network) -> None:
    st.markdown(
        _(
            "Layers that add or concatenate their outputs must lose the *same* channels. Each line "
            "is one group of channels that live or die together; click a dot to see everything "
            "that is cut with it."
        )
    )
    if not network.groups:
        st.info(_("Nothing in this network can be cut. The table below says which operators stand in the way."))
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
        st.markdown(
            _("**{n} groups**, {channels:,} channels to choose from.").format(n=len(network.groups), channels=channels)
        )
        if widest is not None:
            st.markdown(
                _("The widest group starts at {key} and ties {n} layers.").format(
                    key=code(widest.key), n=len(widest.layers)
                )
            )
        return
    group = network.group(key)
    st.markdown(
        _("**{key}** · {size} channels · {n} layers").format(key=named(group.key), size=group.size, n=len(group.layers))
    )
    if group.exact:
        st.markdown(
            _(":green-badge[exact] The cut network computes what the original computes with these channels silenced.")
        )
    else:
        st.markdown(_(":orange-badge[approximate] {reason}.").format(reason=literal(clip(said(group.reason), 400))))
    members = frames.members(group)
    st.dataframe(
        members.assign(role=members["role"].map(said))[["parameter", "role", "entries_per_channel"]],
        hide_index=True,
        height="content" if len(group.members) <= 12 else 420,
        column_config={
            "parameter": _("Tensor"),
            "role": _("Role"),
            "entries_per_channel": st.column_config.NumberColumn(_("Entries per channel"), format="localized"),
        },
    )


def _blocked(network: Network) -> None:
    frame = frames.blocked(network)
    if frame.empty:
        return
    with st.expander(
        ngettext("{n} dimension that cannot be cut", "{n} dimensions that cannot be cut", len(frame)).format(
            n=len(frame)
        ),
        icon=":material/block:",
    ):
        st.dataframe(
            frame.assign(reason=frame["reason"].map(said))[["parameter", "dimension", "entries", "operator", "reason"]],
            hide_index=True,
            column_config={
                "parameter": _("Tensor"),
                "dimension": _("Dimension"),
                "entries": _("Entries"),
                "operator": _("Blocked by"),
                "reason": _("Because"),
            },
        )
