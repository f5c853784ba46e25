"""The parts of the page: what is chosen, the picture, the effects, and all granularities together."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from torch import Tensor

from pages.granularity import charts, effects, texts
from pages.granularity.effects import Effect
from pages.ui import cards, changes, engine, measured, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pruning_core.analysis import one_layer
from pruning_core.measuring.measures import Latency
from pruning_core.sparsity import grains
from pruning_core.sparsity.grains import Grain

COUNTED = provenance.derived("counted from the weights and the captured network")
STEPS = 20
REALLY, IF_FREE = "really", "if zeros were free"


def show(desk: Desk, weights: Mapping[str, Tensor]) -> None:
    measured.check_accuracy(desk)
    layer, grain, ratio = _choose(weights)
    weight = weights[layer]
    if why := grains.obstacle(grain, weight):
        st.info(why)
        return
    mask = grains.mask(grain, weight, ratio)
    left, right = st.columns([3, 2], gap="large")
    with left:
        plots.show(charts.kernels(weight, mask, layer=layer, grain=grain.value), "granularity.kernels")
        st.caption(f"{texts.ABOUT[grain]} The smallest go, by their absolute value; of a block, by its mean.")
    with right:
        asked = engine.unasked(state.network(desk.model)) or st.toggle(
            "Measure accuracy and time", key="granularity.measure", wrap=True
        )
        if asked:
            with st.spinner("Measuring …", show_time=True):
                found = effects.effect(desk, layer, grain, ratio)
            _numbers(desk, found)
            _speed(desk, layer, grain, ratio)
        plots.show(charts.stored(one_layer.stored(weight, mask)), "granularity.stored")
        cards.source_line(COUNTED)
    if asked:
        _all(desk, layer, weight, ratio)


def _choose(weights: Mapping[str, Tensor]) -> tuple[str, Grain, float]:
    first, second = st.columns([1, 2], gap="medium")
    names = list(weights)
    sizes = [w.numel() if w.dim() == 4 and w.shape[2] > 1 else 0 for w in weights.values()]
    largest = sizes.index(max(sizes))
    layer = first.selectbox("Layer", names, largest, key="granularity.layer", persist_state="session") or names[largest]
    st.session_state.setdefault("granularity.grain", Grain.ELEMENT)
    chosen = (
        st.segmented_control(
            "Granularity", list(Grain), format_func=lambda each: texts.NAMES[each], required=True,
            key="granularity.grain", persist_state="session", wrap=True,
        )
    )  # fmt: skip
    grain = Grain(chosen or Grain.ELEMENT)
    low, high = grains.least(grain), grains.most(grain)
    if low == high:
        second.markdown(f"Ratio of zeros: **{numbers.percent(low, 0)}**, the granularity alone says it.")
        return layer, grain, low
    offered = sorted({low, *(n / STEPS for n in range(STEPS) if low < n / STEPS <= high)})
    ratio = second.select_slider(
        "Ratio of zeros", offered, 0.75 if 0.75 in offered else offered[-1], format_func=lambda r: f"{100 * r:.0f} %",
        key=f"granularity.ratio.{low:.2f}", persist_state="session",
    )  # fmt: skip
    return layer, grain, float(ratio)


def _numbers(desk: Desk, found: Effect) -> None:
    first, second = cards.pair(350)
    whole = state.network(desk.model).cost().macs
    cards.number(
        "MACs of the network", numbers.count(found.macs), COUNTED,
        detail=f"{numbers.percent(1 - found.macs / whole)} fewer, {REALLY if found.removed else IF_FREE}",
        help="Of one image. With zeros inside the weights: the products whose weight is not zero.", container=first,
    )  # fmt: skip
    if found.measured is None:
        cards.pending("Accuracy", "not measured here", container=second, help=effects.AWAY)
        return
    seen, change = found.measured.accuracy, changes.paired(found.measured.drop)
    cards.number(
        "Accuracy", numbers.percent(seen.top1),
        provenance.measured(seen.dataset, images=seen.images, device=found.device,
                            note=f"No training after the cut. Paired change: {change.text}."),
        detail=f"{100 * seen.low:.1f}–{100 * seen.high:.1f}, {seen.images} images", change=change, container=second,
    )  # fmt: skip


def _speed(desk: Desk, layer: str, grain: Grain, ratio: float) -> None:
    with st.spinner("Timing …", show_time=True):
        times = effects.times(desk, layer, grain, ratio)
    if not times:
        st.caption(effects.AWAY)
        return
    plots.show(charts.speed(times), "granularity.speed")
    any_of = next(iter(times.values()))
    cards.source_line(
        provenance.measured(
            f"this layer alone, batches of {any_of.batch_size}, {any_of.runs} passes in turns",
            device=f"{any_of.device}, {any_of.threads} thread{'' if any_of.threads == 1 else 's'}",
        )
    )
    st.caption(texts.WHY)


def _all(desk: Desk, layer: str, weight: Tensor, ratio: float) -> None:
    st.subheader("All granularities on this layer")
    if not st.toggle("Measure them all", key="granularity.all", persist_state="session", wrap=True):
        st.caption("A few seconds: each is measured on the same images and timed.")
        return
    rows = []
    for grain in Grain:
        if grains.obstacle(grain, weight):
            continue
        own = min(max(ratio, grains.least(grain)), grains.most(grain))
        with st.spinner(f"Measuring: {texts.NAMES[grain]}", show_time=True):
            found, times = effects.effect(desk, layer, grain, own), effects.times(desk, layer, grain, own)
        accuracy = found.measured.accuracy if found.measured else None
        rows.append(
            {
                "granularity": texts.NAMES[grain],
                "structure": str(grains.structure(grain)),
                "zeros": 100 * found.zeros,
                "accuracy": numbers.accuracy_text(accuracy.top1, accuracy.low, accuracy.high) if accuracy else "–",
                "stored": min(found.stored.bitmask, found.stored.csr, found.stored.smaller) / 1000,
                "dense": _ms(times, one_layer.DENSE),
                "skipped": _ms(times, one_layer.SKIPPED),
                "smaller": _ms(times, one_layer.SMALLER),
            }
        )
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "granularity": "Granularity",
            "structure": "Structure",
            "zeros": st.column_config.NumberColumn("Zeros", format="%.0f %%"),
            "accuracy": st.column_config.TextColumn("Accuracy", help="Of the network, with its 95 % interval."),
            "stored": st.column_config.NumberColumn("Smallest file", format="%.3g kB", help="Of this layer's weight."),
            "dense": "Dense",
            "skipped": "Zeros skipped",
            "smaller": "Really smaller",
        },
    )
    cards.source_line(
        COUNTED, provenance.measured("accuracy on held-out images, times of this layer alone", device="CPU")
    )


def _ms(times: Mapping[str, Latency], name: str) -> str:
    return numbers.milliseconds(times[name].median_ms) if name in times else "–"
