"""The description of a network of Keras as plain records: layers, who reads whom, inputs and outputs.

Only classes of Keras itself are let through, by module and name; nothing is imported, looked up or called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.keras_files.archive import AGAIN
from pruning_core.zoo.keras_files.settings import Settings
from pruning_core.zoo.programs.watch import MOST_STEPS

LAYERS = re.compile(r"keras(\.layers|\.models|\.src\.(layers|models)(\.\w+)*|\.src\.applications\.convnext)?", re.ASCII)
OPERATIONS = re.compile(r"keras(\.ops|\.src\.ops\.numpy|\.src\.ops\.nn)", re.ASCII)
NETWORKS = ("Functional", "Sequential", "Model")
DEPTH = 16  # of networks in networks
PRECISIONS = ("float32", "float64", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


@dataclass(frozen=True)
class Source:
    """The output at place ``output`` of the ``call``-th use of ``layer``."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True)
class Another:
    """An argument that is no tensor, number or word; no layer that is read here takes one."""


@dataclass(frozen=True)
class Call:
    """One use of a layer: arguments with ``Source`` where a tensor comes in."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Layer:
    """``place``: where its weights lie. ``inner``: of a network among the layers of another, that network."""

    settings: Settings
    place: str
    calls: tuple[Call, ...]
    inner: Network | None = None

    @property
    def kind(self) -> str:
        return self.settings.kind

    @property
    def name(self) -> str:
        return self.settings.name


@dataclass(frozen=True)
class Network:
    """Layers in the order in which the file lists them."""

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[Source, ...]
    outputs: tuple[Source, ...]


def network(said: Any, file: str) -> Network:
    """The network that a file describes. Raises UserError for what is none, or names anything that is not Keras's."""
    kind = kind_of(said, file, "network")
    if kind not in NETWORKS:
        raise UserError(
            f"{quoted(file)} holds a {clip(kind)} and no network of layers (Functional or Sequential), so it cannot be "
            "read without running its code. Build it of Keras's layers by the functional interface and save it again."
        )
    try:
        return _network(said, file, "", 0)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{quoted(file)} is damaged: its description does not fit together. {AGAIN}") from error
    except RecursionError as error:
        raise UserError(f"{quoted(file)} is nested too deeply to be a network. It was not read.") from error


def kind_of(said: Any, file: str, name: str) -> str:
    """The class that ``said`` is of, which the file calls ``name``; "ops." before that of an operation.

    Raises UserError unless it is one of Keras's own.
    """
    if not isinstance(said, dict) or not isinstance(said.get("class_name"), str):
        raise UserError(f"{quoted(file)} is damaged: its description does not fit together. {AGAIN}")
    kind, module, registered = said["class_name"], said.get("module"), said.get("registered_name")
    known = isinstance(module, str) and (LAYERS.fullmatch(module) or OPERATIONS.fullmatch(module))
    if kind == "Lambda":
        raise UserError(
            f"{quoted(name)} in {quoted(file)} is a Lambda: it holds code, which is never run here. Put a layer of "
            "Keras in its place and save the network again."
        )
    if not known or registered not in (None, kind):
        raise UserError(
            f"{quoted(name)} in {quoted(file)} is of the class {quoted(kind)}, which is not Keras's own, so its code "
            "would have to be run. Use layers of Keras itself, or bring the network as ONNX or .pt2."
        )
    if not isinstance(said.get("config"), dict):
        raise UserError(f"{quoted(file)} is damaged: its description does not fit together. {AGAIN}")
    return f"ops.{kind}" if OPERATIONS.fullmatch(str(module)) else str(kind)


def _network(said: Mapping[str, Any], file: str, place: str, depth: int) -> Network:
    if depth > DEPTH:
        raise UserError(f"{quoted(file)} has networks in networks, more than {DEPTH} deep. It was not read.")
    config = said["config"]
    _check_precision(config, said["class_name"], file)
    found: list[Layer] = []
    used: dict[str, int] = {}
    listed = config["layers"]
    if not isinstance(listed, list) or len(listed) > MOST_STEPS:
        raise UserError(f"{quoted(file)} lists more than {MOST_STEPS:,} layers, or none. It was not read.")
    for entry in listed:
        name = str(entry.get("name") or entry["config"]["name"])
        kind = kind_of(entry, file, name)
        own = "" if kind.startswith("ops.") else _place(place, kind, used)
        inner = _network(entry, file, own, depth + 1) if kind in NETWORKS else None
        _check_precision(entry["config"], name, file)
        calls = tuple(_call(node) for node in entry.get("inbound_nodes") or ())
        found.append(Layer(Settings(kind, name, file, entry["config"]), own, calls, inner))
    if len({layer.name for layer in found}) != len(found):
        raise UserError(f"{quoted(file)} has two layers of one name. {AGAIN}")
    name = str(config.get("name") or said["class_name"])
    if said["class_name"] == "Sequential":
        return _chained(name, found, config.get("build_input_shape"), file)
    # Keras counts the uses of a network from 1 here, and only here: the first made it.
    networks = {layer.name for layer in found if layer.kind in ("Functional", "Model")}
    outputs = [replace(s, call=s.call - 1) if s.layer in networks else s for s in _sources(config["output_layers"])]
    return Network(name, tuple(found), _sources(config["input_layers"]), tuple(outputs))


def _chained(name: str, layers: Sequence[Layer], shape: Any, file: str) -> Network:
    """Layers that follow each other, as a network; the input is a layer of its own, said or not."""
    if not layers or layers[0].kind != "InputLayer":
        if not isinstance(shape, list):
            raise UserError(f"{quoted(file)} was saved before it had seen an input, so it has no weights. {AGAIN}")
        free = next(n for n in ("input", "input_", "input__") if all(layer.name != n for layer in layers))
        layers = [Layer(Settings("InputLayer", free, file, {"batch_shape": shape}), "", ()), *layers]
    found = [layers[0]]
    for layer in layers[1:]:
        call = Call((Source(found[-1].name, 0, 0),), {})
        found.append(Layer(layer.settings, layer.place, (call,), layer.inner))
    return Network(name, tuple(found), (Source(found[0].name, 0, 0),), (Source(found[-1].name, 0, 0),))


def _place(place: str, kind: str, used: dict[str, int]) -> str:
    """Where Keras puts the weights of the next layer of a class: by the class, counted in its network."""
    word = re.sub(r"(?<!^)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", kind).lower()
    number = used[word] = used.get(word, -1) + 1
    return f"{place}/layers/{word}_{number}".removeprefix("/") if number else f"{place}/layers/{word}".removeprefix("/")


def _call(node: Any) -> Call:
    return Call(
        tuple(map(_argument, node["args"])), {str(key): _argument(value) for key, value in node["kwargs"].items()}
    )


def _argument(value: Any) -> Any:
    """Tensors as sources, lists as tuples; numbers, words and None as they are; anything else as ``Another``."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return _source(value["config"]["keras_history"])
    if isinstance(value, list | tuple):
        return tuple(map(_argument, value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return Another()


def _source(value: Any) -> Source:
    name, call, output = value
    if not isinstance(name, str) or not isinstance(call, int) or not isinstance(output, int) or min(call, output) < 0:
        raise TypeError("no place of a tensor")
    return Source(name, call, output)


def _sources(value: Any) -> tuple[Source, ...]:
    """Of one tensor, a list of them, or a dictionary, however nested."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        return (_source(value),)
    if not isinstance(value, list):
        raise TypeError("no list of tensors")
    return tuple(each for item in value for each in _sources(item))


def _check_precision(config: Mapping[str, Any], name: str, file: str) -> None:
    """Raises UserError for weights that are whole numbers with scales: what they stand for is not computed here."""
    policy = config.get("dtype")
    said = policy.get("config", {}).get("name") if isinstance(policy, dict) else policy
    if said is not None and said not in (*PRECISIONS, "int32", "int64", "bool", "uint8", "int8", "string"):
        raise UserError(
            f"The layer {quoted(name)} of {quoted(file)} computes in {quoted(str(said))}, which is not "
            "read here. Save the network as it was before it was quantised."
        )
