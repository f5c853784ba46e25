"""From a model to a :class:`Network`: record it, resolve the labels, name the groups."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map

from pruning_core.errors import UserError
from pruning_core.graph.capturing.counting import Measures
from pruning_core.graph.capturing.grouping import Places, find_blocked, find_groups
from pruning_core.graph.capturing.guard import Overwrites, address, switch
from pruning_core.graph.capturing.hollow import NeedsValues
from pruning_core.graph.capturing.record import Recording, follow, start
from pruning_core.graph.capturing.recurrent import link_recurrent_layers, plain_recurrence
from pruning_core.graph.copies import copied, shadow
from pruning_core.graph.layout import Layout
from pruning_core.graph.modules import modules_by_name, named_tensors
from pruning_core.graph.network import Network
from pruning_core.graph.undisturbed import steady_world


def capture(model: nn.Module, example: Tensor | tuple[Any, ...]) -> Network:
    """Look at a network by running a copy of it on ``example`` (a tensor or a tuple of arguments).

    Evaluation is followed first, then training. Whatever the network's own code does to itself on the way, the caller's
    is left as it was. Raises UserError when the model does not run on the example.
    """
    began = time.perf_counter()
    arguments = _copies(example if isinstance(example, tuple) else (example,))
    tensors = named_tensors(model)
    lazy = [name for name, tensor in tensors.items() if is_lazy(tensor)]
    if lazy:
        raise UserError(
            f"The network has layers that take their sizes from their first input ({lazy[0]}). "
            "Run it once, so that they have them, and then capture or load it."
        )
    with steady_world(*tensors.values()), plain_recurrence(model):
        take = _looked(model, arguments)
    return _network(take, arguments, began)


def _looked(model: nn.Module, arguments: tuple[Any, ...]) -> _Take:
    hollow = lent = True
    originals = named_tensors(model)
    memory = frozenset(map(address, originals.values())) - {0}
    outside = {id(tensor): name for name, tensor in originals.items()}
    while True:
        seen = _Shadow(shadow(model) if lent else copied(model), memory, outside)
        try:
            return _look(seen, arguments, hollow=hollow)
        except Overwrites as error:  # so it needs parameters of its own
            if not lent:
                raise UserError(
                    "The network's code changes the tensors of the very object that was given, even when a copy of it "
                    "runs. Make it use its own attributes, and no names from outside."
                ) from error
            lent = False
        except (NeedsValues, UserError):  # what fails without numbers may run with them, or says why it does not
            if not hollow:
                raise
            hollow = False


@dataclass(frozen=True)
class _Shadow:
    """A copy to look at, where it must not write, and the names of tensors that it may reach from outside."""

    model: nn.Module
    memory: frozenset[int]
    outside: dict[int, str]


@dataclass(frozen=True)
class _Take:
    recording: Recording
    tensors: dict[str, Tensor]
    notes: tuple[str, ...]
    trail: tuple[str, ...]  # of the evaluated pass


def _look(seen: _Shadow, arguments: tuple[Any, ...], *, hollow: bool) -> _Take:
    model = seen.model
    for module in modules_by_name(model).values():
        if module.training:
            switch(model, False, seen.memory)
            break
    recording, tensors = start(model)
    recording.outside.update(seen.outside)
    link_recurrent_layers(model, recording)
    try:
        follow(model, _copies(arguments), recording, tensors, hollow=hollow, memory=seen.memory)
    except (UserError, NeedsValues, Overwrites):
        raise
    except Exception as error:
        raise UserError(
            f"The network does not run on an input of shape {_shapes(arguments)}: {_first_line(error)} "
            "Check the input size and the number of input channels."
        ) from error
    products, passages, trail = list(recording.ledger.products), list(recording.passages), tuple(recording.trail)
    idle = [n for n, t in tensors.items() if isinstance(t, nn.Parameter) and n not in recording.used]
    notes = _follow_training(seen, arguments, recording, tensors, idle, hollow=hollow) if idle else ()
    recording.ledger.products[:] = products
    recording.passages[:] = passages
    return _Take(recording, tensors, notes, trail)


def _follow_training(
    seen: _Shadow,
    arguments: tuple[Any, ...],
    recording: Recording,
    tensors: dict[str, Tensor],
    idle: list[str],
    *,
    hollow: bool,
) -> tuple[str, ...]:
    """A training pass for what evaluation never touches; two images, because batch norm needs them."""
    try:
        switch(seen.model, True, seen.memory)
        doubled = tree_map(_doubled, _copies(arguments))
        follow(seen.model, doubled, recording, tensors, hollow=hollow, memory=seen.memory)
    except (NeedsValues, Overwrites):
        raise
    except Exception as error:
        recording.universe.operator = "training"
        for name in idle:
            if name in recording.used:
                recording.universe.pin(recording.parameters[name].planes, "training mode does not run on this input")
        return (
            f"{len(idle)} parameters are used in training mode only, which does not run on this input "
            f"({_first_line(error)}) They are left as they are, and so is what they are known to read.",
        )
    return ()


def _doubled(value: Any) -> Any:
    return torch.cat([value, value]) if isinstance(value, Tensor) and value.dim() and len(value) == 1 else value


def _copies(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    copied: tuple[Any, ...] = tree_map(lambda v: v.detach().clone() if isinstance(v, Tensor) else v, arguments)
    return copied


def _shapes(arguments: tuple[Any, ...]) -> str:
    return ", ".join("×".join(map(str, a.shape)) for a in arguments if isinstance(a, Tensor))


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return line if line.endswith((".", "!", "?")) else line + "."


def _network(take: _Take, arguments: tuple[Any, ...], began: float) -> Network:
    recording = take.recording
    units = recording.universe.resolve()
    places = Places.of(recording)
    unused = {name for name in recording.parameters if name not in recording.used}
    removable = places.units(np.where(units.pinned[units.of], -1, units.of), unused)
    groups, unit_ids, unit = find_groups(places, units, removable)
    group_of = np.full(units.count, -1, dtype=np.int64)
    for number, group in enumerate(groups):
        group_of[unit_ids[group.key]] = number
    silent = [units.of[p.ravel()] for p in recording.ledger.both_active]
    layout = Layout(
        units=units.count,
        unit_of=places.by_place(unit),
        grouping=_grouping(recording, places),
        silent_producers=frozenset(np.unique(np.concatenate(silent)).tolist()) if silent else frozenset(),
        trail=take.trail,
        batch=max(1, next((a.shape[0] for a in arguments if isinstance(a, Tensor) and a.dim()), 1)),
        measure=_measures(
            take, np.where(group_of[units.of] >= 0, units.of, -1), group_of, tuple(g.size for g in groups)
        ).sizes,
    )
    return Network(
        groups,
        find_blocked(places, units, unit, unused),
        layout,
        unit_ids,
        arguments,
        recording.operators,
        time.perf_counter() - began,
        take.notes,
    )


def _measures(
    take: _Take, unit: NDArray[np.int64], group_of: NDArray[np.int64], group_sizes: tuple[int, ...]
) -> Measures:
    recording, tensors = take.recording, take.tensors
    return Measures(
        unit,
        group_of,
        group_sizes,
        tuple(
            (name, x, tensors[name].element_size(), isinstance(tensors[name], nn.Parameter))
            for name, x in recording.parameters.items()
        ),
        tuple(recording.ledger.products),
        tuple(recording.passages),
        tuple(recording.sized),
    )


def _grouping(recording: Recording, places: Places) -> dict[str, str]:
    """Name of each grouped convolution's weight -> how its groups are cut."""
    first = {label: name for (name, dim), label in zip(places.at, places.labels[places.starts].tolist()) if dim == 0}
    return {first[label]: kind for label, kind in recording.ledger.grouping.items() if label in first}
