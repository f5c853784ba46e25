"""Widgets for the knobs of any criterion or method: what a dataclass declares is what the page offers."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, TypeVar

import streamlit as st

from pages.ui.language import _, said
from pruning_core.knobs import Choice, Knob, Range, Toggle, knobs_of

T = TypeVar("T")
MOST_SEGMENTS = 5
STEPS_PER_DECADE = 4


def knob_widgets(cls: type[T], key: str, without: Collection[str] = ()) -> T:
    """One widget for each knob of the dataclass `cls`, and the instance they describe.

    `key` names the place on the page; the values last as long as the visitor's session, on other pages too. Knobs named
    in `without` keep their defaults and are not shown.
    """
    shown = [knob for knob in knobs_of(cls) if knob.name not in without]
    return cls(**{knob.name: _widget(knob, f"{key}.{cls.__name__}.{knob.name}") for knob in shown})


def knob_widget(cls: type, name: str, key: str) -> Any:
    """The widget of one knob, for pages that arrange them themselves; its value."""
    return _widget(next(knob for knob in knobs_of(cls) if knob.name == name), f"{key}.{cls.__name__}.{name}")


def _widget(knob: Knob, key: str) -> Any:
    match knob.kind:
        case Choice() as choice:
            return _choice(choice, knob.default, key)
        case Range(log=True) as span:
            return _log_range(span, knob.default, key)
        case Range() as span:
            return _range(span, knob.default, key)
        case Toggle(label=label, help=help):
            return st.toggle(
                said(label), knob.default, key=key, help=said(help) or None, persist_state="session", wrap=True
            )


def _choice(choice: Choice, default: Any, key: str) -> Any:
    common: dict[str, Any] = {
        "key": key,
        "help": said(choice.help) or None,
        "format_func": _text,
        "persist_state": "session",
    }
    if len(choice.options) <= MOST_SEGMENTS:
        return st.segmented_control(
            said(choice.label), choice.options, default=default, required=True, **common, wrap=True
        )
    return st.selectbox(said(choice.label), choice.options, choice.options.index(default), **common)


def _range(span: Range, default: Any, key: str) -> Any:
    whole = isinstance(default, int)
    number = int if whole else float
    step = span.step if span.step is not None else (1 if whole else (span.high - span.low) / 100)
    return st.slider(
        said(span.label),
        number(span.low),
        number(span.high),
        number(default),
        number(step),
        key=key,
        help=said(span.help) or None,
        persist_state="session",
    )


def _log_range(span: Range, default: Any, key: str) -> Any:
    return st.select_slider(
        said(span.label),
        log_steps(span.low, span.high, default),
        default,
        key=key,
        help=said(span.help) or None,
        format_func=_text,
        persist_state="session",
    )


def log_steps(low: float, high: float, default: Any) -> list[Any]:
    """A few values per decade from `low` to `high`, both ends and the default among them; whole when the default is."""
    count = max(1, round(STEPS_PER_DECADE * math.log10(high / low)))
    values = [low * (high / low) ** (i / count) for i in range(count + 1)]
    if isinstance(default, int):
        return sorted({*(round(value) for value in values), default})
    rounded = {float(f"{value:.2g}") for value in values[1:-1]}
    return sorted({low, *rounded, high, default})


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return f"{value:g}" if isinstance(value, float) else said(str(value))
