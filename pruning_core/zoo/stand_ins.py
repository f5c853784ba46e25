"""What the names in a checkpoint's pickle stand for: a few mean tensors and containers, all others are inert.

Nothing is imported, called or changed for the sake of a file: a name is text, and what would be made by calling it
is a ``StandIn`` that holds what it would have been given. Only where a weight hangs on one is the file refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from pruning_core.errors import UserError, clip
from pruning_core.zoo.advice import EXPORT, WEIGHTS
from pruning_core.zoo.pieces import NUMPY, Inline, Piece, Storage, array, piece

LOOKED_AT = 10_000  # values in which a weight is looked for
LONGEST_NAME = 300  # characters; no module and class has more
TYPES = {f"torch.{name}": kind for name, kind in vars(torch).items() if isinstance(kind, torch.dtype)}


@dataclass(frozen=True)
class Name:
    """A class or function that the file names; full: with its module."""

    module: str
    full: str


@dataclass(eq=False)
class StandIn:
    """What calling ``of`` would have made. held: what it would have been made of; state: what it was then told."""

    of: Name
    held: tuple[Any, ...] = ()
    state: list[Any] = field(default_factory=list)

    def weight_inside(self) -> bool:
        """Whether a tensor hangs on it, among the first so many values."""
        return any(isinstance(value, Piece | Storage) for value in _values(self))


@dataclass(eq=False)
class NumpyType:
    """``numpy.dtype(kind)``; order: "<", ">", "|" or "="."""

    kind: str
    order: str = "<"

    def told(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
            self.order = state[1]


@dataclass(eq=False)
class Array:
    """A numpy array on its way: it is told its shape and numbers after it was made."""

    piece: Piece | None = None

    def told(self, state: Any) -> None:
        """state: (version, shape, type, whether Fortran's order, numbers). Others leave it without numbers."""
        if isinstance(state, tuple) and len(state) == 5:
            self.piece = _array(state[4], state[2], state[1], bool(state[3]))


def _array(numbers: Any, kind: Any, shape: Any, fortran: bool) -> Piece | None:
    """None for what is no row of numbers: text, records, Python's objects."""
    if not isinstance(kind, NumpyType) or kind.kind not in NUMPY or not isinstance(numbers, Inline | bytes | str):
        return None
    if kind.order == ">" and kind.kind[1:] != "1":
        raise UserError("An array of this checkpoint is from a big-endian machine. Save it as safetensors instead.")
    raw = numbers if isinstance(numbers, Inline) else Inline(numbers)  # text: Python 2's bytes, read as Latin-1
    return array(shape, kind.kind, fortran, raw)


def _first(value: Any = None, *_: Any) -> Any:
    return value


def _latin(text: Any = "", *_: Any) -> Any:
    """Bytes, as protocol 2 writes them. They stay text until somebody wants them: decoding the same text a thousand
    times would fill the memory."""
    return Inline(text) if isinstance(text, str | bytes) else None


def _tensor(storage: Any = None, offset: Any = None, size: Any = None, stride: Any = None, *_: Any) -> Piece:
    return piece(storage, offset, size, stride)


def _typed(
    storage: Any = None, offset: Any = 0, size: Any = (), stride: Any = (), grad: Any = 0, hooks: Any = 0,
    kind: Any = None, *_: Any,
) -> Piece:  # fmt: skip
    dtype = TYPES.get(kind.full) if isinstance(kind, Name) else None
    if dtype is None:
        raise UserError("A tensor of this checkpoint has a type that is not known here. Save the weights as float32.")
    return piece(storage, offset, size, stride, dtype)


def _subclass(make: Any = None, kind: Any = None, given: Any = (), *state: Any) -> Any:
    """A tensor with attributes of its own. One of a class that is not torch's may mean anything by its numbers."""
    tensor = MEANS.get(make.full) if isinstance(make, Name) and isinstance(given, tuple) else None
    plain = isinstance(kind, Name) and kind.full in ("torch.Tensor", "torch.nn.parameter.Parameter")
    if plain and tensor in (_tensor, _typed, _first):
        return tensor(*given)
    return StandIn(kind if isinstance(kind, Name) else Name("torch", "torch.Tensor"), (given, *state))


def _mapping(*given: Any) -> dict[Any, Any]:
    """A dictionary, ordered or not: in Python 2's pickles its entries stand in a list of pairs."""
    entries = given[-1] if given else ()
    if isinstance(entries, dict):
        return entries
    pairs = entries if isinstance(entries, list | tuple) else ()
    return {pair[0]: pair[1] for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2 and is_key(pair[0])}


def _type(kind: Any = "", *_: Any) -> NumpyType:
    return NumpyType(kind if isinstance(kind, str) else "")


def _blank(*_: Any) -> Array:
    return Array()


def _in_band(numbers: Any = b"", kind: Any = None, shape: Any = (), order: Any = "C", *_: Any) -> Array:
    return Array(_array(numbers, kind, shape, order == "F"))


MEANS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.nn.parameter.Parameter": _first,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _mapping,
    "_codecs.encode": _latin,
    "numpy.dtype": _type,
    "numpy.core.multiarray._reconstruct": _blank,
    "numpy._core.multiarray._reconstruct": _blank,
    "numpy.core.numeric._frombuffer": _in_band,
    "numpy._core.numeric._frombuffer": _in_band,
}

# What such a tensor is; no network here computes with it.
ODD_TENSORS = {
    "torch._utils._rebuild_qtensor": "quantised to 8-bit integers",
    "torch._utils._rebuild_sparse_tensor": "sparse",
    "torch._utils._rebuild_nested_tensor": "nested",
    "torch._utils._rebuild_meta_tensor_no_storage": "without numbers (on the meta device)",
    "torch._utils._rebuild_wrapper_subclass": "wrapped in a class of their own",
}

# Functions that no training script keeps beside its weights. It is not this list that makes a file harmless, as all
# names are inert; but who sends one of these wants harm, and is told that it was seen.
RUNS_CODE = {
    "builtins": ("eval", "exec", "execfile", "compile", "open", "__import__", "input", "breakpoint"),
    "__builtin__": ("eval", "exec", "execfile", "compile", "open", "__import__", "input", "file"),
    **dict.fromkeys(("posix", "nt", "os", "subprocess", "shutil", "socket", "pty", "runpy", "importlib", "ctypes"), ()),
}


def is_key(value: Any) -> bool:
    """Text or a number of 64 bits: cheap to hash and to compare, whatever the file says."""
    return isinstance(value, str) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 63)


def named(module: Any, name: Any) -> Name:
    """The name that a file uses. Raises UserError for one that has no place in a checkpoint."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise UserError("This checkpoint is damaged or cut short. Save and upload it again.")
    if len(module) + len(name) > LONGEST_NAME:
        raise UserError("This checkpoint names a class of impossible length, so it was not loaded.")
    found = Name(module, f"{module}.{name}")
    runs = RUNS_CODE.get(module)
    if runs is not None and (name in runs or not runs):
        raise UserError(refusal(found))
    return found


def made(what: Any, given: Any) -> Any:
    """What ``what(*given)`` is, for the few names that are known here; a stand-in for all others."""
    if isinstance(what, Name):
        known = MEANS.get(what.full)
        if known is not None and isinstance(given, tuple):
            return known(*given)
        return StandIn(what, given if isinstance(given, tuple) else (given,))
    return StandIn(what.of if isinstance(what, StandIn) else Name("builtins", "builtins.object"), (what, given))


def told(value: Any, state: Any) -> None:
    """What ``value`` is told after it was made. Only stand-ins listen: nothing else is ever changed by it."""
    if isinstance(value, NumpyType | Array):
        value.told(state)
    elif isinstance(value, StandIn):
        value.state.append(state)


def refusal(name: Name, place: str = "") -> str:
    """Why a file is refused in which ``name`` stands where weights are looked for; place: of which weight, if one."""
    full = clip(name.full)
    if name.full in ODD_TENSORS:
        return (
            f"The weights in this file are {ODD_TENSORS[name.full]} ({full}), which cannot be pruned. Save those "
            f"of the network before that step, with {WEIGHTS}."
        )
    if name.module.split(".")[0] in ("torch", "torchvision", "timm", "__main__", "model", "models", "net", "nets"):
        return (
            f"This file holds a pickled module or object ({full}). Reading it would run code from the file, so it "
            f"was not opened. Save the weights alone with {WEIGHTS}, or the whole network with {EXPORT}."
        )
    if place:
        return (
            f"{place} is an object of {full}, which only code of its own can read, and no such code is ever run here. "
            f"Save the weights alone with {WEIGHTS}."
        )
    return (
        f"This file asks to call {full}. Weights call nothing, so it was not opened and nothing in it ran. Save "
        f"the weights alone with {WEIGHTS}."
    )


def _values(start: Any) -> Iterator[Any]:
    """What hangs on ``start``, each once, up to a number. No recursion: files nest as deep as they like."""
    seen: set[int] = set()
    left = [start]
    while left and len(seen) < LOOKED_AT:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, StandIn):
            left += [*value.held, *value.state]
        elif isinstance(value, dict):
            left += list(value.values())
        elif isinstance(value, list | tuple):
            left += value
