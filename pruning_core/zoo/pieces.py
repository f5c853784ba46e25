"""Tensors that a checkpoint speaks of: which numbers of which storage. Nothing is read before all of it is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from pruning_core.errors import UserError, clip

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
    "QInt8Storage": torch.int8,
    "QUInt8Storage": torch.uint8,
    "QInt32Storage": torch.int32,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,  # the tensor says of what type its numbers are
}
NUMPY: dict[str, torch.dtype] = {
    "f8": torch.float64,
    "f4": torch.float32,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u8": torch.uint64,
    "u4": torch.uint32,
    "u2": torch.uint16,
    "u1": torch.uint8,
    "b1": torch.bool,
    "c8": torch.complex64,
    "c16": torch.complex128,
}
MAX_RANK = 32  # no layer's weight has more than six dimensions
MAX_NUMBER = 1 << 62  # no size, stride or offset is above it
HARMLESS_ITEMS = 1 << 20  # so many numbers may repeat one, as a tensor made by expand() does


@dataclass(frozen=True, eq=False)
class Inline:
    """Numbers that stand in the pickle itself, as an array's do. ``latin``: as text with one character a byte."""

    raw: bytes | str

    def __len__(self) -> int:
        return len(self.raw)

    def read(self) -> bytes:
        """Raises UserError where the text is none of bytes."""
        try:
            return self.raw.encode("latin1") if isinstance(self.raw, str) else self.raw
        except UnicodeEncodeError as error:
            raise UserError("This checkpoint is damaged or cut short. Save and upload it again.") from error


@dataclass(frozen=True)
class Storage:
    """One block of numbers: its key in the file, its type and how many numbers it holds; ``inline``: itself."""

    key: str
    dtype: torch.dtype
    items: int
    inline: Inline | None = None

    @property
    def size_bytes(self) -> int:
        return self.items * self.dtype.itemsize


@dataclass(frozen=True)
class Piece:
    """One tensor: a strided view of a storage, known to lie inside it. offset, stride: in numbers of ``dtype``."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.size)

    @property
    def size_bytes(self) -> int:
        return self.count * self.dtype.itemsize


def whole(number: Any) -> bool:
    """Whether it can be a size, a stride or an offset."""
    return isinstance(number, int) and 0 <= number <= MAX_NUMBER


def piece(storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None = None) -> Piece:
    """The tensor that a checkpoint describes so. Raises UserError when it does not lie in its storage.

    A number may stand for many only along dimensions of stride 0, as ``expand`` makes them, and then for few.
    """
    plain = isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple) and whole(offset)
    if not plain or len(size) != len(stride) or len(size) > MAX_RANK or not all(map(whole, (*size, *stride))):
        raise UserError("A tensor of this checkpoint has an impossible shape, so it was not loaded.")
    kind = dtype or storage.dtype
    items = storage.size_bytes // kind.itemsize
    count = math.prod(size)
    if count:
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        apart = math.prod(n for n, step in zip(size, stride, strict=True) if step)
        if last >= items or apart > items or (count > items and count > HARMLESS_ITEMS):
            claimed = clip(f"{count:,}", 40)
            raise UserError(
                f"A tensor of this checkpoint claims {claimed} numbers where the file stores {items:,}. Such a "
                "file would fill the memory, so it was not loaded."
            )
    elif max(size) > MAX_NUMBER // 2**20:  # without a number in it, but no tensor can be that wide
        raise UserError("A tensor of this checkpoint has an impossible shape, so it was not loaded.")
    return Piece(storage, kind, offset, size, stride)


def contiguous(shape: tuple[Any, ...], fortran: bool = False) -> tuple[int, ...]:
    """The strides of numbers that lie in a row: the last dimension runs fastest, in Fortran's order the first.

    Raises UserError for what is no shape.
    """
    if len(shape) > MAX_RANK or not all(map(whole, shape)):
        raise UserError("A tensor of this checkpoint has an impossible shape, so it was not loaded.")
    strides, step = [], 1
    for n in shape if fortran else reversed(shape):
        strides.append(step)
        step = min(step * max(n, 1), MAX_NUMBER)
    return tuple(strides if fortran else reversed(strides))


def array(shape: Any, kind: str, fortran: bool, raw: Inline) -> Piece:
    """A numpy array as a tensor. Raises UserError when its numbers are fewer than its shape says."""
    size = shape if isinstance(shape, tuple) else (shape,)
    dtype = NUMPY[kind]
    storage = Storage("", dtype, len(raw) // dtype.itemsize, raw)
    return piece(storage, 0, size, contiguous(size, fortran))
