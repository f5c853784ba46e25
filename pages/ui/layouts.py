"""How pictures lie in memory while a network trains: measured when a training is started, and said beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import streamlit as st

from pages.ui import state
from pages.ui.language import N_, _
from pages.ui.once import Once
from pruning_core.datasets import DataRef
from pruning_core.storage.codec import Codec, dump
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.inputs import fitted
from pruning_core.studies.method import MethodRun
from pruning_core.training.config import CHANNELS_LAST, CONTIGUOUS, FineTune
from pruning_core.training.layout import Layout, measured_layout
from pruning_core.zoo import ModelRef

FASTER = N_("the faster one")
SEEN = "layouts.seen"  # of this visitor, by what was measured
NAMES = {FASTER: FASTER, CONTIGUOUS: N_("contiguous"), CHANNELS_LAST: N_("channels-last")}
TOLD = {
    CONTIGUOUS: N_(
        "contiguous: channels-last measured {gain:.2f} times as fast on this machine, which is not worth it"
    ),
    CHANNELS_LAST: N_("channels-last, measured {gain:.2f} times as fast as contiguous on this machine"),
}
HOW = N_("Memory layout: {layout}. Batches of {images} took turns in both, {rounds} rounds; the median.")
NEVER = N_("Memory layout: contiguous. This network's code reads its tensors in their order in memory.")
S = TypeVar("S", FineTuneRun, GradualRun, MethodRun)


def choose(key: str) -> None:
    """The widget; what it comes to is settled when a training is started."""
    st.segmented_control(
        _("Memory layout"),
        list(NAMES),
        format_func=lambda name: _(NAMES[name]),
        default=FASTER,
        required=True,
        key=f"{key}.layout",
        help=_(
            "Both compute the same but for rounding (a dropout on feature maps draws other values), and a run keeps to "
            "the one it began with. The faster one is "
            "measured once, when the first training of a network is started, which takes some seconds. GPUs and "
            "bfloat16 always compute channels-last."
        ),
        persist_state="session",
        wrap=True,
    )


def settled(spec: S, key: str) -> S:
    """``spec`` in the layout that was chosen under ``key``; measured where that is the faster one. Raises UserError."""
    return replace(spec, config=settle(spec.model, spec.data, spec.config, key))


def known(spec: S, key: str) -> S:
    """As ``settled`` gives it, without measuring: contiguous where nothing was measured yet."""
    return replace(spec, config=so_far(spec.model, spec.data, spec.config, key))


def settle(model: ModelRef, data: DataRef, config: FineTune, key: str) -> FineTune:
    """``config`` of such a training as :func:`settled` has it. Raises UserError."""
    if _chosen(key) == FASTER:
        name = _name(model, data, config)
        with st.spinner(_("Measuring in which memory layout it trains faster …")):
            st.session_state.setdefault(SEEN, {})[name] = _measured(name)
    return so_far(model, data, config, key)


def so_far(model: ModelRef, data: DataRef, config: FineTune, key: str) -> FineTune:
    """``config`` of such a training as :func:`known` has it."""
    chosen = _chosen(key)
    if chosen == FASTER:
        found = _seen(model, data, config)
        chosen = found.name if found else CONTIGUOUS
    return replace(config, layout=chosen)


def caption(model: ModelRef, data: DataRef, config: FineTune) -> None:
    """What was measured for such a training; nothing where nothing was."""
    found = _seen(model, data, config)
    if found is None:
        return
    if found.gain is None:
        st.caption(_(NEVER))
        return
    layout = _(TOLD[found.name]).format(gain=found.gain)
    st.caption(_(HOW).format(layout=layout, images=found.images, rounds=found.rounds))


def _chosen(key: str) -> str:
    return str(st.session_state.get(f"{key}.layout") or FASTER)


def _seen(model: ModelRef, data: DataRef, config: FineTune) -> Layout | None:
    known: dict[str, Layout | None] = st.session_state.get(SEEN, {})
    return known.get(_name(model, data, config))


def _name(model: ModelRef, data: DataRef, config: FineTune) -> str:
    """All that it depends on, as text."""
    return dump((model, data, config.batch_size, config.precision, config.device))


def _measure(name: str) -> Layout | None:
    model, data, size, precision, device = Codec((ModelRef, DataRef)).load(name)
    if model.foreign:  # it never runs in this process
        return None
    loaded, (train, _test) = state.loaded(model), state.splits(data)
    some = fitted(train.subset(min(len(train), size), 0), data, loaded)
    return measured_layout(loaded.model, some, FineTune(batch_size=size, precision=precision, device=device))


_measured: Once[Layout | None] = Once(_measure)  # in one thread at a time: two would measure each other
