"""The parts of the page: what is chosen, the picture, the effects, and all granularities together."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from torch import Tensor

from pages.granularity import charts, effects, texts
from pages.granularity.effects import Effect
from pages.ui import cards, changes, engine, latencies, measured, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pruning_core.analysis import one_layer
from pruning_core.measuring.beside import InTurns
from pruning_core.sparsity import grains
from pruning_core.sparsity.grains import Grain

COUNTED = provenance.derived(N_("counted from the weights and the captured network."))
STEPS = 20
PICTURE_PX, EFFECT_PX = 560, 410  # side by side on a usual screen; on a narrow one the effects go below


def show(desk: Desk, weights: Mapping[str, Tensor]) -> None:
    judged = measured.key_of(desk)
    layer, grain, ratio = _choose(weights)
    weight = weights[layer]
    if why := grains.obstacle(grain, weight):
        st.info(said(why))
        return
    mask = grains.mask(grain, weight, ratio)
    with st.container(horizontal=True, gap="small"):
        left, right = st.container(width=PICTURE_PX), st.container(width=EFFECT_PX)
    with left:
        plots.show(charts.kernels(weight, mask, layer=layer, grain=grain.value), "granularity.kernels")
        st.caption(
            _(texts.ABOUT[grain]) + " " + _("The smallest go, by their absolute value; of a block, by its mean.")
        )
        plots.show(charts.stored(one_layer.stored(weight, mask)), "granularity.stored", still=True)
        cards.source_line(COUNTED)
    with right:
        asked = engine.unasked(state.network(desk.model)) or st.toggle(
            _("Measure the network and the time"), key="granularity.measure", wrap=True
        )
        if asked:
            with st.spinner(_("Measuring …"), show_time=True):
                found = effects.effect(desk, layer, grain, ratio)
            _numbers(desk, found, judged)
            _speed(desk, layer, grain, ratio)
    if asked:
        _all(desk, layer, weight, ratio, judged)


def _choose(weights: Mapping[str, Tensor]) -> tuple[str, Grain, float]:
    first, second = st.columns([1, 2], gap="medium")
    names = list(weights)
    sizes = [w.numel() if w.dim() == 4 and w.shape[2] > 1 else 0 for w in weights.values()]
    largest = sizes.index(max(sizes))
    layer = (
        first.selectbox(_("Layer"), names, largest, key="granularity.layer", persist_state="session") or names[largest]
    )
    st.session_state.setdefault("granularity.grain", Grain.ELEMENT)
    chosen = (
        st.segmented_control(
            _("Granularity"), list(Grain), format_func=texts.name, required=True,
            key="granularity.grain", persist_state="session", wrap=True,
        )
    )  # fmt: skip
    grain = Grain(chosen or Grain.ELEMENT)
    low, high = grains.least(grain), grains.most(grain)
    if low == high:
        second.markdown(
            _("Ratio of zeros: **{low}**, the granularity alone says it.").format(low=numbers.percent(low, 0))
        )
        return layer, grain, low
    offered = sorted({low, *(n / STEPS for n in range(STEPS) if low < n / STEPS <= high)})
    ratio = second.select_slider(
        _("Ratio of zeros"),
        offered,
        0.75 if 0.75 in offered else offered[-1],
        format_func=lambda r: f"{100 * r:.0f} %",
        key=f"granularity.ratio.{low:.2f}",
        persist_state="session",
    )
    return layer, grain, float(ratio)


def _numbers(desk: Desk, found: Effect, judged: str) -> None:
    first, second = cards.pair(350)
    whole = state.network(desk.model).cost().macs
    cards.number(
        _("MACs of the network"), numbers.count(found.macs), COUNTED,
        detail=(_("{share} fewer, really") if found.removed else _("{share} fewer, if zeros were free")).format(
            share=numbers.percent(1 - found.macs / whole)
        ),
        help=_("Of one image. With zeros inside the weights: the products whose weight is not zero."), container=first,
    )  # fmt: skip
    if found.measured is None:
        label = said(measured.measure(judged).name)
        cards.pending(label, _("not measured here"), container=second, help=_(effects.AWAY))
        return
    seen, change = found.measured.accuracy, changes.paired(found.measured.drop)
    cards.number(
        said(measured.measure(seen.measure).name), measured.value(seen),
        provenance.measured(seen.dataset, images=seen.images, device=found.device,
                            note=_("No training after the cut. Paired change: {text}.").format(text=change.text)),
        detail=_("{bounds}, {n} images").format(bounds=measured.bounds(seen), n=seen.images),
        change=change, help=measured.sentence(seen.measure), container=second,
    )  # fmt: skip


def _speed(desk: Desk, layer: str, grain: Grain, ratio: float) -> None:
    with st.spinner(_("Timing …"), show_time=True):
        times = effects.times(desk, layer, grain, ratio)
    if not times:
        st.caption(_(effects.AWAY))
        return
    plots.show(charts.speed(times), "granularity.speed", still=True)
    any_of = next(iter(times.values()))
    cards.source_line(
        provenance.measured(
            _("this layer alone, batches of {n}, {passes} passes in turns").format(
                n=any_of.batch_size, passes=any_of.runs
            ),
            device=provenance.processor(any_of.device, any_of.threads),
        )
    )
    if unclear := latencies.unclear(*times.values()):
        st.warning(unclear, icon=":material/warning:")
        st.button(_("Measure again"), icon=":material/replay:", key="granularity.again", on_click=effects.timed.clear,
                  wrap=True)  # fmt: skip
    st.caption(_(texts.WHY))


def _all(desk: Desk, layer: str, weight: Tensor, ratio: float, judged: str) -> None:
    st.subheader(_("All granularities on this layer"))
    if not st.toggle(_("Measure them all"), key="granularity.all", persist_state="session", wrap=True):
        st.caption(_("A few seconds: each is measured on the same images and timed."))
        return
    rows = []
    for grain in Grain:
        if grains.obstacle(grain, weight):
            continue
        own = min(max(ratio, grains.least(grain)), grains.most(grain))
        with st.spinner(_("Measuring: {what}").format(what=texts.name(grain)), show_time=True):
            found, times = effects.effect(desk, layer, grain, own), effects.times(desk, layer, grain, own)
        accuracy = found.measured.accuracy if found.measured else None
        rows.append(
            {
                "granularity": texts.name(grain),
                "structure": said(str(grains.structure(grain))),
                "zeros": 100 * found.zeros,
                "accuracy": measured.text(accuracy) if accuracy else "–",
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
            "granularity": _("Granularity"),
            "structure": _("Structure"),
            "zeros": st.column_config.NumberColumn(_("Zeros"), format="%.0f %%"),
            "accuracy": st.column_config.TextColumn(
                said(measured.measure(judged).name), help=_("Of the network, with its 95 % interval.")
            ),
            "stored": st.column_config.NumberColumn(
                _("Smallest file"), format="%.3g kB", help=_("Of this layer's weight.")
            ),
            "dense": _("Dense"),
            "skipped": _("Zeros skipped"),
            "smaller": _("Really smaller"),
        },
    )
    cards.source_line(
        COUNTED, provenance.measured(_("the network on held-out images, times of this layer alone"), device="CPU")
    )


def _ms(times: Mapping[str, InTurns], name: str) -> str:
    return latencies.told(times[name]) if name in times else "–"
