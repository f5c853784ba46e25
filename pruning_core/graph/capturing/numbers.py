"""Which of the numbers that modules keep are given to PyTorch as sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from pruning_core.graph.modules import modules_by_name

Place = tuple[str, str]  # name of a module, and of its attribute
# functions of PyTorch that are told sizes
SIZING = frozenset(
    {"view", "reshape", "expand", "broadcast_to", "unflatten", "split", "tensor_split", "chunk", "narrow", "unfold"}
    | {"repeat", "tile", "repeat_interleave", "as_strided", "__getitem__", "layer_norm", "group_norm", "rms_norm"}
    | {"zeros", "ones", "full", "empty", "rand", "randn", "arange", "linspace", "eye"}
    | {"new_zeros", "new_ones", "new_full", "new_empty"}
)


class PlacedNumber(int):
    """A number that remembers where it is kept; what is calculated from it remembers as well."""

    places: frozenset[Place]

    @staticmethod
    def of(value: int, places: frozenset[Place]) -> PlacedNumber:
        new = PlacedNumber(value)
        new.places = places
        return new

    def _with(self, other: Any, value: Any) -> Any:
        if type(value) is not int:
            return value
        return PlacedNumber.of(value, self.places | (other.places if type(other) is PlacedNumber else frozenset()))

    def __add__(self, other: Any) -> Any:
        return self._with(other, int.__add__(self, other))

    def __radd__(self, other: Any) -> Any:
        return self._with(other, int.__radd__(self, other))

    def __sub__(self, other: Any) -> Any:
        return self._with(other, int.__sub__(self, other))

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, int.__rsub__(self, other))

    def __mul__(self, other: Any) -> Any:
        return self._with(other, int.__mul__(self, other))

    def __rmul__(self, other: Any) -> Any:
        return self._with(other, int.__rmul__(self, other))

    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, int.__floordiv__(self, other))

    def __rfloordiv__(self, other: Any) -> Any:
        return self._with(other, int.__rfloordiv__(self, other))


def remember_places(model: nn.Module) -> None:
    """Numbers that modules of the network's own classes keep remember where; for a copy that is thrown away."""
    for name, module in modules_by_name(model).items():
        if type(module).__module__.startswith("torch."):
            continue
        for key, value in list(module.__dict__.items()):
            places = frozenset({(name, key)})
            if _is_width(value):
                module.__dict__[key] = PlacedNumber.of(value, places)
            elif type(value) in (tuple, list) and any(map(_is_width, value)):
                module.__dict__[key] = type(value)(PlacedNumber.of(v, places) if _is_width(v) else v for v in value)


def _is_width(value: Any) -> bool:
    return type(value) is int and value > 1


def placed_in(values: Iterable[Any]) -> Iterator[PlacedNumber]:
    """Among arguments, in lists and slices too."""
    for value in values:
        if type(value) is PlacedNumber:
            yield value
        elif type(value) in (tuple, list):
            yield from placed_in(value)
        elif type(value) is slice:
            yield from placed_in((value.start, value.stop, value.step))
