"""One layer at many widths: what is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.latency import charts, devices
from pages.ui import cards, jobs, numbers, plots, provenance, started, state
from pages.ui.desk import Desk
from pruning_core.analysis import one_layer
from pruning_core.analysis.widths import Cliff
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.runs.view import JobView, State
from pruning_core.studies.widths import COPIES, NETWORKS, Width, WidthsRun, group_of

SHOWN, PASS_MACS, LARGEST = "latency.widths.shown", 1e8, 64
ALONE, WHOLE = "The layer alone", "The whole network, really smaller"


def section(desk: Desk, network: Network) -> None:
    layers = _layers(desk, network)
    if not layers:
        st.info("No convolution or linear layer of this network has channels that can be cut.")
        return
    run = _choose(desk, network, layers)
    started.button(run, "measurement", key="latency.widths.start", shown=SHOWN, forget="latency.widths.none")
    found = started.mine(WidthsRun, lambda spec: spec.model == desk.model)
    if not found:
        return
    view, spec = started.choose(found, "Measurement", _label, shown=SHOWN)
    seen = jobs.watch(view.id, key="latency.widths")
    if seen.state is State.DONE:
        _result(spec, seen)


def _layers(desk: Desk, network: Network) -> dict[str, int]:
    """Name -> MACs of one image, of layers whose own channels can be cut; in order."""
    weights, found = one_layer.layers(state.loaded(desk.model).model, network), {}
    macs = {row.name: row.macs for row in network.layer_costs()}
    for name in weights:
        try:
            group_of(network, name)
        except UserError:
            continue
        if name in macs:
            found[name] = macs[name]
    return found


def _choose(desk: Desk, network: Network, layers: dict[str, int]) -> WidthsRun:
    first, second, third = st.columns([3, 2, 3], gap="medium")
    names = list(layers)
    largest = max(names, key=layers.__getitem__)
    layer = first.selectbox("Layer", names, names.index(largest), key="latency.layer", persist_state="session")
    layer = layer if layer in layers else largest
    usual = min(LARGEST, 1 << max(0, int(PASS_MACS // max(layers[layer], 1)).bit_length() - 1))
    batches = sorted({1, 8, 32, usual})
    batch = second.selectbox(
        "Images in a pass", batches, batches.index(usual), key=f"latency.batch.{usual}", persist_state="session",
        help="With few images little but the start of the layer is timed.",
    )  # fmt: skip
    with third:
        how = st.segmented_control(
            "What is timed", (ALONE, WHOLE), default=ALONE, required=True, key="latency.what", wrap=True,
            persist_state="session",
        )  # fmt: skip
        device = devices.choose("latency.widths.device")
    if how == WHOLE:
        st.caption(
            f"Channels of the layer's group are really removed, at up to {NETWORKS} widths; everything else stays."
        )
    return WidthsRun(desk.model, layer, int(batch or usual), how == WHOLE, device=device)


def _label(spec: WidthsRun) -> str:
    return f"{spec.layer}, {(WHOLE if spec.whole else ALONE).lower()}, batches of {spec.batch_size}, {spec.device}"


def _result(spec: WidthsRun, view: JobView) -> None:
    found, cliffs = view.all(Width), view.all(Cliff)
    if len(found) < 2:
        st.info("This layer has a single channel, so there is nothing to compare.")
        return
    plots.show(charts.widths(found, cliffs, layer=spec.layer, whole=spec.whole), "latency.widths.chart")
    for sentence in said(found, cliffs, "network's" if spec.whole else "layer's"):
        st.markdown(sentence)
    if (flat := without_gain(found)) is not None:
        st.warning(
            f"Down to {flat.channels:,} channels there are {_fewer(flat, found)} fewer MACs, and no saving of time is "
            "outside the measured noise.",
            icon=":material/warning:",
        )
    latency = found[-1].latency
    what = "networks with channels of this group really removed" if spec.whole else "this layer's own weights alone"
    cards.source_line(
        provenance.measured(
            f"{what}, batches of {latency.batch_size} random images, {latency.runs // COPIES} passes of each of "
            f"{COPIES} copies, all in turns and every round in another order",
            device=f"{latency.device}, {latency.threads} thread{'' if latency.threads == 1 else 's'}",
        ),
        provenance.derived("MACs counted in the captured network"),
    )


def said(found: Sequence[Width], cliffs: Sequence[Cliff], whose: str) -> list[str]:
    """What the figure shows, in Markdown."""
    least, full = found[0], found[-1]
    sentences = [
        f"From {full.channels:,} channels to {least.channels:,} the {whose} MACs fall by {_fewer(least, found)}; the "
        f"time falls by {numbers.milliseconds(least.saved_low_ms)} to {numbers.milliseconds(least.saved_high_ms)} of "
        f"{numbers.milliseconds(full.latency.median_ms)}."
        if not least.no_difference
        else f"From {full.channels:,} channels to {least.channels:,} the {whose} MACs fall by {_fewer(least, found)}."
    ]
    if cliffs:
        steps = ", ".join(f"{each.fewer:,} → {each.more:,}" for each in cliffs)
        sentences.append(
            f"**Steps that are no noise** (channels): {steps}. Widths just below a step up cost the least."
        )
    else:
        apart = max(each.copies_ms for each in found)
        sentences.append(
            "No step from one width to the next is outside the noise: equal copies differ by up to "
            f"{numbers.milliseconds(apart)} here."
        )
    return sentences


def without_gain(found: Sequence[Width]) -> Width | None:
    """The narrowest one that, as all wider ones, may save no time at all though it saves MACs."""
    flat = None
    for each in reversed(found[:-1]):
        if not each.no_difference:
            break
        flat = each
    return flat


def _fewer(each: Width, found: Sequence[Width]) -> str:
    return numbers.percent(1 - each.macs / max(1, found[-1].macs), 0)
