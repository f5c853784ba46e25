"""From a ``.keras`` file to a network of torch's layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from torch import fx

from pruning_core.errors import UserError, quoted
from pruning_core.zoo.interface import LONGEST_NAME, MOST_SIDE, NOTHING, Declared, Wanted, batch_of, check_types
from pruning_core.zoo.keras_files.archive import AGAIN, parts
from pruning_core.zoo.keras_files.building import Builder, Value
from pruning_core.zoo.keras_files.config import Call, Layer, Network, Source, network
from pruning_core.zoo.keras_files.plain import several
from pruning_core.zoo.keras_files.rules import RULES, settled
from pruning_core.zoo.keras_files.weights import Weights
from pruning_core.zoo.programs.program import Program
from pruning_core.zoo.programs.watch import RANK

NOTE = "Rebuilt from Keras, layer by layer, with channels first."
OVER_STEPS = ("Conv1D", "SeparableConv1D", "DepthwiseConv1D", "Conv1DTranspose", "MaxPooling1D", "AveragePooling1D")


def read_keras(path: Path, name: str, wanted: Wanted = NOTHING) -> Program:
    """The network in the file at ``path``, which the user calls ``name``; ``wanted``: what they say of it.

    Images and volumes come in with channels first, and so do steps where something convolves along them. Nothing of
    the file runs. Raises UserError when it is damaged, hostile or too large, or holds a layer that is not read here,
    which is named; OpenSizes where sizes are open that ``wanted`` does not say.
    """
    held = parts(path, name)
    return program_of(held.said, Weights(held.weights, name), name, wanted)


def program_of(said: Any, weights: Weights, name: str, wanted: Wanted = NOTHING) -> Program:
    """As ``read_keras``, of a file whose description is ``said``."""
    made = lowered(said, weights, name)
    batch = batch_of(made.inputs, name)
    note = NOTE
    if made.without:
        note = (
            "Rebuilt from Keras, layer by layer, with channels first; left out, as they act in training alone: "
            f"{', '.join(made.without)}."
        )
    return Program.of(made.model, wanted.closed(made.inputs, name), batch, name, note, wanted, made.outputs)


@dataclass(frozen=True, eq=False)
class Lowered:
    """A network of torch's layers, as it was described; ``model`` is called with ``inputs`` one by one.

    outputs: what the layers are called that give them. without: classes that were left out. values: networks that a
    network lies in, it last -> what its layers give.
    """

    model: fx.GraphModule
    network: Network
    inputs: tuple[Declared, ...]
    outputs: tuple[str, ...]
    without: tuple[str, ...]
    values: Mapping[tuple[str, ...], Mapping[Source, Any]]


def lowered(said: Any, weights: Weights, name: str) -> Lowered:
    """What a file describes (``said``), of layers of torch with ``weights``. Raises UserError as ``read_keras``."""
    whole = network(said, name)
    b = Builder(weights, name)
    held = {layer.name: layer for layer in whole.layers}
    inputs = [held[source.layer] for source in whole.inputs if source.layer in held]
    turns, tokens = Turns.of(whole), _looked_up(whole)
    declared, values = [], []
    for layer in inputs:
        shape = _shape(layer)
        turned = turns.of_rank(len(shape))
        values.append(b.input(len(shape), turned))
        kind = "int64" if layer.name in tokens else "float32"
        declared.append(
            Declared(layer.name[:LONGEST_NAME], (*shape[:1], *shape[-1:], *shape[1:-1]) if turned else shape, kind)
        )
    check_types(tuple(declared), name)
    found = [b.first(v) if turns.of_rank(v.rank) else b.last(v) for v in _called(b, whole, values)]
    b.graph.output(found[0].node if len(found) == 1 else tuple(value.node for value in found))
    model = fx.GraphModule(b.root, b.graph).eval()
    outputs = tuple(source.layer for source in whole.outputs)
    return Lowered(model, whole, tuple(declared), outputs, tuple(sorted(b.without)), b.values)


@dataclass(frozen=True)
class Turns:
    """Which inputs come with channels first: ``space``: images and volumes; ``steps``: what is convolved along."""

    space: bool
    steps: bool

    @staticmethod
    def of(network: Network) -> Turns:
        layers = list(_every(network))
        last = not any(layer.settings.given.get("data_format") == "channels_first" for layer in layers)
        return Turns(last, last and any(layer.kind in OVER_STEPS for layer in layers))

    def of_rank(self, rank: int) -> bool:
        return self.space if rank > 3 else rank == 3 and self.steps


def _every(network: Network) -> Iterator[Layer]:
    for layer in network.layers:
        yield layer
        if layer.inner is not None:
            yield from _every(layer.inner)


def _looked_up(network: Network) -> set[str]:
    """The inputs that a table is read by."""
    found: set[str] = set()
    for layer in network.layers:
        inside = _looked_up(layer.inner) if layer.inner is not None else set()
        wanted = [source.layer in inside for source in layer.inner.inputs] if layer.inner is not None else []
        for call in layer.calls:
            read = [each for each in _sources(call.args) if each.call == each.output == 0]
            if layer.kind == "Embedding":
                found |= {each.layer for each in read}
            found |= {each.layer for each, whole in zip(read, wanted) if whole}
    return found


def _shape(layer: Layer) -> tuple[int | str, ...]:
    """(batch, …) of an input, "" where a size is open."""
    said = layer.settings
    shape: Any = said.given.get("batch_shape")
    fits = isinstance(shape, list) and 0 < len(shape) <= RANK
    if layer.kind != "InputLayer" or not fits or said.flag("sparse") or said.flag("ragged"):
        raise said.odd("batch_shape")
    sizes = [n for n in shape if n is not None]
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n <= MOST_SIDE for n in sizes):
        raise said.odd("batch_shape")
    return tuple("" if n is None else n for n in shape)


def _called(b: Builder, network: Network, given: Sequence[Value]) -> list[Value]:
    """What ``network`` gives for ``given``; its layers go into the graph in an order in which they can run."""
    layers = {layer.name: layer for layer in network.layers}
    made: dict[Source, Value] = dict(zip(network.inputs, given, strict=True))
    wants = {
        Source(layer.name, at, 0): set(_sources((call.args, tuple(call.kwargs.values()))))
        for layer in network.layers
        for at, call in enumerate(layer.calls)
    }
    wants = {use: {Source(each.layer, each.call, 0) for each in read} for use, read in wants.items()}
    try:
        order = list(TopologicalSorter(wants).static_order())
    except CycleError as error:
        raise UserError(f"{quoted(b.name)} is damaged: layers of it wait for each other. {AGAIN}") from error
    for use in order:
        if use in wants:
            made[use] = _used(b, layers[use.layer], layers[use.layer].calls[use.call], made)
    b.keep(made)
    return [_found(b, made, source) for source in network.outputs]


def _used(b: Builder, layer: Layer, call: Call, made: Mapping[Source, Any]) -> Any:
    """What one use of ``layer`` gives: a value, or those of a network."""
    b.step()
    args = [_filled(b, each, made) for each in call.args]
    kwargs = {key: _filled(b, each, made) for key, each in settled(call.kwargs).items()}
    if layer.inner is not None:
        values = several(layer, [*args, *kwargs.values()])
        if len(values) != len(layer.inner.inputs):
            raise layer.settings.refused(f"It is given {len(values)} tensors where it takes {len(layer.inner.inputs)}.")
        with b.within(layer.name):
            return _called(b, layer.inner, values)
    rule = RULES.get(layer.kind)
    if rule is None:
        raise layer.settings.refused("It is of a class that is not known here. Bring the network as ONNX or .pt2.")
    try:
        return rule(b, layer, *args, **kwargs)
    except (ValueError, TypeError, RuntimeError, IndexError, AttributeError, ArithmeticError) as error:
        raise layer.settings.refused("It does not fit its weights, or what comes into it.") from error


def _filled(b: Builder, value: Any, made: Mapping[Source, Any]) -> Any:
    if isinstance(value, Source):
        return _found(b, made, value)
    return [_filled(b, each, made) for each in value] if isinstance(value, tuple) else value


def _found(b: Builder, made: Mapping[Source, Any], source: Source) -> Value:
    value = made.get(Source(source.layer, source.call, 0))
    if isinstance(value, list) and source.output < len(value):
        value = value[source.output]
    elif source.output:
        value = None
    if not isinstance(value, Value):
        raise UserError(f"{quoted(b.name)} is damaged: it reads {quoted(source.layer)}, which gives nothing. {AGAIN}")
    return value


def _sources(value: Any) -> Iterator[Source]:
    if isinstance(value, Source):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _sources(each)
