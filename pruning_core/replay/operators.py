"""How one recorded step runs at any batch size and with any units gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.replay.steps import NotReplayable, Operation, Register, Weight

Alive = NDArray[np.bool_]
# (argument standing for a tensor or anything else) -> its value
Fill = Callable[[Any], Any]
Run = Callable[[Operation, Fill, int, Alive], Any]


def _args(step: Operation, fill: Fill) -> list[Any]:
    return [_filled(v, fill) for v in step.args]


def _filled(value: Any, fill: Fill) -> Any:
    if isinstance(value, Register | Weight):
        return fill(value)
    if isinstance(value, list | tuple):
        return type(value)(_filled(v, fill) for v in value)
    return value


def _target(step: Operation, batch: int, alive: Alive) -> list[int]:
    return [size.at(batch, alive) for size in step.sizes[0]]


def _plain(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    return step.op(*_args(step, fill), **{k: _filled(v, fill) for k, v in step.kwargs.items()})


def _view(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    return fill(step.args[0]).reshape(_target(step, batch, alive))


def _expand(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    return fill(step.args[0]).expand(_target(step, batch, alive))


def _split(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    x = fill(step.args[0])
    dim = (step.args[2] if len(step.args) > 2 else step.kwargs.get("dim", 0)) % x.dim()
    return x.split([sizes[dim].at(batch, alive) for sizes in step.sizes], dim)


def _convolution(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    args = _args(step, fill)
    if args[8] > 1 and not args[6]:
        args[8] = args[0].shape[1] // args[1].shape[1]
    return step.op(*args)


def _batch_norm(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    x, weight, bias, mean, var, training, _, eps = _args(step, fill)[:8]
    if mean is None or training:
        return (F.batch_norm(x, None, None, weight, bias, True, 0.0, eps),)
    return (F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps),)


def _layer_norm(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    x, shape, weight, bias, eps = _args(step, fill)
    return (F.layer_norm(x, x.shape[-len(shape) :], weight, bias, eps),)


def _group_norm(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    x, weight, bias, _, channels, _, groups, eps = _args(step, fill)
    return (F.group_norm(x, x.shape[1] if groups == channels else groups, weight, bias, eps),)


def _attention(step: Operation, fill: Fill, batch: int, alive: Alive) -> Any:
    q, k, v = (fill(a) for a in step.args[:3])
    mask = step.kwargs.get("attn_mask")
    causal = bool(step.args[4]) if len(step.args) > 4 else bool(step.kwargs.get("is_causal", False))
    scale = step.kwargs.get("scale")
    if scale is None:
        scale = (step.sizes[0][-1].fixed if step.sizes[0][-1].units is None else q.shape[-1]) ** -0.5
    mask, shared = None if mask is None else fill(mask), q.shape[-3] != k.shape[-3]
    return (F.scaled_dot_product_attention(q, k, v, mask, 0.0, causal, scale=scale, enable_gqa=shared),)


RUNS: dict[str, Run] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape"), _view),
    "expand": _expand,
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    "convolution": _convolution,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
}

# their numbers count along a dimension: right only while no unit of that dimension goes
POSITIONAL = frozenset(
    {
        "slice",
        "select",
        "unbind",
        "constant_pad_nd",
        "index",
        "index_select",
        "roll",
        "repeat",
        "pixel_shuffle",
        "channel_shuffle",
        "native_channel_shuffle",
        "unfold",
        "as_strided",
    }
)


def run_step(step: Operation, fill: Fill, batch: int, alive: Alive) -> tuple[Any, ...]:
    """The results of one step, in the order of ``step.outs``."""
    result = RUNS.get(step.name, _plain)(step, fill, batch, alive)
    if isinstance(result, Tensor):
        return (result,)
    return tuple(v for v in result if isinstance(v, Tensor))


def convolution_parts(step: Operation) -> tuple[Any, Any, Any, dict[str, Any]]:
    """(input, weight, bias, settings) of a plain convolution. Raises NotReplayable for a transposed one."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = step.args
    if transposed:
        raise NotReplayable("transposed")
    return (
        x,
        weight,
        bias,
        {"stride": list(stride), "padding": list(padding), "dilation": list(dilation), "groups": int(groups)},
    )
