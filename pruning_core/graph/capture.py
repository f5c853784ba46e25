"""From a model to a :class:`Network`: record it, resolve the labels, name the groups."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pruning_core.errors import UserError
from pruning_core.graph.grouping import find_blocked, find_groups
from pruning_core.graph.labels import Labelled, Plane, Units, cover
from pruning_core.graph.network import Layout, LayerShape, Network, Shape, TensorTerm, Term
from pruning_core.graph.record import Recording, follow, start
from pruning_core.graph.recurrent import link_recurrent_layers, plain_recurrence


def capture(model: nn.Module, example: Tensor | tuple[Any, ...]) -> Network:
    """Look at a network by running it once on ``example`` (a tensor or a tuple of arguments).

    The model is run in eval mode and left as it was. Parameters that only a training pass uses (auxiliary heads) are
    followed in a second run. Raises UserError when the model does not run on the example.
    """
    began = time.perf_counter()
    arguments = example if isinstance(example, tuple) else (example,)
    notes: list[str] = []
    with undisturbed(model), plain_recurrence(model):
        model.eval()
        recording, tensors = start(model)
        link_recurrent_layers(model, recording)
        try:
            follow(model, _copies(arguments), recording, tensors)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"The network does not run on an input of shape {_shapes(arguments)}: {_first_line(error)} "
                "Check the input size and the number of input channels."
            ) from error
        products, passages = list(recording.ledger.products), list(recording.passages)
        idle = [n for n, p in model.named_parameters() if n not in recording.used]
        if idle:
            notes += _follow_training(model, arguments, recording, tensors, idle)
    recording.ledger.products[:] = products
    recording.passages[:] = passages
    return _network(recording, tensors, dict(model.named_parameters()), arguments, began, tuple(notes))


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore modes and buffers afterwards, whatever happens inside."""
    modes = [(m, m.training) for m in model.modules()]
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


def _follow_training(model: nn.Module, arguments: tuple[Any, ...], recording: Recording, tensors: dict[str, Tensor],
                     idle: list[str]) -> list[str]:
    """A training pass for what evaluation never touches; two images, because batch norm needs them."""
    model.train()
    doubled = tree_map(lambda v: torch.cat([v, v]) if isinstance(v, Tensor) and v.dim() and len(v) == 1 else v, _copies(arguments))
    try:
        with torch.random.fork_rng(devices=[]):
            follow(model, doubled, recording, tensors)
    except Exception as error:
        return [f"{len(idle)} parameters are unused in evaluation and the network does not run in training mode "
                f"({_first_line(error)}); they are left as they are."]
    return []


def _copies(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    copied: tuple[Any, ...] = tree_map(lambda v: v.detach().clone() if isinstance(v, Tensor) else v, arguments)
    return copied


def _shapes(arguments: tuple[Any, ...]) -> str:
    return ", ".join("×".join(map(str, a.shape)) for a in arguments if isinstance(a, Tensor))


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return line if line.endswith((".", "!", "?")) else line + "."


def _network(recording: Recording, tensors: dict[str, Tensor], trainable: dict[str, Any], arguments: tuple[Any, ...],
             began: float, notes: tuple[str, ...]) -> Network:
    units = recording.universe.resolve()
    alive_or_fixed = np.where(units.pinned[units.of], -1, units.of) if len(units.of) else units.of
    unit_of: dict[tuple[str, int], NDArray[np.int64]] = {}
    for name, labelled in recording.parameters.items():
        for plane in labelled.planes:
            dim = next(iter(cover(plane)))
            unit_of[name, dim] = alive_or_fixed[plane.reshape(-1)]
    unused = [name for name in recording.parameters if name not in recording.used]
    for name, dim in list(unit_of):
        if name in unused:
            unit_of[name, dim] = np.full_like(unit_of[name, dim], -1)
    groups, unit_ids, unit_of = find_groups(recording, units, unit_of)
    counter = _Counter(alive_or_fixed, len(units.pinned))
    silent = set(np.unique(np.concatenate([units.of[p.ravel()] for p in recording.ledger.both_active])).tolist()) \
        if recording.ledger.both_active else set()
    layout = Layout(
        units=len(units.pinned),
        unit_of=unit_of,
        products=tuple(counter.term(p.owner, p.factor, p.counts) for p in recording.ledger.products),
        tensors=tuple(_tensor_term(counter, name, labelled, tensors[name], name in trainable)
                      for name, labelled in recording.parameters.items()),
        layers=tuple(LayerShape(p.module, p.kind, counter.shape(p.read), counter.shape(p.wrote)) for p in recording.passages),
        vectors=tuple(counter.vectors),
        grouping=_grouping(recording),
        silent_producers=frozenset(silent),
        batch=max(1, next((a.shape[0] for a in arguments if isinstance(a, Tensor) and a.dim()), 1)),
    )
    shapes = tuple(tuple(a.shape) for a in arguments if isinstance(a, Tensor))
    return Network(groups, find_blocked(recording, units, unit_of, unused), layout, unit_ids, shapes,
                   recording.operators, time.perf_counter() - began, notes)


class _Counter:
    """Turns planes into numbered vectors of units whose live entries are counted; each distinct vector once."""

    def __init__(self, unit: Plane, units: int) -> None:
        self.unit, self.units = unit, units
        self.vectors: list[NDArray[np.int64]] = []
        self.number: dict[bytes, int] = {}

    def count(self, plane: Plane, dim: int) -> int | None:
        """Number of the vector along ``dim``; None when nothing along it can be removed."""
        along = self.unit[plane[tuple(slice(None) if d == dim else 0 for d in range(plane.ndim))]]
        if (along < 0).all() or (along == along[0]).all():
            return None
        return self.number_of(along)

    def number_of(self, along: NDArray[np.int64]) -> int:
        key = along.tobytes()
        if key not in self.number:
            self.number[key] = len(self.vectors)
            self.vectors.append(np.ascontiguousarray(along))
        return self.number[key]

    def term(self, owner: str, factor: int, counts: tuple[tuple[Plane, int], ...]) -> Term:
        numbers = []
        for plane, dim in counts:
            number = self.count(plane, dim)
            if number is None:
                factor *= plane.shape[dim]
            else:
                numbers.append(number)
        return Term(owner, factor, tuple(numbers))

    def shape(self, x: Labelled) -> Shape:
        counts = []
        for d in range(len(x.shape)):
            over = x.over(d)
            number = self.count(over[0], d) if over else None
            counts.append(-1 if number is None else number)
        return Shape(x.shape, tuple(counts))


def _tensor_term(counter: _Counter, name: str, labelled: Labelled, tensor: Tensor, trainable: bool) -> TensorTerm:
    factor = 1
    for d, n in enumerate(labelled.shape):
        if not labelled.over(d):
            factor *= n
    counts = tuple((p, next(iter(cover(p)))) for p in labelled.planes)
    return TensorTerm(name, counter.term(name, factor, counts), tensor.element_size(), trainable)


def _grouping(recording: Recording) -> dict[str, str]:
    """Name of each grouped convolution's weight -> how its groups are cut."""
    first = {int(p.reshape(-1)[0]): name for name, x in recording.parameters.items() for p in x.planes if cover(p) == {0}}
    return {first[label]: kind for label, kind in recording.ledger.grouping.items() if label in first}


__all__ = ["Units", "capture", "undisturbed"]
