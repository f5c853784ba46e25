"""Whether it is the cut network that runs, and nothing of the original."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pruning_core.graph.capturing.hollow import NeedsValues
from pruning_core.graph.modules import modules_by_name
from pruning_core.graph.network import Cost, Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.agreement import Unlike
from pruning_core.graph.removing.reference import Reference, Scene, first_line
from pruning_core.graph.removing.stand_ins import StandIns
from pruning_core.graph.removing.subject import Subject, Way
from pruning_core.graph.removing.surgery import Kept
from pruning_core.graph.removing.witness import Seen, place_of

# how a class says that it is copied in a way of its own
OWN_WAYS = ("__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__")


class Bound(Unlike):
    """The candidate's code reaches the original object."""


def check_tensors(subject: Subject, original: Mapping[str, Tensor], kept: Kept) -> None:
    """Every tensor that shrinks stands under its name with its new shape; nothing is shared with the original.

    Raises Unlike.
    """
    for name, dims in kept.items():
        shape = [len(dims[d]) if d in dims else n for d, n in enumerate(original[name].shape)]
        if name not in subject.held:
            raise Unlike(f"{name} is missing")
        if list(subject.held[name].shape) != shape:
            raise Unlike(f"{name} was not cut")
    places = {place_of(t) for t in subject.foreign.values()}
    for name, tensor in subject.held.items():
        if tensor.numel() and place_of(tensor) in places:
            raise Bound(f"it shares {name} with the original")


def check_reading(ours: Seen, theirs: Seen, kept: Kept, *, whole: bool) -> None:
    """None of the original's tensors was read; all that shrink and that the original reads were. Raises Bound."""
    if ours.foreign:
        raise Bound(f"it reads {min(ours.foreign)} of the original")
    lost = sorted(name for name in kept if name in theirs.read and name not in ours.read)
    if whole and lost:
        raise Bound(f"{lost[0]} was cut, but is not what runs")


def check_copying(subject: Subject, arguments: tuple[Any, ...]) -> None:
    """Whoever trains a network trains a deep copy: that must run itself. Raises Bound."""
    if not _is_peculiar(subject.module):
        return
    try:
        other = Subject(copy.deepcopy(subject.module), StandIns(), foreign=subject.held)
        places = {place_of(t) for t in subject.held.values() if t.numel()}
        own = not any(place_of(t) in places for t in other.held.values())
        same = {n: t.shape for n, t in other.held.items()} == {n: t.shape for n, t in subject.held.items()}
        other.run(arguments, Way())
    except Exception as error:  # user code may refuse to be copied in any way
        raise Bound(f"a copy of it does not run: {first_line(error)}") from error
    if not own or not same or other.seen.foreign:
        raise Bound("copies of it run something else than themselves")


def _is_peculiar(model: nn.Module) -> bool:
    """Whether ``copy.deepcopy`` may make something else of it than a copy."""
    for module in modules_by_name(model).values():
        kind = type(module)
        usual = kind.__module__.startswith("torch.")
        if not usual and any(getattr(kind, way, None) is not getattr(nn.Module, way, None) for way in OWN_WAYS):
            return True
        for value in module.__dict__.values():
            within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,)
            if any(isinstance(v, weakref.ref) or getattr(v, "__closure__", None) for v in within):
                return True
    return False


# -- what it costs ----------------------------------------------------------------------------------------------------
def cost_of(subject: Subject, reference: Reference, scene: Scene, network: Network, plan: Plan, *, whole: bool) -> Cost:
    """Of what came out, counted; the network's own classes cost what the plan says, to the last digit.

    A program may cost less: it leaves out what the network computes and never uses. Raises Unlike.
    """
    said = network.cost(plan)
    tensors = {id(t): t for t in subject.held.values()}.values()
    parameters = sum(t.numel() for t in tensors if isinstance(t, nn.Parameter))
    if whole and parameters != said.parameters:
        raise Unlike(f"it has {parameters} parameters, the plan leaves {said.parameters}")
    macs = _macs(subject, reference, scene, network, plan, whole=whole)
    return Cost(macs, parameters, sum(t.numel() * t.element_size() for t in tensors))


def _macs(subject: Subject, reference: Reference, scene: Scene, network: Network, plan: Plan, *, whole: bool) -> int:
    before, after = network.products(), network.products(plan)
    ours, theirs = scene.ours.seen.products, scene.theirs.seen.products
    # product by product the same share is left, whatever the size of the image
    if len(ours) == len(theirs) == len(before) and all(
        m * full == n * left for m, n, full, left in zip(ours, theirs, before, after)
    ):
        return network.cost(plan).macs
    captured = reference.inputs.captured
    if sum(shapes_of(reference.subject, captured).products) != sum(before):
        return network.cost(plan).macs  # it multiplies in ways of its own, which cannot be counted from outside
    run = sum(shapes_of(subject, captured).products)
    if (run != sum(after)) if whole else (run > sum(after)):
        raise Unlike(f"{run} MACs are run, the plan leaves {sum(after)}")
    return run // network.layout.batch


def shapes_of(subject: Subject, arguments: tuple[Any, ...]) -> Seen:
    """One run of which only sizes matter: products are not computed where nobody looks at them."""
    try:
        return subject.run(arguments, Way(hollow=True)).seen
    except NeedsValues:
        return subject.run(arguments, Way()).seen
