"""Beside the accuracy that is left by the cut alone: the one that is left after the chosen recovery, measured."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui import cards, engine, measured, numbers, provenance, recovery, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pages.ui.literal import literal
from pages.whatif import live
from pruning_core.apart import household
from pruning_core.datasets import Dataset, hold_out
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.measures import Accuracy
from pruning_core.mending import Mender
from pruning_core.methods.recoveries import Recovery
from pruning_core.runs.events import Event
from pruning_core.storage.codec import dump
from pruning_core.studies.inputs import fitted
from pruning_core.studies.recovering import KeptAccuracy, keeping, menders
from pruning_core.work import finished, told

ANSWERS = 200  # plans and recoveries remembered, for all visitors together
HELP = N_(
    "The smaller network after the chosen recovery, on the same held-out images as the number above; the recovery "
    "looked at images of the fitted part, never at these."
)
CUT_HELP = N_(
    "The same network before the recovery, on the same held-out images, with the batch-norm statistics of the unpruned "
    "network."
)
WIDTH = 460  # of the place for both numbers on a usual screen
MENDERS_KEPT = 2  # with what they remember of plans before
ELSEWHERE = N_(
    "This network is a program out of a file, which never runs in the page's own process. Apply the plan: that "
    "recovers and measures it in another one."
)


def section(desk: Desk, network: Network) -> tuple[Recovery, DeltaGenerator]:
    """The control, what is known at once, and the place for what is measured later."""
    with st.container(border=True):
        left, right = st.columns(2, gap="medium", vertical_alignment="center")
        with left:
            chosen = recovery.choose_now().sized(network.cost().macs)
            st.caption(f"{said(chosen.card.idea)} {_(recovery.LESSON)}")
        slot = right.empty()
    _show(desk, network, chosen, slot)
    return chosen, slot


def follow(desk: Desk, network: Network, chosen: Recovery, slot: DeltaGenerator) -> None:
    """Cut, recover, measure: in the run of the page, so a slider that moves ends it between two steps.

    Layers up to which the plan is that of a plan before are not refitted again.
    """
    if not desk.plan or not chosen.looks_at or _known(desk, chosen):
        return
    if household.far(desk.model, state.workspace()):
        slot.caption(_(ELSEWHERE))
        return
    loaded, (fit, held_out) = state.loaded(desk.model), _parts(desk)
    images = engine.IMAGES if engine.unasked(network) else engine.FEW
    work = keeping(
        loaded.model,
        network,
        desk.plan,
        chosen,
        _taken(fit, desk, chosen.looks_at),
        _taken(held_out, desk, images),
        by=_mender(desk.model.to_json(), desk.data.to_json(), dump(chosen), str(state.workspace().root), desk, chosen),
    )

    def show(event: Event) -> tuple[Event, ...]:
        if isinstance(event, Accuracy):
            cards.pending(
                said(chosen.card.name),
                _("measuring … {images} images").format(images=event.images),
                container=slot.container(),
            )
        return ()

    try:
        found = finished(told(work, show))
    except UserError as error:
        cards.pending(said(chosen.card.name), literal(said(str(error))), container=slot.container())
        return
    answers = _answers(str(state.workspace().root))
    answers[_key(desk, chosen)] = found
    _forget(answers)
    _show(desk, network, chosen, slot)


def _show(desk: Desk, network: Network, chosen: Recovery, slot: DeltaGenerator) -> None:
    """The accuracy after the recovery, and beside it that of the cut alone where it was measured."""
    found = _known(desk, chosen)
    if not desk.plan or not chosen.looks_at:
        slot.caption(
            _("Nothing is planned yet.") if not desk.plan else _("The number above is that of the network as cut.")
        )
        return
    if found is None:
        cards.pending(said(chosen.card.name), _("not measured yet"), container=slot.container())
        return
    cut = live.just_cut(network, desk)
    with slot.container():
        places = cards.pair(WIDTH) if cut else [st.container()]
    note = _("{name} on {images} images of the fitted part in {duration}, the cut included.").format(
        name=said(chosen.card.name), images=found.images, duration=numbers.duration(found.seconds)
    )
    if cut:
        _number(_("Just cut"), cut.accuracy, _("Every weight that is left stays as it was."), _(CUT_HELP), places[0])
    _number(said(chosen.card.name), found.accuracy, note, _(HELP), places[-1])


def _number(label: str, accuracy: Accuracy, note: str, about: str, place: DeltaGenerator) -> None:
    note = f"{said(measured.measure(accuracy.measure).title)}. {note}"
    source = provenance.measured(
        accuracy.dataset, images=accuracy.images, device=choose_device("auto").upper(), note=note
    )
    cards.number(
        label,
        measured.value(accuracy),
        source,
        detail=_("{bounds}, {images} images").format(bounds=measured.bounds(accuracy), images=accuracy.images),
        help=f"{about} {measured.interval_help(accuracy.measure)}",
        container=place,
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


# -- what mends --------------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False, max_entries=MENDERS_KEPT)
def _mender(model: str, data: str, recovery: str, root: str, _desk: Desk, _chosen: Recovery) -> Mender | None:
    """For all plans of a network, so that layers are not refitted again that another plan found as they are now."""
    fit = _taken(_parts(_desk)[0], _desk, _chosen.looks_at)
    return menders(state.loaded(_desk.model).model, state.network(_desk.model), _chosen, fit)


def _parts(desk: Desk) -> tuple[Dataset, Dataset]:
    train, _ = state.splits(replace(desk.data, split="test"))
    return hold_out(train, desk.data)


def _taken(data: Dataset, desk: Desk, count: int) -> Dataset:
    return fitted(data.subset(min(count, len(data))), desk.data, state.loaded(desk.model))
