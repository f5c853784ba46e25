"""Typed hyper-parameters: a dataclass field annotated with its range becomes a widget.

@dataclass(frozen=True)
class FilterNorm(Criterion):
    p: Annotated[int, Choice((1, 2), "Norm order")] = 1
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True)
class Choice:
    """One of ``options``."""

    options: tuple[Any, ...]
    label: str
    help: str = ""


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``; ``log`` asks for a logarithmic scale."""

    low: float
    high: float
    label: str
    step: float | None = None
    log: bool = False
    help: str = ""


@dataclass(frozen=True)
class Toggle:
    """On or off."""

    label: str
    help: str = ""


Kind = Choice | Range | Toggle


@dataclass(frozen=True)
class Knob:
    """One hyper-parameter of a class: its field name, default and kind."""

    name: str
    default: Any
    kind: Kind


def knobs_of(cls: type) -> tuple[Knob, ...]:
    """The annotated fields of a dataclass, in order; fields without a kind are not knobs."""
    return _knobs_of(cls)


@cache  # annotations are text, which is compiled each time that it is asked for
def _knobs_of(cls: type) -> tuple[Knob, ...]:
    hints = get_type_hints(cls, include_extras=True)
    found = []
    for field in dataclasses.fields(cls):
        kinds = [a for a in get_args(hints[field.name])[1:] if isinstance(a, Choice | Range | Toggle)]
        if kinds:
            found.append(Knob(field.name, field.default, kinds[0]))
    return tuple(found)


def check_knobs(instance: Any) -> None:
    """Raise ValueError when a field lies outside its declared range or options."""
    for knob in knobs_of(type(instance)):
        value = getattr(instance, knob.name)
        match knob.kind:
            case Choice(options=options) if value not in options:
                raise ValueError(f"{knob.name} must be one of {options}, not {value!r}")
            case Range(low=low, high=high) if not low <= value <= high:
                raise ValueError(f"{knob.name} must lie in [{low}, {high}], not {value!r}")
            case Toggle() if not isinstance(value, bool):
                raise ValueError(f"{knob.name} must be True or False, not {value!r}")


class Knobbed:
    """A frozen dataclass that cannot be made with a knob outside its range: ValueError says what is allowed."""

    def __post_init__(self) -> None:
        check_knobs(self)
