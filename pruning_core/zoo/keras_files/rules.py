"""Every class of Keras that is read, and how. Adding one is one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pruning_core.zoo.keras_files import activations, plain, pooling, sequences
from pruning_core.zoo.keras_files.building import Value
from pruning_core.zoo.keras_files.convolutions import convolution, depthwise, separable, transposed

Rule = Callable[..., Value]  # (builder, layer, what the layer is called with …)

_DIMS = (1, 2, 3)
RULES: dict[str, Rule] = {
    **{f"Conv{d}D": convolution(d) for d in _DIMS},
    **{f"Conv{d}DTranspose": transposed(d) for d in _DIMS},
    **{f"DepthwiseConv{d}D": depthwise(d) for d in (1, 2)},
    **{f"SeparableConv{d}D": separable(d) for d in (1, 2)},
    **activations.RULES,
    **plain.RULES,
    **pooling.RULES,
    **sequences.RULES,
}


def settled(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What a call says by name, without what means nothing here: how it is called in training, and no mask."""
    return {
        key: value for key, value in kwargs.items() if key != "training" and not (key == "mask" and _nothing(value))
    }


def _nothing(value: Any) -> bool:
    return all(map(_nothing, value)) if isinstance(value, tuple) else value is None
