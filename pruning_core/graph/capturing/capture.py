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

from pruning_core.errors import UserError, quoted
from pruning_core.graph.capturing.counting import Measures
from pruning_core.graph.capturing.follow import follow
from pruning_core.graph.capturing.grouping import Places, find_blocked, find_groups
from pruning_core.graph.capturing.guard import Guard, Overwrites, address
from pruning_core.graph.capturing.hollow import NeedsValues
from pruning_core.graph.capturing.known_layers import KnownLayers
from pruning_core.graph.capturing.numbers import remember_places
from pruning_core.graph.capturing.record import Recording, start
from pruning_core.graph.capturing.recurrent import link_recurrent_layers, plain_recurrence
from pruning_core.graph.capturing.remarks import Act, Remark, sentences
from pruning_core.graph.capturing.throws import Throws
from pruning_core.graph.copies import aliased, copied
from pruning_core.graph.labelling.labels import Note
from pruning_core.graph.layout import Layout
from pruning_core.graph.modules import named_tensors, set_mode, switch
from pruning_core.graph.network import Network
from pruning_core.graph.undisturbed import alone, dice, steady_world

LOOKS = 8  # what is drawn before the same operator in each of so many is drawn by the network


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
    with alone, steady_world(*tensors.values()), plain_recurrence(model):
        take = _looked(model, arguments)
    return _network(take, arguments, began)


def _looked(model: nn.Module, arguments: tuple[Any, ...]) -> _Take:
    """Random numbers of Python and NumPy are the process's: once somebody has drawn some, more looks say who it was."""
    take = _look_once(model, arguments, None)
    suspects = None
    for _ in range(1, LOOKS):
        if not take.drew:
            break
        throws = Throws(suspects)
        take, suspects = _look_once(model, arguments, throws), throws.seen
    return take


def _look_once(model: nn.Module, arguments: tuple[Any, ...], throws: Throws | None) -> _Take:
    hollow = lent = True
    originals = named_tensors(model)
    memory = frozenset(map(address, originals.values())) - {0}
    outside = {id(tensor): name for name, tensor in originals.items()}
    while True:
        seen = _Shadow(aliased(model) if lent else copied(model), memory, outside)
        try:
            return _look(seen, arguments, throws, hollow=hollow)
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
    drew: bool  # the network, as far as is known, from Python's or NumPy's random numbers


def _look(seen: _Shadow, arguments: tuple[Any, ...], throws: Throws | None, *, hollow: bool) -> _Take:
    model = seen.model
    with Guard(seen.memory):
        switch(model, False)
    remember_places(model)
    recording, tensors = start(model)
    recording.outside.update(seen.outside)
    link_recurrent_layers(model, recording)
    drawn, layers, recording.throws = dice(), KnownLayers(), throws
    try:
        follow(model, _copies(arguments), recording, tensors, hollow=hollow, memory=seen.memory, layers=layers)
    except (UserError, NeedsValues, Overwrites):
        raise
    except Exception as error:
        raise UserError(
            f"The network does not run on an input of shape {_shapes(arguments)}: {_first_line(error)} "
            "Check the input size and the number of input channels."
        ) from error
    drew = bool(throws.seen) if throws else dice() != drawn
    recording.throws = None
    if drew:  # by Python or NumPy: nobody knows for what
        remark = Remark(Act.DRAWS, "", "Python's or NumPy's", training=False)
        recording.remarks.append(remark)
        recording.universe.inexact.append(Note(np.arange(recording.universe.size), remark.spoken, remark.reason))
    products, passages, trail = list(recording.ledger.products), list(recording.passages), tuple(recording.trail)
    notes = _follow_training(seen, arguments, recording, tensors, layers, hollow=hollow)
    recording.ledger.products[:] = products
    recording.passages[:] = passages
    recording.operators = len(trail)
    notes = (*sentences(recording.remarks), *notes, *_unread(recording, tensors))
    return _Take(recording, tensors, notes, trail, drew)


def _follow_training(
    seen: _Shadow,
    arguments: tuple[Any, ...],
    recording: Recording,
    tensors: dict[str, Tensor],
    layers: KnownLayers,
    *,
    hollow: bool,
) -> tuple[str, ...]:
    """A training pass: features may meet in it, and heads may run, that evaluation never sees.

    On two images where one is too little for a batch norm.
    """
    idle = [n for n, t in tensors.items() if isinstance(t, nn.Parameter) and n not in recording.used]

    def run(given: tuple[Any, ...], known: KnownLayers | None) -> None:
        with Guard(seen.memory):
            set_mode(seen.model, True)
        options = {"hollow": hollow, "training": True}
        follow(seen.model, given, recording, tensors, memory=seen.memory, layers=known, **options)

    try:
        try:
            run(_copies(arguments), layers)
        except ValueError:
            run(tree_map(_doubled, _copies(arguments)), None)
    except (NeedsValues, Overwrites):
        raise
    except Exception as error:
        recording.universe.operator = "training"
        for name in idle:
            if name in recording.used:
                recording.universe.pin(recording.parameters[name].planes, "training mode does not run on this input")
        why = f"Training mode does not run on this input ({_first_line(error)})"
        if not idle:
            return (f"{why} Only evaluation was followed.",)
        return (
            f"{why} {len(idle)} parameters that evaluation does not use are left as they are, and so is what they are "
            "known to read.",
        )
    return ()


def _unread(recording: Recording, tensors: dict[str, Tensor]) -> tuple[str, ...]:
    """Parameters that neither evaluation nor training touched, by name."""
    parameters = [name for name, tensor in tensors.items() if isinstance(tensor, nn.Parameter)]
    unread = [name for name in parameters if name not in recording.used]
    if not unread:
        return ()
    if len(unread) == len(parameters):
        return (
            "None of the network's parameters is read when a copy of it runs: its code holds on to the original object "
            "(by a name from outside, or a compiled function). Nothing can be removed.",
        )
    named = ", ".join(map(quoted, unread[:3])) + (" …" if len(unread) > 3 else "")
    return (
        f"{len(unread)} parameters were read neither in evaluation nor in training ({named}): they are left as they "
        "are. Where other data take another path, they may not fit what was removed.",
    )


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
        sizing=frozenset(recording.sizing),
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
