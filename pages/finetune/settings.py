"""The settings of a fine-tuning as widgets: what decides first, the rest on request."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.ui import layouts, measured, trainable
from pages.ui.desk import Desk
from pages.ui.held_out import usual_batch
from pages.ui.language import N_, _, said
from pages.ui.widgets import knob_widget
from pruning_core.knobs import Range, knobs_of
from pruning_core.measuring.measures import TOP1
from pruning_core.training.config import FineTune

KEY = "finetune"
EPOCHS, MINUTES = N_("epochs"), N_("minutes")
SHORT_MINUTES = 2.0  # what the minutes start at when somebody turns to them
STEPS = {"minutes": 1.0, "weight_decay": 1e-4, "momentum": 0.05, "warm_up": 0.05, "label_smoothing": 0.05}


def choose(desk: Desk) -> FineTune:
    """The widgets, and the settings they describe. Raises UserError when these cannot be trained with."""
    values: dict[str, Any] = {}
    places = st.columns([1.2, 1, 1.6, 1.1, 1])
    with places[0]:
        ends_by = st.segmented_control(
            _("Ends after a number of"),
            (EPOCHS, MINUTES),
            format_func=_,
            default=EPOCHS,
            required=True,
            key=f"{KEY}.ends_by",
            persist_state="session",
            wrap=True,
        )
    with places[1]:
        if ends_by == MINUTES:
            values |= {"epochs": 0, "minutes": _number("minutes", SHORT_MINUTES)}
        else:
            values |= {"epochs": _number("epochs"), "minutes": 0.0}
    with places[2]:
        values["lr"] = knob_widget(FineTune, "lr", KEY)
    with places[3]:
        values["optimizer"] = knob_widget(FineTune, "optimizer", KEY)
    with places[4]:
        values["batch_size"] = _batch(desk)
    with st.expander(_("More settings"), icon=":material/tune:"):
        values |= _more(values["optimizer"], desk)
    config = FineTune(**values)
    layouts.caption(desk.model, desk.data, config)
    return config


def _more(optimizer: str, desk: Desk) -> dict[str, Any]:
    values: dict[str, Any] = {}
    first, second = st.columns([1, 1], gap="medium"), st.columns(5)
    for place, name in zip([*first, first[0]], ("schedule", "augment", "precision"), strict=True):
        if name != "augment" or trainable.moves(desk):
            with place:
                values[name] = knob_widget(FineTune, name, KEY)
    with first[1]:
        layouts.choose(KEY)
    judged = measured.key_of(desk)
    for place, name in zip(second, ("warm_up", "momentum", "weight_decay", "label_smoothing", "seed"), strict=True):
        with place:
            idle = (name == "momentum" and optimizer != "sgd") or (name == "label_smoothing" and judged != TOP1)
            values[name] = _number(name, disabled=idle)
    return values


def _batch(desk: Desk) -> int:
    usual = usual_batch(desk.data)
    # Where it is another one for these data, it is another widget: what was typed for other data stays with those.
    return int(
        _number("batch_size", usual, key="batch_size" if usual == FineTune.batch_size else f"batch_size.{usual}")
    )


def _number(name: str, default: float | None = None, disabled: bool = False, key: str = "") -> Any:
    """A field to type a number in: these ranges are too wide for a slider."""
    knob = next(knob for knob in knobs_of(FineTune) if knob.name == name)
    span = knob.kind
    assert isinstance(span, Range)
    number: type[int] | type[float] = int if isinstance(knob.default, int) else float
    least = 1 if name in (EPOCHS, MINUTES) else span.low
    return st.number_input(
        said(span.label),
        number(least),
        number(span.high),
        number(knob.default if default is None else default),
        number(STEPS.get(name, 1)),
        format=None if number is int else "%g",
        key=f"{KEY}.{key or name}",
        help=said(span.help) if name not in (EPOCHS, MINUTES) and span.help else None,
        disabled=disabled,
        persist_state="session",
    )
