"""Frozen dataclasses to JSON and back, through one explicit set of classes.

Only classes that were named can come out of stored text, so a stored row can never import or run anything. Sequences
come back as tuples, because what is stored here is immutable.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

TAG = "$"


class UnknownClass(ValueError):
    """The text names a class that this version does not know."""


def encode(value: Any) -> Any:
    """``value`` as plain JSON; a dataclass becomes an object tagged with its class name.

    Raises TypeError for anything that JSON cannot hold (tensors, sets, arbitrary objects).
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {TAG: "float", "value": repr(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return {TAG: type(value).__name__, **{name: encode(getattr(value, name)) for name in names}}
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) or key == TAG for key in value):
            raise TypeError(f"a stored mapping needs text keys other than {TAG!r}")
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")


def dump(value: Any) -> str:
    """``value`` as compact, strictly valid JSON."""
    return json.dumps(encode(value), separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of ``value``: equal values have equal digests.

    Canonical: keys sorted, and 1.0 written as 1 because the two compare equal.
    """
    text = json.dumps(_canonical(encode(value)), separators=(",", ":"), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


class Codec:
    """Reads back what ``dump`` wrote, for the classes given and no others."""

    def __init__(self, classes: Iterable[type]) -> None:
        self._classes: dict[str, type] = {}
        for cls in classes:
            if self._classes.setdefault(cls.__name__, cls) is not cls:
                raise ValueError(f"two stored classes are called {cls.__name__}")

    def load(self, text: str) -> Any:
        """Raises UnknownClass for a tag that was not named, ValueError for what is no JSON or no object of its class.

        A class may refuse values by errors of its own: UserError, TypeError for a missing field.
        """
        return self._decode(json.loads(text))

    def _decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return tuple(self._decode(item) for item in value)
        if not isinstance(value, dict):
            return value
        fields = {key: self._decode(item) for key, item in value.items() if key != TAG}
        tag = value.get(TAG)
        if tag is None:
            return fields
        if tag == "float":
            return float(fields["value"])
        cls = self._classes.get(tag)
        if cls is None:
            raise UnknownClass(f"no stored class is called {tag!r}")
        known = {field.name for field in dataclasses.fields(cls) if field.init}
        try:
            return cls(**{name: item for name, item in fields.items() if name in known})
        except (AttributeError, LookupError, ArithmeticError) as error:  # a value of another type, met by a check
            raise ValueError(f"no {tag} is made of these values") from error
