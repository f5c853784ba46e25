"""One array of a NumPy archive: its header judged before anything of it is read."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy

from pruning_core.errors import UserError, clip, quoted
from pruning_core.storage.memory import must_fit

KINDS = "biufUS"  # booleans, numbers, texts: what is data and needs no unpickling
LONGEST_HEADER = 4096  # bytes; an honest one has about 120
CHUNK = 1 << 20


@dataclass(frozen=True)
class Array:
    """What a header declares, checked against the bytes that are there."""

    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int  # of the data in the member, in bytes

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def declared(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> Array:
    """Read the header of ``member``. Raises UserError for pickled objects and for headers that are not true."""
    shape, fortran, dtype, start = _header(archive, member, name)
    if dtype.hasobject:
        raise _refused(member, name, "holds pickled objects")
    if dtype.kind not in KINDS:
        raise _refused(member, name, f"holds values of the kind {quoted(str(dtype))}")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != member.file_size - start:
        raise _refused(
            member, name, f"says that it has the shape {clip(str(shape))}, and holds another number of bytes"
        )
    return Array(member, shape, dtype, fortran, start)


def values(archive: zipfile.ZipFile, array: Array, name: str) -> np.ndarray:
    """The array itself. Raises UserError when it does not fit in the memory or is damaged."""
    key = quoted(array.member.filename.removesuffix(".npy"))
    must_fit(2 * array.nbytes, f"The array {key} of {name!r}", "Store bytes instead of floats, or fewer images.")
    out = np.empty(math.prod(array.shape), dtype=array.dtype)
    room = out.view(np.uint8) if out.nbytes else np.empty(0, np.uint8)
    done = 0
    try:
        with archive.open(array.member) as file:
            file.read(array.start)
            while done < len(room) and (read := file.read(min(CHUNK, len(room) - done))):
                room[done : done + len(read)] = np.frombuffer(read, np.uint8)
                done += len(read)
    except Exception as error:  # zipfile and zlib raise whatever they raise on damaged bytes
        raise _refused(array.member, name, "is damaged") from error
    if done != len(room):
        raise _refused(array.member, name, "is damaged")
    return out.reshape(array.shape, order="F" if array.fortran else "C")


def _header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """(shape, Fortran order, type, length of the header)."""
    try:
        with archive.open(member) as file:
            reader = io.BytesIO(file.read(LONGEST_HEADER))
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(reader)]
        shape, fortran, dtype = read(reader, max_header_size=LONGEST_HEADER)
        return tuple(int(side) for side in shape), bool(fortran), dtype, reader.tell()
    except Exception as error:  # the header is text that numpy's parser reads: it raises what a parser raises
        raise _refused(member, name, "is damaged or of another kind") from error


def _refused(member: zipfile.ZipInfo, name: str, why: str) -> UserError:
    key = quoted(member.filename.removesuffix(".npy"))
    return UserError(
        f"{name!r} is not a NumPy archive that can be read safely: its array {key} {why}. Save plain arrays with "
        "numpy.savez(file, images=…, labels=…)."
    )
