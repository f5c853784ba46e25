"""One layer at many widths: what is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.latency import charts, devices
from pages.ui import cards, jobs, numbers, plots, provenance, started, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, ngettext
from pruning_core.analysis import one_layer
from pruning_core.analysis.widths import Cliff
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.runs.view import JobView, State
from pruning_core.studies.widths import COPIES, NETWORKS, Width, WidthsRun, group_of

SHOWN, PASS_MACS, LARGEST = "latency.widths.shown", 1e8, 64
ALONE, WHOLE = N_("The layer alone"), N_("The whole network, really smaller")


def section(desk: Desk, network: Network) -> None:
    layers = _layers(desk, network)
    if not layers:
        st.info(
            _(
                "Layers alone are timed where they are linear, or convolutions of two dimensions, and stand as modules "
                "of their own; this network has none with channels that can be cut."
            )
        )
        return
    run = _choose(desk, network, layers)
    started.button(run, _("measurement"), key="latency.widths.start", shown=SHOWN, forget="latency.widths.none")
    found = started.mine(WidthsRun, lambda spec: spec.model == desk.model)
    if not found:
        return
    view, spec = started.choose(found, _("Measurement"), _label, shown=SHOWN)
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
    layer = first.selectbox(_("Layer"), names, names.index(largest), key="latency.layer", persist_state="session")
    layer = layer if layer in layers else largest
    usual = min(LARGEST, 1 << max(0, int(PASS_MACS // max(layers[layer], 1)).bit_length() - 1))
    batches = sorted({1, 8, 32, usual})
    batch = second.selectbox(
        _("Images in a pass"), batches, batches.index(usual), key=f"latency.batch.{usual}", persist_state="session",
        help=_("With few images little but the start of the layer is timed."),
    )  # fmt: skip
    with third:
        how = st.segmented_control(
            _("What is timed"),
            (ALONE, WHOLE),
            default=ALONE,
            required=True,
            key="latency.what",
            wrap=True,
            format_func=_,
            persist_state="session",
        )
        device = devices.choose("latency.widths.device")
    if how == WHOLE:
        st.caption(
            _(
                "Channels of the layer's group are really removed, at up to {networks} widths; everything else stays."
            ).format(networks=NETWORKS)
        )
    return WidthsRun(desk.model, layer, int(batch or usual), how == WHOLE, device=device)


def _label(spec: WidthsRun) -> str:
    return _("{layer}, {lower}, batches of {batch_size}, {device}").format(
        layer=spec.layer,
        lower=_(WHOLE if spec.whole else ALONE).lower(),
        batch_size=spec.batch_size,
        device=spec.device,
    )


def _result(spec: WidthsRun, view: JobView) -> None:
    found, cliffs = view.all(Width), view.all(Cliff)
    if len(found) < 2:
        st.info(_("This layer has a single channel, so there is nothing to compare."))
        return
    plots.show(charts.widths(found, cliffs, layer=spec.layer, whole=spec.whole), "latency.widths.chart")
    for sentence in findings(found, cliffs, _("network's") if spec.whole else _("layer's")):
        st.markdown(sentence)
    if (flat := without_gain(found)) is not None:
        st.warning(
            _(
                "Down to {channels:,} channels there are {fewer} fewer MACs, and no saving of time is "
                "outside the measured noise."
            ).format(channels=flat.channels, fewer=_fewer(flat, found)),
            icon=":material/warning:",
        )
    latency = found[-1].latency
    what = (
        _("networks with channels of this group really removed") if spec.whole else _("this layer's own weights alone")
    )
    cards.source_line(
        provenance.measured(
            _(
                "{what}, batches of {batch_size} random images, {runs} passes of each of {copies} copies, "
                "all in turns and every round in another order"
            ).format(what=what, batch_size=latency.batch_size, runs=latency.runs // COPIES, copies=COPIES),
            device=ngettext("{device}, {n} thread", "{device}, {n} threads", latency.threads).format(
                device=latency.device, n=latency.threads
            ),
        ),
        provenance.derived(_("MACs counted in the captured network")),
    )


def findings(found: Sequence[Width], cliffs: Sequence[Cliff], whose: str) -> list[str]:
    """What the figure shows, in Markdown."""
    least, full = found[0], found[-1]
    sentences = [
        _(
            "From {channels:,} channels to {channels_2:,} the {whose} MACs fall by {fewer}; the time "
            "falls by {saved_low_ms} to {saved_high_ms} of {median_ms}."
        ).format(
            channels=full.channels,
            channels_2=least.channels,
            whose=whose,
            fewer=_fewer(least, found),
            saved_low_ms=numbers.milliseconds(least.saved_low_ms),
            saved_high_ms=numbers.milliseconds(least.saved_high_ms),
            median_ms=numbers.milliseconds(full.latency.median_ms),
        )
        if not least.no_difference
        else _("From {channels:,} channels to {channels_2:,} the {whose} MACs fall by {fewer}.").format(
            channels=full.channels, channels_2=least.channels, whose=whose, fewer=_fewer(least, found)
        )
    ]
    if cliffs:
        steps = ", ".join(f"{each.fewer:,} → {each.more:,}" for each in cliffs)
        sentences.append(
            _("**Steps that are no noise** (channels): {steps}. Widths just below a step up cost the least.").format(
                steps=steps
            )
        )
    else:
        apart = max(each.copies_ms for each in found)
        sentences.append(
            _(
                "No step from one width to the next is outside the noise: equal copies differ by up to {apart} here."
            ).format(apart=numbers.milliseconds(apart))
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
