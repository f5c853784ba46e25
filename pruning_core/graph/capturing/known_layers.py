"""Layers of PyTorch that do in training what they were seen doing in evaluation: nobody follows them twice.

Of PyTorch's own layers the difference is known. Batch norm normalises by other numbers, dropout multiplies with a mask,
and neither changes what belongs together. What they were given once with the same labels they need not be given again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruning_core.graph.capturing.carried import Carried
from pruning_core.graph.labelling.labels import Labelled

OWN = "torch.nn.modules."
CALLS = 4  # of one layer that are remembered: rectifiers are often used several times


@dataclass(frozen=True)
class _Passed:
    """What a layer was given (labels where there was a tensor), and what it gave: the tensors, and their labels."""

    names: tuple[str, ...]
    read: tuple[Any, ...]
    out: Any
    wrote: tuple[Labelled, ...]
    data: tuple[bool, ...]  # whether their numbers follow from the network's input


@dataclass
class KnownLayers:
    """What the layers of one network did in evaluation, by name; only of a run in which nobody looks at numbers."""

    passed: dict[str, list[_Passed]] = field(default_factory=dict)

    def given(self, name: str, args: Any, kwargs: Any, carried: Carried) -> tuple[Any, ...] | None:
        """What a layer is about to read, where that is worth a note."""
        if len(self.passed.get(name, ())) >= CALLS:
            return None
        return tuple(carried.peek(v) if isinstance(v, Tensor) else v for v in (*args, *kwargs.values()))

    def note(self, name: str, read: tuple[Any, ...], args: Any, kwargs: Any, out: Any, carried: Carried) -> None:
        """Not of a layer that gives another view of what it was given, or something else than tensors."""
        made = out if isinstance(out, tuple) else (out,)
        tensors = [v for v in made if isinstance(v, Tensor)]
        if all(isinstance(v, Tensor | None) for v in made) and not any(_is_view(v, args) for v in tensors):
            labels, data = tuple(map(carried.peek, tensors)), tuple(map(carried.follows_data, tensors))
            self.passed.setdefault(name, []).append(_Passed(tuple(kwargs), read, out, labels, data))

    def repeat(self, name: str, args: Any, kwargs: Any, carried: Carried) -> Any:
        """What the layer gives in training, where it was given the same before; else None."""
        for before in self.passed.get(name, ()):
            if before.names == tuple(kwargs) and _alike((*args, *kwargs.values()), before.read, carried):
                made = before.out if isinstance(before.out, tuple) else (before.out,)
                for value, labels, data in zip([v for v in made if isinstance(v, Tensor)], before.wrote, before.data):
                    carried.mark(value, labels, data)
                return before.out
        return None


def is_known(module: nn.Module) -> bool:
    """A layer of PyTorch's as it comes, or one that is made of such."""
    if not type(module).__module__.startswith(OWN) or "forward" in module.__dict__:
        return False
    children = [child for child in module._modules.values() if child is not None]
    return all(is_known(c) and not _is_watched(c) and not getattr(c, "inplace", False) for c in children)


def _is_watched(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _is_view(out: Tensor, args: Any) -> bool:
    """Or the very tensor that was given, which may be written into."""
    with torch._C.DisableTorchFunction():
        base = out._base
        given = [a for a in args if isinstance(a, Tensor)]
        return any(out is a or (base is not None and (base is a or base is a._base)) for a in given)


def _alike(now: tuple[Any, ...], then: tuple[Any, ...], carried: Carried) -> bool:
    if len(now) != len(then):
        return False
    for value, before in zip(now, then):
        if isinstance(before, Labelled):
            if not isinstance(value, Tensor) or not _same(carried.peek(value), before):
                return False
        elif isinstance(value, Tensor) or value is not before:
            return False
    return True


def _same(a: Labelled, b: Labelled) -> bool:
    """Whether they say the same."""
    if a is b:
        return True
    if a.shape != b.shape or a.origin is not b.origin or a.zero is not b.zero or len(a.planes) != len(b.planes):
        return False
    return not a.debts and not b.debts and all(p is q or np.array_equal(p, q) for p, q in zip(a.planes, b.planes))
