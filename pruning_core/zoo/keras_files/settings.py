"""What the description of a layer says of it, judged when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pruning_core.errors import UserError, clip, quoted

LARGEST = 1 << 20  # of a size, a stride, a number of units
NUMBERS = 1 << 16  # in a list


@dataclass(frozen=True)
class Settings:
    """The settings of one layer: ``kind`` is its class, ``name`` what the file calls it, ``file`` what the user calls
    the file. Each reader raises UserError for what no layer of Keras says."""

    kind: str
    name: str
    file: str
    given: Mapping[str, Any]

    def refused(self, why: str) -> UserError:
        """The layer stands in the way; ``why`` is a sentence of its own."""
        return UserError(f"The layer {quoted(self.name)} ({clip(self.kind)}) of {quoted(self.file)} is not read. {why}")

    def misshapen(self) -> UserError:
        return self.refused("Its weights have another shape than its class.")

    def odd(self, key: str) -> UserError:
        return self.refused(f"What it says of {quoted(key)} is not known here: {clip(repr(self.given.get(key)))}.")

    def flag(self, key: str, usual: bool = False) -> bool:
        value = self.given.get(key, usual)
        if not isinstance(value, bool):
            raise self.odd(key)
        return value

    def whole(self, key: str, usual: int | None = None, least: int = 1) -> int:
        value = self.given.get(key, usual)
        if not _whole(value) or not least <= value <= LARGEST:
            raise self.odd(key)
        return int(value)

    def number(self, key: str, usual: float) -> float:
        value = self.given.get(key, usual)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.odd(key)
        return float(value)

    def word(self, key: str, usual: str, *known: str) -> str:
        value = self.given.get(key, usual)
        if value not in known or not isinstance(value, str):
            raise self.odd(key)
        return value

    def wholes(self, key: str, number: int | None, usual: Any = None, least: int = 1) -> tuple[int, ...]:
        """``number`` of them, where one may stand for all; None takes as many as there are."""
        value = self.given.get(key, usual)
        if _whole(value):
            value = [value] * (number or 1)
        if not isinstance(value, list | tuple) or len(value) > 64 or number not in (None, len(value)):
            raise self.odd(key)
        if not all(_whole(each) and least <= each <= LARGEST for each in value):
            raise self.odd(key)
        return tuple(value)

    def sides(self, key: str, dims: int) -> tuple[tuple[int, int], ...]:
        """(before, after) along each of ``dims`` dimensions, as padding and cropping say it."""
        value = self.given.get(key)
        if dims == 1 and isinstance(value, list) and all(map(_whole, value)):
            value = [value]
        if _whole(value):
            value = [value] * dims
        if not isinstance(value, list) or len(value) != dims:
            raise self.odd(key)
        found = [(each, each) if _whole(each) else each for each in value]
        for each in found:
            fits = isinstance(each, list | tuple) and len(each) == 2 and all(map(_whole, each))
            if not fits or not all(0 <= n <= LARGEST for n in each):
                raise self.odd(key)
        return tuple((int(a), int(b)) for a, b in found)

    def numbers(self, key: str, usual: float) -> float | tuple[float, ...]:
        """A number, or a list of them, whether as a list or as Keras writes an array."""
        value = self.given.get(key, usual)
        if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
            config = value.get("config")
            value = config.get("value") if isinstance(config, dict) else None
        while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            value = value[0]
        many = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        plain = all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in many)
        if not plain or not 0 < len(many) <= NUMBERS:
            raise self.odd(key)
        return tuple(map(float, many)) if isinstance(value, list) else float(many[0])


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
