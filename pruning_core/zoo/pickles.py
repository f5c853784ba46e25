"""What a checkpoint's pickle says, without doing any of it.

Stricter than ``torch.load(weights_only=True)``, which runs no code either but trusts sizes: a few hundred bytes make
it allocate any amount of memory or read past the end of a stored tensor. Here every callable is replaced by a stand-in
that only takes notes, so a checkpoint becomes plain dictionaries of ``Piece``: which numbers of which storage, checked
against the storage's size before anything of it is read.
"""

from __future__ import annotations

import math
import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from pruning_core.errors import UserError

DTYPES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
MAX_PIECES = 200_000


@dataclass(frozen=True)
class Storage:
    """One block of numbers in the file: its key there, its type and how many numbers it holds."""

    key: str
    dtype: torch.dtype
    items: int

    @property
    def size_bytes(self) -> int:
        return self.items * self.dtype.itemsize


@dataclass(frozen=True)
class Piece:
    """One tensor: a strided view of a storage, known to lie inside it."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.size) * self.storage.dtype.itemsize


class Inert:
    """Stands for an object of the checkpoint's metadata; holds nothing and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class Reader(pickle._Unpickler):  # the Python one: its memo is a dict, the C one allocates what an index says
    """Unpickles tensors as ``Piece``; whatever is no part of a state dict or its usual metadata is refused."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, Storage] = {}
        self.pieces = 0

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for ``module.name``; nothing is ever imported. Raises UserError when there is none."""
        if module == "torch" and name in DTYPES:
            return name
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return Inert
        full = f"{module}.{name}"
        if full in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return self._piece
        if full not in STAND_INS:
            raise UserError(_refusal(full))
        return STAND_INS[full]

    def get_extension(self, code: int) -> None:
        raise UserError(_refusal(f"extension {code}"))

    def persistent_load(self, pid: Any) -> Storage:
        """The storage that ``pid`` describes. Raises UserError for anything else."""
        kind, key, items, rest = None, None, None, None
        if isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage":
            _, kind, key, _, items, *rest = pid
        if kind not in DTYPES or not isinstance(key, str) or not isinstance(items, int) or items < 0 or any(rest or ()):
            raise UserError("This checkpoint refers to its numbers in an unknown way. Save the state dict again.")
        storage = Storage(key, DTYPES[kind], items)
        if self.storages.setdefault(key, storage) != storage:
            raise UserError("This checkpoint gives one block of numbers two sizes, so it was not loaded.")
        return storage

    def _piece(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Piece:
        numbers = (offset, *size, *stride)
        plain = isinstance(storage, Storage) and all(isinstance(n, int) and n >= 0 for n in numbers)
        if not plain or len(size) != len(stride):
            raise UserError("A tensor of this checkpoint has an impossible shape, so it was not loaded.")
        count = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else -1
        if count > storage.items or last >= storage.items:
            raise UserError(
                f"A tensor of this checkpoint claims {count:,} numbers where the file stores {storage.items:,}. Such a "
                "file would fill the memory, so it was not loaded."
            )
        self.pieces += 1
        if self.pieces > MAX_PIECES:
            raise UserError(f"This checkpoint has more than {MAX_PIECES:,} tensors, so it was not loaded.")
        return Piece(storage, offset, tuple(size), tuple(stride))


def read(file: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """(what one pickle of ``file`` holds, its storages by key).

    Raises UserError for anything that would have to be called, for sizes that lie, and for damaged bytes.
    """
    reader = Reader(file)
    try:
        return reader.load(), reader.storages
    except UserError:
        raise
    except Exception as error:  # hostile bytes can make an unpickler fail in any way, and all of it means the same
        raise UserError("This checkpoint is damaged or cut short. Save and upload it again.") from error


def _first(tensor: Any, *_: Any) -> Any:
    return tensor


def _latin(text: str, coding: str) -> bytes:
    return text.encode("latin1")


STAND_INS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": Counter,
    "torch._utils._rebuild_parameter": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch.Size": Inert,
    "torch.device": Inert,
    "_codecs.encode": _latin,
    # Numbers and settings that training scripts keep beside the weights.
    "builtins.set": Inert,
    "__builtin__.set": Inert,
    "numpy.core.multiarray.scalar": Inert,
    "numpy._core.multiarray.scalar": Inert,
    "numpy.dtype": Inert,
    "argparse.Namespace": Inert,
}


def _refusal(name: str) -> str:
    whole = "torch.export.save(torch.export.export(model, (example,)), 'model.pt2')"
    weights = "torch.save(model.state_dict(), 'weights.pt')"
    if name.split(".")[0] in ("torch", "torchvision", "timm", "__main__", "model", "models", "net", "nets"):
        return (
            f"This file holds a pickled module or object ({name}). Reading it would run code from the file, so it was "
            f"not opened. Save the weights alone with {weights}, or the whole network with {whole}."
        )
    return (
        f"This file asks to call {name}. Weights call nothing, so it was not opened and nothing in it ran. Save the "
        f"weights alone with {weights}."
    )
