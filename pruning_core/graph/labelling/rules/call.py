"""One operator as it ran, seen by its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from pruning_core.graph.labelling.contract import Ledger
from pruning_core.graph.labelling.labels import Labelled, Origin
from pruning_core.graph.labelling.universe import Universe


@dataclass(frozen=True)
class Call:
    """``args`` hold real tensors, ``look`` gives their labels, ``follows_data`` says whether their values depend on
    the network's input."""

    op: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    look: Callable[[Any], Labelled]
    follows_data: Callable[[Any], bool]
    universe: Universe
    ledger: Ledger

    def arg(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    @property
    def shape(self) -> tuple[int, ...]:
        out = self.out[0] if isinstance(self.out, tuple | list) else self.out
        return tuple(out.shape)

    @property
    def x(self) -> Labelled:
        return self.look(self.args[0])

    def leaves(self) -> list[Tensor]:
        """Operators take tensors, and lists of them."""
        found = []
        for value in (*self.args, *self.kwargs.values()):
            if isinstance(value, Tensor):
                found.append(value)
            elif isinstance(value, list | tuple):
                found += [v for v in value if isinstance(v, Tensor)]
        return found

    def tensors(self) -> list[Labelled]:
        return [self.look(v) for v in self.leaves()]

    def with_extras(self, first: Labelled) -> Labelled | list[Labelled]:
        """The first of several outputs carries the labels; the others (statistics, masks) carry none."""
        if isinstance(self.out, tuple | list):
            return [first, *(bare(v) for v in self.out[1:] if isinstance(v, Tensor))]
        return first

    def for_each_output(self, result: Labelled) -> Labelled | list[Labelled]:
        """Several outputs of the same shape: values and indices, variance and mean."""
        return [result] * len(self.out) if isinstance(self.out, tuple | list) else result


NO_RULE = "no rule describes this operator"
BY_DATA = "its positions are chosen by numbers that follow from the data"
Rule = Callable[[Call], Labelled | list[Labelled]]


def bare(value: Tensor) -> Labelled:
    """An activation without labels."""
    return Labelled(tuple(value.shape), (), Origin.ACTIVATION)


def unknown(c: Call) -> Labelled | list[Labelled]:
    """What an operator without a rule reads cannot be removed: never guess."""
    tensors = c.tensors()
    for x in tensors:
        c.universe.pin(x.planes, NO_RULE)
    origin = max((x.origin for x in tensors), key=lambda o: o.value, default=Origin.CONSTANT)
    outputs = c.out if isinstance(c.out, tuple | list) else [c.out]
    results = [replace(bare(v), origin=origin) for v in outputs if isinstance(v, Tensor)]
    return results if isinstance(c.out, tuple | list) else (results[0] if results else Labelled(()))


def unknown_one(c: Call) -> Labelled:
    result = unknown(c)
    return result[0] if isinstance(result, list) else result
