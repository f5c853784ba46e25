"""A network as a file: judged, and where it holds several sets of weights or none that are known, asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages.choose import inbox, limits
from pages.ui import numbers, state
from pages.ui.language import N_, _, said
from pages.ui.literal import literal, named
from pruning_core.apart import household
from pruning_core.errors import UserError
from pruning_core.zoo import ARCHITECTURES, SUFFIXES, ModelRef, WeightSet, torchvision_names
from pruning_core.zoo.interface import MOST_SIDE, OpenSizes

SLOT = "model"
FAULT, HELD = "choose.model.fault", "choose.model.held"
RECOGNISE = N_("recognise it")
SIDES, USUAL_LENGTH = ("channels", "height", "width"), 32


@dataclass(frozen=True)
class Known:
    """What the visitor says of a file: its architecture, the size of its images (C, H, W), the name of its weights, and
    the sizes that it leaves open, by name."""

    architecture: str | None = None
    size: tuple[int, ...] | None = None
    weights: str | None = None
    sizes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Fault:
    """Why a file was not loaded; ``snippet`` is the code that the sentence speaks of, "" where there is none;
    ``left_open`` are sizes that the file leaves to whoever uses it."""

    sent: inbox.Sent
    sentence: str
    snippet: str
    left_open: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """A checkpoint with several sets of weights, and the network that one of them made."""

    sent: inbox.Sent
    known: Known
    sets: tuple[WeightSet, ...]
    used: WeightSet
    ref: ModelRef


def draw(take: Callable[[ModelRef], None]) -> None:
    """``take`` puts a network on the desk."""
    sent = inbox.receive(
        _("A network as a file: ") + ", ".join(SUFFIXES),
        SLOT,
        help=_(
            "State dicts, also inside a checkpoint; exported programs; ONNX; Keras 3; an image classifier of Hugging "
            "Face: its config.json, model.safetensors and preprocessor_config.json, in a .zip or all at once. Nothing "
            "in the files is ever run."
        ),
        together=True,
    )
    if sent is None:
        st.caption(
            _(
                "The architecture is recognised from the names and shapes of the weights where it is "
                "torchvision's or one of ours. A .pt2, .onnx or .keras brings its own, and so do the files of a "
                "Hugging Face image classifier, sent together or as .zip. {of_networks}"
            ).format(of_networks=limits.of_networks())
        )
        return
    fault, held = st.session_state.get(FAULT), st.session_state.get(HELD)
    fault = fault if isinstance(fault, Fault) and fault.sent == sent else None
    held = held if isinstance(held, Held) and held.sent == sent else None
    if fault is None and held is None:
        _read(sent, Known(), take)
        return
    if fault is not None and fault.left_open:
        _open_sizes(fault, take)
        return
    if fault is not None:
        _said(fault)
    if held is not None:
        _which(held, take)
    else:
        _retry(sent, take)


def _read(sent: inbox.Sent, known: Known, take: Callable[[ModelRef], None]) -> None:
    """Judge and keep the file; what is wrong with it stays on the page until another is sent."""
    try:
        with st.spinner(_("Reading {name} …").format(name=named(sent.name)), show_time=True):
            opened = household.import_network(
                sent.path, sent.name, state.workspace(), known.architecture, known.size, known.weights,
                dict(known.sizes),
            )  # fmt: skip
            state.keep_opened(opened)
            inbox.keep(sent, opened.loaded.ref.weights)
    except UserError as error:
        left_open = error.sizes if isinstance(error, OpenSizes) else ()
        st.session_state[FAULT] = Fault(sent, str(error), error.snippet, left_open)
        st.rerun()
    st.session_state.pop(FAULT, None)
    loaded = opened.loaded
    if loaded.used is not None and len(loaded.sets) > 1:  # the file stays, until another set of it was tried
        st.session_state[HELD] = Held(sent, known, loaded.sets, loaded.used, loaded.ref)
    else:
        _forget()
    take(loaded.ref)


def _forget() -> None:
    inbox.drop(SLOT)
    st.session_state.pop(FAULT, None)
    st.session_state.pop(HELD, None)


def _said(fault: Fault) -> None:
    st.error(literal(said(fault.sentence)), icon=":material/error:")
    if fault.snippet:
        st.caption(_("The code, filled in with what the file holds. Copy it with the button in its corner."))
        st.code(fault.snippet, language="python")


# -- sizes that a file leaves open -------------------------------------------------------------------------------------


def _open_sizes(fault: Fault, take: Callable[[ModelRef], None]) -> None:
    """They are fixed here, because costs and proofs are of one size."""
    with st.container(border=True):
        st.markdown(
            _(
                "**{file}** works at several sizes. At which one do you want to look at it here?  \n"
                ":small[:gray[Costs, latencies and proofs are of this size.]]"
            ).format(file=named(fault.sent.name))
        )
        places = st.columns(min(4, len(fault.left_open)))
        given = tuple(
            (name, places[at % len(places)].number_input(
                named(name).capitalize(), 1, MOST_SIDE, _usual(name), key=f"choose.file.open.{at}.{fault.sent.turn}"
            ))
            for at, name in enumerate(fault.left_open)
        )  # fmt: skip
        with st.container(horizontal=True):
            if st.button(_("Read it at this size"), type="primary", key="choose.file.sizes", wrap=True):
                _read(fault.sent, Known(sizes=given), take)
            if st.button(_("Forget this file"), key="choose.file.forget", wrap=True):
                _forget()
                st.rerun()


def _usual(name: str) -> int:
    """What to begin with: sides of the images on the desk, where it is one."""
    size = state.splits(state.desk().data)[1].size
    return size[SIDES.index(name)] if name in SIDES and len(size) == len(SIDES) else USUAL_LENGTH


# -- which of several --------------------------------------------------------------------------------------------------


def _which(held: Held, take: Callable[[ModelRef], None]) -> None:
    """Every set of weights in the file, with a way to the others."""
    with st.container(border=True):
        names = [each.name for each in held.sets]
        st.markdown(
            _("**{name}** holds {n} sets of weights. Which of them do you want?").format(
                name=named(held.sent.name), n=len(names)
            )
        )
        chosen = st.radio(
            _("Which weights"),
            names,
            names.index(held.used.name),
            format_func=lambda name: named(held.sets[names.index(name)].name) or _("the file itself"),
            captions=[_told(each) for each in held.sets],
            key=f"choose.file.weights.{held.sent.turn}",
            label_visibility="collapsed",
        )
        with st.container(horizontal=True):
            here = chosen == held.used.name and state.desk().model == held.ref
            label = _("On the desk") if here else _("Use these weights")
            if st.button(label, type="primary", disabled=here, key="choose.file.use", wrap=True):
                _read(held.sent, Known(held.known.architecture, held.known.size, chosen), take)
            if st.button(_("Done with this file"), key="choose.file.forget", wrap=True):
                _forget()
                st.rerun()


def _told(each: WeightSet) -> str:
    facts = [
        each.title or _("of an unknown architecture"),
        _("{tensors:,} tensors, {numbers} numbers").format(tensors=each.tensors, numbers=numbers.count(each.numbers)),
    ]
    return literal(" · ".join(facts)) + (_(" · an average over training, by its name") if each.average else "")


# -- what was not recognised -------------------------------------------------------------------------------------------


def _retry(sent: inbox.Sent, take: Callable[[ModelRef], None]) -> None:
    """The ways on: another file, or the same one with what the visitor knows about it."""
    if st.button(_("Forget this file"), key="choose.file.forget", wrap=True):
        _forget()
        st.rerun()
    about = _("I know what {name} is ({size})").format(name=named(sent.name), size=numbers.size_bytes(sent.size))
    with st.expander(about, icon=":material/build:"):
        options = (RECOGNISE, *(item.name for item in ARCHITECTURES), *torchvision_names())
        titles = {item.name: item.title for item in ARCHITECTURES}
        left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
        name = left.selectbox(
            _("Architecture"),
            options,
            key="choose.file.architecture",
            format_func=lambda each: _(RECOGNISE) if each == RECOGNISE else titles.get(each, each),
        )
        side = middle.number_input(
            _("Image side (pixels)"), 1, 1024, None, key="choose.file.side", placeholder=_("as usual")
        )
        channels = right.selectbox(_("Channels"), (3, 1), key="choose.file.channels")
        if st.button(_("Try again"), type="primary", key="choose.file.again", wrap=True):
            size = (int(channels), int(side), int(side)) if side else None
            _read(sent, Known(None if name == RECOGNISE else name, size), take)
