"""Seeing what a weight reads while the network runs: no module is hooked, so no hook can be left behind."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Numbers = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """One call in which a weight read an activation.

    ``source`` is (N, C_in, ...) for a convolution and (N, ..., features) for a product; ``axis`` is its channel axis.
    Strides, padding (per side) and dilation are empty for a product.
    """

    source: Tensor
    output: Tensor
    axis: int
    stride: Numbers = ()
    padding: tuple[tuple[int, int], ...] = ()
    dilation: Numbers = ()
    groups: int = 1
    transposed: bool = False  # of a product: the weight is (features, O), not (O, features)

    @property
    def convolution(self) -> bool:
        return bool(self.stride)


class Readings(TorchFunctionMode):
    """Inside this context ``observer(name, reading)`` is called whenever a watched weight reads an activation.

    ``watched`` maps names to the parameters themselves. Works on modules and on exported programs alike, because calls
    are recognised by the weight they are given. A fused call that hides its products (attention) is not seen.
    """

    def __init__(self, watched: Mapping[str, Tensor], observer: Callable[[str, Reading], object]) -> None:
        super().__init__()
        self.names = {id(tensor): name for name, tensor in watched.items()}
        self.observer = observer

    def __torch_function__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        weight = kwargs["weight"] if "weight" in kwargs else args[1] if len(args) > 1 else None
        name = self.names.get(id(weight))
        if name is not None and isinstance(out, Tensor):
            parse = _PARSERS.get(getattr(func, "__name__", "").partition(".")[0])
            if parse is not None:
                self.observer(name, parse(weight, out, args, kwargs))
        return out


class Arrivals(TorchFunctionMode):
    """Inside this context ``observer(name, reading)`` is called before a watched weight reads an activation.

    What it does to the weight, the call sees. ``shapes`` are those of what the weights write: the reading's output has
    this shape and no values. Otherwise as :class:`Readings`.
    """

    def __init__(
        self,
        watched: Mapping[str, Tensor],
        shapes: Mapping[str, Sequence[int]],
        observer: Callable[[str, Reading], None],
    ) -> None:
        super().__init__()
        self.names = {id(tensor): name for name, tensor in watched.items()}
        self.outputs = {name: torch.empty(*shapes[name], device="meta") for name in watched}
        self.observer = observer

    def __torch_function__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        weight = kwargs["weight"] if "weight" in kwargs else args[1] if len(args) > 1 else None
        name = self.names.get(id(weight))
        parse = _PARSERS.get(getattr(func, "__name__", "").partition(".")[0]) if name is not None else None
        if name is not None and parse is not None:
            self.observer(name, parse(weight, self.outputs[name], args, kwargs))
        return func(*args, **kwargs)


def _arguments(args: Any, kwargs: Any, *names: str) -> dict[str, Any]:
    return {**dict(zip(("input", "weight", "bias", *names), args)), **kwargs}


def _product(transposed: bool) -> Callable[..., Reading]:
    def parse(weight: Tensor, out: Tensor, args: Any, kwargs: Any) -> Reading:
        source = _arguments(args, kwargs).get("input", args[0] if args else out)
        return Reading(source, out, axis=-1, transposed=transposed)

    return parse


def _convolution(*names: str, transposed: bool = False) -> Callable[..., Reading]:
    def parse(weight: Tensor, out: Tensor, args: Any, kwargs: Any) -> Reading:
        given = _arguments(args, kwargs, *names)
        n = weight.ndim - 2
        dilation = _tuple(given.get("dilation", 1), n)
        padding = given.get("padding", 0)
        if padding == "same":
            total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
            sides = tuple((t // 2, t - t // 2) for t in total)
        else:
            sides = tuple((p, p) for p in _tuple(0 if padding == "valid" else padding, n))
        return Reading(
            given["input"],
            out,
            given["input"].ndim - n - 1,
            _tuple(given.get("stride", 1), n),
            sides,
            dilation,
            given.get("groups", 1),
            bool(given.get("transposed", transposed)),
        )

    return parse


def _tuple(value: Any, n: int) -> Numbers:
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    return numbers * n if len(numbers) == 1 else numbers


_forward = _convolution("stride", "padding", "dilation", "groups")
_backward = _convolution("stride", "padding", "output_padding", "groups", "dilation", transposed=True)
_PARSERS: dict[str, Callable[..., Reading]] = {
    "linear": _product(transposed=False),
    "matmul": _product(transposed=True),
    "mm": _product(transposed=True),
    "conv1d": _forward,
    "conv2d": _forward,
    "conv3d": _forward,
    "convolution": _convolution("stride", "padding", "dilation", "transposed", "output_padding", "groups"),
    "conv_transpose1d": _backward,
    "conv_transpose2d": _backward,
    "conv_transpose3d": _backward,
}


def channel_maps(reading: Reading, channels: Tensor) -> Tensor:
    """The activations of each unit as maps: (N, C, H, W), for ``channels`` (C, k) along the reading's channel axis.

    The maps of a unit with several channels are stacked. Entries of a flattened map become a square again when their
    number is one; tokens lie along W, the entries of a unit along H.
    """
    x = reading.source.movedim(reading.axis, 1)  # (N, C_in, *space)
    units, k = channels.shape
    flat = channels.reshape(-1)
    if flat.numel() != x.shape[1] or not torch.equal(flat, torch.arange(x.shape[1], device=flat.device)):
        x = x.index_select(1, flat)
    if x.ndim == 2:
        side = math.isqrt(k)
        return x.reshape(len(x), units, *((side, side) if side * side == k else (k, 1)))
    return x.reshape(len(x), units, -1, x.shape[-1])


class Seen:
    """Recognises a tensor that was already met at the same place with the same values.

    Holds no tensor alive: a residual sum read by three layers costs its memory once, and is freed in time.
    """

    def __init__(self) -> None:
        self._met: dict[tuple[int, int, bytes], tuple[weakref.ref[Tensor], str]] = {}

    def first(self, reading: Reading, channels: Tensor, name: str) -> str:
        """The name under which these channels of this activation were first seen: ``name`` itself when they are new."""
        key = (id(reading.source), reading.source._version, channels.cpu().numpy().tobytes())
        known = self._met.get(key)
        if known is not None and known[0]() is reading.source:
            return known[1]
        self._met[key] = (weakref.ref(reading.source), name)
        return name
