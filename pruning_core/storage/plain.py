"""Frozen dataclasses with arrays as plain JSON and safetensors, and back by their annotations alone.

For values that come out of a process that is not trusted: nothing is imported, nothing is a pickle, and what does not
have exactly the annotated types is refused. Sizes are those of the bytes that are there.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import types
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pruning_core.storage.conform import conforms, fields_of

Arrays = dict[str, NDArray[Any]]


class Forged(ValueError):
    """What was read is not of the kind that was promised."""


def packed(value: Any, arrays: Arrays) -> Any:
    """``value`` as plain JSON; its arrays go into ``arrays``, and their names in their places.

    Mappings become lists of pairs, because their keys may be tuples.
    """
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = np.ascontiguousarray(value)
        return name
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: packed(getattr(value, field.name), arrays) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return [[packed(key, arrays), packed(item, arrays)] for key, item in value.items()]
    if isinstance(value, AbstractSet):
        return [packed(item, arrays) for item in sorted(value)]
    if isinstance(value, tuple | list):
        return [packed(item, arrays) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no plain form")


def unpacked(value: Any, arrays: Mapping[str, NDArray[Any]], hint: Any) -> Any:
    """What ``packed`` was given, of the type that ``hint`` says. Raises Forged when it is of another."""
    origin, given = get_origin(hint), get_args(hint)
    if origin is np.ndarray:
        return _array(value, arrays, np.dtype(get_args(given[1])[0]))
    if origin in (Union, types.UnionType):
        return _one_of(value, arrays, given)
    if dataclasses.is_dataclass(hint):
        hints = fields_of(cast(Any, hint))
        if not isinstance(value, dict) or set(value) != set(hints):
            raise Forged(f"this is no {getattr(hint, '__name__', 'such thing')}")
        return cast(Any, hint)(**{name: unpacked(value[name], arrays, of) for name, of in hints.items()})
    if isinstance(origin, type) and issubclass(origin, Mapping):
        pair = types.GenericAlias(tuple, given)
        return dict(unpacked(each, arrays, pair) for each in _list(value))
    if isinstance(origin, type) and issubclass(origin, AbstractSet):
        return frozenset(unpacked(item, arrays, given[0]) for item in _list(value))
    if origin is tuple:
        items = _list(value)
        each = (given[0],) * len(items) if given[1:] == (Ellipsis,) else given
        if len(each) != len(items):
            raise Forged(f"{len(each)} values are expected, not {len(items)}")
        return tuple(unpacked(item, arrays, of) for item, of in zip(items, each))
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError as error:
            raise Forged(f"this is no {hint.__name__}") from error
    if not conforms(value, hint):
        raise Forged(f"this is no {getattr(hint, '__name__', hint)}")
    return value


def _one_of(value: Any, arrays: Mapping[str, NDArray[Any]], hints: tuple[Any, ...]) -> Any:
    for hint in hints:
        try:
            return unpacked(value, arrays, hint)
        except Forged:
            continue
    raise Forged("this is of none of the kinds that it may be")


def _array(value: Any, arrays: Mapping[str, NDArray[Any]], kind: np.dtype[Any]) -> NDArray[Any]:
    found = arrays.get(value) if isinstance(value, str) else None
    if found is None or found.dtype != kind:
        raise Forged("an array is missing, or of another kind")
    return found


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Forged("a list is expected")
    return value


def save_arrays(arrays: Arrays, path: Path) -> None:
    """Names and contents to a file of safetensors."""
    path.write_bytes(save(arrays))


def load_arrays(path: Path, most: int) -> Arrays:
    """What ``save_arrays`` wrote, when that is a plain file of at most ``most`` bytes. Raises Forged otherwise.

    The file is read, not mapped: whoever could still cut it short would end this process.
    """
    try:
        return load(plain_bytes(path, most))
    except (SafetensorError, ValueError, KeyError) as error:
        raise Forged("the file of arrays is none") from error


def plain_bytes(path: Path, most: int) -> bytes:
    """The content of a plain file of at most ``most`` bytes; no link is followed. Raises Forged for anything else."""

    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Forged("a file is expected")
            data = file.read(most + 1)
    except OSError as error:
        raise Forged("a file is missing") from error
    if len(data) > most:
        raise Forged("a file is larger than it may be")
    return data
