"""Whether decoded JSON is of the types that its class promises: the codec makes objects and asks no questions."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin


def conforms(value: Any, hint: Any) -> bool:
    """True when ``value`` is what the annotation ``hint`` says, down to the last field.

    Understands plain types, dataclasses (exactly that class), enumerations, Literal, Annotated, unions, tuples and
    mappings. Whole numbers are floats too; a bool is no number. Raises TypeError for an annotation of another kind.
    """
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    origin, given = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return conforms(value, given[0])
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in given)
    if origin in (Union, types.UnionType):
        return any(conforms(value, each) for each in given)
    if hint is tuple or origin is tuple:
        return isinstance(value, tuple) and _each(value, given)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, item = given
        return isinstance(value, dict) and all(conforms(k, key) and conforms(v, item) for k, v in value.items())
    if not isinstance(hint, type):
        raise TypeError(f"no value can be held against the annotation {hint!r}")
    if dataclasses.is_dataclass(hint):
        hints = fields_of(cast(Any, hint))
        return type(value) is hint and all(conforms(getattr(value, name), of) for name, of in hints.items())
    if issubclass(hint, Enum):
        return isinstance(value, hint)
    if hint is float:
        return isinstance(value, float) or type(value) is int
    return type(value) is hint


def _each(value: tuple[Any, ...], given: tuple[Any, ...]) -> bool:
    if not given:
        return True
    if len(given) == 2 and given[1] is Ellipsis:
        return all(conforms(item, given[0]) for item in value)
    return len(value) == len(given) and all(map(conforms, value, given))


@cache
def fields_of(cls: Any) -> dict[str, Any]:
    """The annotations of a dataclass's fields, with what they name looked up."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}
