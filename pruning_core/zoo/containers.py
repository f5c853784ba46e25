"""The three kinds of files that people keep weights in, opened so far that what they hold is known and judged."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from pruning_core.datasets.safe_zip import open_zip, read_member
from pruning_core.errors import UserError, quoted
from pruning_core.storage.memory import free_memory
from pruning_core.zoo.kinds import MAX_FILE_BYTES, Kind
from pruning_core.zoo.pickles import MAX_PIECES, said
from pruning_core.zoo.pieces import Piece, Storage, contiguous, piece, whole

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
PICKLE_GROWS = 8  # bytes of memory for a byte of a pickle: text of four bytes a letter, and the objects around it
MAX_HEADER_BYTES = 16 << 20  # of a safetensors file; a tensor takes about 100
SAFETENSORS: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}


@dataclass(frozen=True, eq=False)
class Held:
    """What a file holds, with ``Piece`` for every tensor; numbers: the bytes of a storage, read when asked for.

    names: the classes and functions that its pickle names, none of which was touched.
    """

    value: Any
    numbers: Callable[[Storage], bytes]
    names: frozenset[str] = frozenset()


@contextmanager
def opened(path: Path, name: str, kind: Kind) -> Iterator[Held]:
    """What the file at ``path`` holds, which the user calls ``name``. It is closed with the context.

    Raises UserError when the file is damaged or hostile.
    """
    readers = {Kind.TORCH: _zip, Kind.LEGACY: _legacy, Kind.SAFETENSORS: _safetensors}
    with readers[kind](path, name) as held:
        yield held


@contextmanager
def _zip(path: Path, name: str) -> Iterator[Held]:
    with open_zip(path, name, MAX_FILE_BYTES) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        pickles = [member for member in sizes if member.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise UserError(f"{name!r} holds {len(pickles)} checkpoints; one is expected. Save and upload it again.")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in sizes and read_member(archive, f"{folder}byteorder", name) != b"little":
            raise UserError(f"{name!r} was saved on a big-endian machine. Save it as safetensors instead.")
        check_memory(sizes[pickles[0]] * PICKLE_GROWS, name)
        held = said(BytesIO(read_member(archive, pickles[0], name)))
        for storage in held.storages.values():
            if sizes.get(f"{folder}data/{storage.key}", -1) < storage.size_bytes:
                raise UserError(f"{name!r} lacks numbers that it refers to: it is damaged. Save and upload it again.")
        yield Held(held.value, lambda storage: read_member(archive, f"{folder}data/{storage.key}", name), held.names)


@contextmanager
def _legacy(path: Path, name: str) -> Iterator[Held]:
    """Four pickles (magic number, version, machine, content), the list of storage keys, then each storage."""
    # Mapped: whatever length a file claims for a text in it, no more is read than there is.
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        file = cast(BinaryIO, mapped)
        if said(file).value != LEGACY_MAGIC:
            raise UserError(
                f"{name!r} is a plain pickle and no checkpoint of torch. Save the weights with "
                "torch.save(model.state_dict(), 'weights.pt')."
            )
        for _ in range(2):
            said(file)
        held = said(file)
        places = _places(mapped, said(file).value, held.storages, name)
        yield Held(
            held.value, lambda storage: mapped[(at := places[storage.key]) : at + storage.size_bytes], held.names
        )


def _places(file: mmap.mmap, keys: Any, storages: Mapping[str, Storage], name: str) -> dict[str, int]:
    """Where each storage begins. Raises UserError when the file is too short for what it promises."""
    places: dict[str, int] = {}
    at = file.tell()
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in storages:
            raise UserError(f"{name!r} lists numbers that it never uses: it is damaged. Save and upload it again.")
        if int.from_bytes(file[at : at + 8], "little") != storages[key].items:
            raise UserError(f"{name!r} is damaged or cut short. Save and upload it again.")
        places[key] = at + 8
        at += 8 + storages[key].size_bytes
    if at > len(file) or storages.keys() != places.keys():
        raise UserError(f"{name!r} is cut short: it lacks numbers that it refers to. Save and upload it again.")
    return places


@contextmanager
def _safetensors(path: Path, name: str) -> Iterator[Held]:
    """The length of a header, the header (JSON: type, shape and place of each tensor), and the numbers."""
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        start = 8 + int.from_bytes(mapped[:8], "little")
        if start > min(len(mapped), MAX_HEADER_BYTES):
            raise UserError(f"{name!r} is damaged or cut short, or lists too many tensors. Save and upload it again.")
        try:
            listed = json.loads(mapped[8:start].decode("utf-8"))
            tensors = {key: entry for key, entry in listed.items() if key != "__metadata__"}
            places = {key: tuple(entry["data_offsets"]) for key, entry in tensors.items()}
            _check_tiled(sorted(places.values()), len(mapped) - start)
            pieces = {key: _safe_piece(key, entry, places[key], name) for key, entry in tensors.items()}
        except UserError:
            raise
        except Exception as error:  # hostile JSON can nest for ever or hold anything anywhere
            raise UserError(f"{name!r} is damaged or cut short. Save and upload it again.") from error
        yield Held(pieces, lambda storage: mapped[start + places[storage.key][0] : start + places[storage.key][1]])


def _check_tiled(places: list[tuple[Any, ...]], size_bytes: int) -> None:
    """Raises ValueError unless the numbers of the tensors follow each other and fill the file, as the format says."""
    if len(places) > MAX_PIECES:
        raise ValueError("too many tensors")
    at = 0
    for begin, end in places:
        if not whole(begin) or not whole(end) or begin != at or end < begin:
            raise ValueError("tensors overlap, or leave gaps")
        at = end
    if at != size_bytes:
        raise ValueError("the file is shorter or longer than its tensors")


def _safe_piece(key: str, entry: Mapping[str, Any], place: tuple[int, ...], name: str) -> Piece:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    if not isinstance(kind, str) or kind not in SAFETENSORS:
        raise UserError(
            f"{quoted(key)} in {name!r} has numbers of the type {quoted(str(kind)[:80])}, which is not known here. "
            "Save the weights as float32."
        )
    dtype = SAFETENSORS[kind]
    items, rest = divmod(place[1] - place[0], dtype.itemsize)
    found = piece(Storage(key, dtype, items), 0, shape, contiguous(shape))
    if rest or found.count != items:
        raise ValueError("a tensor has more or fewer numbers than its shape says")
    return found


def check_memory(needed_bytes: float, name: str) -> None:
    """Raise UserError when reading ``name`` takes more memory than there is."""
    free = free_memory()
    if needed_bytes > free:
        raise UserError(
            f"Reading {name!r} would take {needed_bytes / 2**20:,.0f} MiB of memory, and {free / 2**20:,.0f} MiB are "
            "free. Send the weights alone, without the optimizer and further copies, or use a machine with more memory."
        )
