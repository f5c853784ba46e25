"""Beside the accuracy that is left by the cut alone: the one that is left after the chosen recovery, measured."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui import cards, engine, numbers, provenance, recovery, state
from pages.ui.desk import Desk
from pages.ui.literal import literal
from pruning_core.apart import household
from pruning_core.datasets import Dataset, hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods.recoveries import Recovery
from pruning_core.runs.events import Event
from pruning_core.storage.codec import dump
from pruning_core.studies.inputs import fitted
from pruning_core.studies.recovering import KeptAccuracy, keeping
from pruning_core.work import finished, told

ANSWERS = 200  # plans and recoveries remembered, for all visitors together
HELP = (
    "The smaller network after the chosen recovery, on the same held-out images as the accuracy above; the recovery "
    "looked at images of the fitted part, never at these. Below: the 95 % Wilson interval."
)
ELSEWHERE = (
    "This network is a program out of a file, which never runs in the page's own process. Apply the plan: that "
    "recovers and measures it in another one."
)


def section(desk: Desk, network: Network) -> tuple[Recovery, DeltaGenerator]:
    """The control, what is known at once, and the place for what is measured later."""
    with st.container(border=True):
        left, right = st.columns([3, 2], gap="medium", vertical_alignment="center")
        with left:
            chosen = recovery.choose_now().sized(network.cost().macs)
            st.caption(f"{chosen.card.idea} {recovery.LESSON}")
        slot = right.empty()
    _show(desk, chosen, slot)
    return chosen, slot


def follow(desk: Desk, network: Network, chosen: Recovery, slot: DeltaGenerator) -> None:
    """Cut, recover, measure: in the run of the page, so a slider that moves ends it between two steps."""
    if not desk.plan or not chosen.looks_at or _known(desk, chosen):
        return
    if household.far(desk.model, state.workspace()):
        slot.caption(ELSEWHERE)
        return
    loaded, (train, _) = state.loaded(desk.model), state.splits(replace(desk.data, split="test"))
    fit, held_out = hold_out(train, desk.data)

    def taken(data: Dataset, count: int) -> Dataset:
        return fitted(data.subset(min(count, len(data))), desk.data, loaded)

    images = engine.IMAGES if engine.unasked(network) else engine.FEW
    work = keeping(loaded.model, network, desk.plan, chosen, taken(fit, chosen.looks_at), taken(held_out, images))

    def show(event: Event) -> tuple[Event, ...]:
        if isinstance(event, Accuracy):
            cards.pending(chosen.card.name, f"measuring … {event.images} images", container=slot.container())
        return ()

    try:
        found = finished(told(work, show))
    except UserError as error:
        cards.pending(chosen.card.name, literal(str(error)), container=slot.container())
        return
    answers = _answers(str(state.workspace().root))
    answers[_key(desk, chosen)] = found
    _forget(answers)
    _show(desk, chosen, slot)


def _show(desk: Desk, chosen: Recovery, slot: DeltaGenerator) -> None:
    found = _known(desk, chosen)
    if not desk.plan or not chosen.looks_at:
        slot.caption(
            "Nothing is planned yet." if not desk.plan else "The accuracy above is that of the network as cut."
        )
        return
    if found is None:
        cards.pending(chosen.card.name, "not measured yet", container=slot.container())
        return
    accuracy = found.accuracy
    cards.number(
        f"After: {chosen.card.name}",
        numbers.percent(accuracy.top1),
        provenance.measured(
            accuracy.dataset,
            images=accuracy.images,
            device=choose_device("auto").upper(),
            note=f"Top-1. {chosen.card.name} on {found.images} images of the fitted part in "
            f"{numbers.duration(found.seconds)}, the cut included.",
        ),
        detail=f"{100 * accuracy.low:.1f}–{100 * accuracy.high:.1f}, {accuracy.images} images",
        help=HELP,
        container=slot.container(),
    )


# -- what is known, for all visitors -----------------------------------------------------------------------------------


def _key(desk: Desk, chosen: Recovery) -> str:
    return f"{desk.model.to_json()} {desk.data.to_json()} {desk.plan.to_json()} {dump(chosen)}"


def _known(desk: Desk, chosen: Recovery) -> KeptAccuracy | None:
    return _answers(str(state.workspace().root)).get(_key(desk, chosen))


@st.cache_resource(show_spinner=False)
def _answers(root: str) -> OrderedDict[str, KeptAccuracy]:
    return OrderedDict()


def _forget(answers: OrderedDict[str, KeptAccuracy]) -> None:
    while len(answers) > ANSWERS:
        answers.popitem(last=False)
