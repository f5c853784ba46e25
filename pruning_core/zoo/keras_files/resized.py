"""The description of a network of Keras with the sizes that its layers have after a cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pruning_core.zoo.keras_files.config import Network, Source
from pruning_core.zoo.keras_files.numbered import Left

Shape = tuple[int, ...]
Scope = tuple[str, ...]  # networks that a network lies in, it last
ShapeOf = Callable[[Scope, Source], Shape]
Place = tuple[str, int, int]  # (below a layer, number of its array, dimension)

_DIMS, _UNITS = (1, 2, 3), ("/cell", 1, 0)
# class -> setting -> the dimension of the array that is as long. A setting that is not said, and what follows from
# what comes in, is not among them.
SIZES: Mapping[str, Mapping[str, Place]] = {
    "Dense": {"units": ("", 0, -1)},
    "Embedding": {"input_dim": ("", 0, 0), "output_dim": ("", 0, 1)},
    **{f"Conv{d}D": {"filters": ("", 0, -1)} for d in _DIMS},
    **{f"Conv{d}DTranspose": {"filters": ("", 0, -2)} for d in _DIMS},
    **{f"DepthwiseConv{d}D": {"depth_multiplier": ("", 0, -1)} for d in (1, 2)},
    **{f"SeparableConv{d}D": {"depth_multiplier": ("", 0, -1), "filters": ("", 1, -1)} for d in (1, 2)},
    **{key: {"units": _UNITS} for key in ("GRU", "LSTM", "SimpleRNN")},
    "LayerScale": {"projection_dim": ("", 0, 0)},
    "MultiHeadAttention": {
        "num_heads": ("/query_dense", 0, 1), "key_dim": ("/query_dense", 0, 2), "value_dim": ("/value_dense", 0, 2),
        "output_shape": ("/output_dense", 0, 2),
    },
}  # fmt: skip
# class -> the dimension that its groups divide
GROUPED: Mapping[str, Place] = {**{f"Conv{d}D": ("", 0, -1) for d in _DIMS}, "GroupNormalization": ("", 0, 0)}
INNER = {"layer": "/forward_layer", "backward_layer": "/backward_layer"}  # of a Bidirectional
STALE = ("build_config", "compile_config")  # sizes of before; the state of an optimizer that has them


def resize(said: Any, network: Network, left: Mapping[str, Left], shape: ShapeOf) -> None:
    """Write into ``said``, which ``network`` was read of, the sizes of what is ``left``, by where arrays lie.

    shape: what a layer gives now, with the batch, in Keras's order.
    """
    _resize_all(network, (), left, shape)
    _forget(said)


def _resize_all(network: Network, scope: Scope, left: Mapping[str, Left], shape: ShapeOf) -> None:
    for layer in network.layers:
        config: Any = layer.settings.given
        _resize(layer.kind, config, layer.place, left)
        for key, below in INNER.items() if layer.kind == "Bidirectional" else ():
            inner = config.get(key)
            if isinstance(inner, dict):
                _resize(inner["class_name"], inner["config"], layer.place + below, left)
        if layer.kind == "Reshape":
            _say(config, "target_shape", shape(scope, Source(layer.name, 0, 0))[1:], -1)
        if layer.inner is not None:
            inside = (*scope, layer.name)
            _resize_all(layer.inner, inside, left, shape)
            for source in layer.inner.inputs:  # of the whole, inputs stay as they are
                _say(config, "build_input_shape", shape(inside, source), None)
                given = next(each for each in layer.inner.layers if each.name == source.layer)
                _say(given.settings.given, "batch_shape", shape(inside, source), None)


def _say(config: Any, key: str, shape: Shape, still: int | None) -> None:
    """That a shape is ``shape``; a size that was ``still`` stays."""
    if isinstance(config.get(key), list):
        config[key] = [old if old == still else new for old, new in zip(config[key], shape, strict=True)]


def _resize(kind: str, config: dict[str, Any], place: str, left: Mapping[str, Left]) -> None:
    for key, (below, number, axis) in SIZES.get(kind, {}).items():
        array = left.get(f"{place}{below}/vars/{number}")
        if array is not None and len(array.kept[axis]) != array.was[axis] and config.get(key) is not None:
            size = len(array.kept[axis])
            config[key] = [size] if isinstance(config[key], list) else size
    if kind in GROUPED and isinstance(config.get("groups"), int) and config["groups"] > 1:
        below, number, axis = GROUPED[kind]
        if (array := left.get(f"{place}{below}/vars/{number}")) is not None:
            config["groups"] = array.blocks(axis, config["groups"])


def _forget(said: Any) -> None:
    """Leave out what is said of sizes beside the settings: Keras finds them when it builds the layers."""
    if isinstance(said, list):
        for each in said:
            _forget(each)
    elif isinstance(said, dict):
        if said.get("class_name") == "__keras_tensor__":
            said["config"]["shape"] = [None] * len(said["config"].get("shape") or ())
        elif "class_name" in said:
            for key in STALE:
                said.pop(key, None)
        for value in said.values():
            _forget(value)
