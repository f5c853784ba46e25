"""A state dict out of the files that people keep weights in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pruning_core.datasets.safe_zip import HARMLESS_BYTES, open_zip, read_member
from pruning_core.errors import UserError
from pruning_core.zoo.finite import check_finite
from pruning_core.zoo.kinds import MAX_FILE_BYTES, Kind
from pruning_core.zoo.pickles import Piece, Storage, read

WRAPPERS = ("state_dict", "model_state_dict", "net", "model", "weights", "params", "network")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "_model.")
RENAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    # DenseNet as torchvision saved it before version 0.3
    (re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)"), r"\1\2"),
)
SHARING = 4  # tied weights share a storage; a network that shares every number four times is none
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

Numbers = Callable[[Storage], bytes]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights by key, in the file's order, floats as float32; ``notes`` say what was done to get them."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: tuple(tensor.shape) for key, tensor in self.tensors.items()}


def read_checkpoint(path: Path, name: str, kind: Kind) -> Checkpoint:
    """The state dict in the file at ``path``, which the user calls ``name``.

    Raises UserError when the file is damaged or hostile, holds no state dict, or weights are not finite.
    """
    readers = {Kind.TORCH: _from_zip, Kind.LEGACY: _from_legacy, Kind.SAFETENSORS: _from_safetensors}
    tensors, notes = readers[kind](path, name)
    tensors, renamed = _renamed(tensors)
    tensors, widened = _checked(tensors, name)
    return Checkpoint(tensors, notes + renamed + widened)


def _from_zip(path: Path, name: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    with open_zip(path, name, MAX_FILE_BYTES) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
        pickles = [member for member in sizes if member.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise UserError(f"{name!r} holds {len(pickles)} checkpoints; one is expected. Save and upload it again.")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in sizes and read_member(archive, f"{folder}byteorder", name) != b"little":
            raise UserError(f"{name!r} was saved on a big-endian machine. Save it as safetensors instead.")
        held, storages = read(BytesIO(read_member(archive, pickles[0], name)))
        for storage in storages.values():
            if sizes.get(f"{folder}data/{storage.key}", -1) < storage.size_bytes:
                raise UserError(f"{name!r} lacks numbers that it refers to: it is damaged. Save and upload it again.")
        return _state_dict(held, name, lambda storage: read_member(archive, f"{folder}data/{storage.key}", name))


def _from_legacy(path: Path, name: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Four pickles (magic number, version, machine, content), the list of storage keys, then each storage."""
    with path.open("rb") as file:
        magic, _ = read(file)
        if magic != LEGACY_MAGIC:
            raise UserError(
                f"{name!r} is a plain pickle and no checkpoint of torch. Save the weights with "
                "torch.save(model.state_dict(), 'weights.pt')."
            )
        for _ in range(2):
            read(file)
        held, storages = read(file)
        keys, _ = read(file)
        places = _legacy_places(file, keys, storages, path.stat().st_size, name)

        def numbers(storage: Storage) -> bytes:
            file.seek(places[storage.key])
            return file.read(storage.size_bytes)

        return _state_dict(held, name, numbers)


def _legacy_places(file: BinaryIO, keys: Any, storages: Mapping[str, Storage], size: int, name: str) -> dict[str, int]:
    """Where each storage begins. Raises UserError when the file is too short for what it promises."""
    places: dict[str, int] = {}
    at = file.tell()
    for key in keys if isinstance(keys, list) else ():
        if key not in storages:
            raise UserError(f"{name!r} lists numbers that it never uses: it is damaged. Save and upload it again.")
        file.seek(at)
        if int.from_bytes(file.read(8), "little") != storages[key].items:
            raise UserError(f"{name!r} is damaged or cut short. Save and upload it again.")
        places[key] = at + 8
        at += 8 + storages[key].size_bytes
    if at > size or storages.keys() != places.keys():
        raise UserError(f"{name!r} is cut short: it lacks numbers that it refers to. Save and upload it again.")
    return places


def _from_safetensors(path: Path, name: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, ()  # noqa: SIM118 (it has no iterator)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{name!r} is damaged or cut short. Save and upload it again.") from error


def _state_dict(held: Any, name: str, numbers: Numbers) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights inside whatever was saved around them."""
    found, where = _search(held), ""
    if found is None and isinstance(held, dict):
        inner = {key: _search(value) for key, value in held.items() if isinstance(key, str)}
        candidates = {key: value for key, value in inner.items() if value}
        where = next((key for key in WRAPPERS if key in candidates), "")
        if not where and len(candidates) == 1:
            where = next(iter(candidates))
        found = candidates.get(where)
    if found is None:
        keys = ", ".join(map(str, list(held)[:8])) if isinstance(held, dict) else type(held).__name__
        raise UserError(
            f"{name!r} holds no state dict ({keys or 'nothing'}). Save the weights with "
            "torch.save(model.state_dict(), 'weights.pt')."
        )
    notes = (f"weights taken from {where!r}",) if where else ()
    claimed = sum(piece.size_bytes for piece in found.values())
    stored = sum(storage.size_bytes for storage in {piece.storage for piece in found.values()})
    if claimed > SHARING * stored + HARMLESS_BYTES:
        raise UserError(
            f"The weights in {name!r} share so few numbers among so many tensors that they would fill the memory. The "
            "file was not loaded."
        )
    cache: dict[str, Tensor] = {}
    return {key: _tensor(piece, numbers, cache) for key, piece in found.items()}, notes


def _search(held: Any) -> dict[str, Piece] | None:
    """``held`` as a state dict, if it is one: text keys, and tensors for all but a few values."""
    if not isinstance(held, dict):
        return None
    pieces = {key: value for key, value in held.items() if isinstance(key, str) and isinstance(value, Piece)}
    if not pieces or len(pieces) < len(held) / 2:
        return None
    return pieces


def _tensor(piece: Piece, numbers: Numbers, cache: dict[str, Tensor]) -> Tensor:
    storage = piece.storage
    if not all(piece.size):
        return torch.empty(piece.size, dtype=storage.dtype)
    if storage.key not in cache:
        data = bytearray(numbers(storage)[: storage.size_bytes])
        if len(data) < storage.size_bytes:
            raise UserError("This checkpoint is cut short: it lacks weights. Save and upload it again.")
        cache[storage.key] = torch.frombuffer(data, dtype=storage.dtype)
    return cache[storage.key].as_strided(piece.size, piece.stride, piece.offset).contiguous()


def _renamed(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    notes: list[str] = []
    again = True
    while again and tensors:
        again = False
        for prefix in PREFIXES:
            if all(key.startswith(prefix) for key in tensors):
                tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
                notes.append(f"prefix {prefix!r} removed")
                again = True
    for pattern, replacement in RENAMES:
        if any(pattern.fullmatch(key) for key in tensors):
            tensors = {pattern.sub(replacement, key): tensor for key, tensor in tensors.items()}
            notes.append("old key names brought up to date")
    return tensors, tuple(notes)


def _checked(tensors: dict[str, Tensor], name: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    if not tensors:
        raise UserError(f"{name!r} holds no weights. Save them with torch.save(model.state_dict(), 'weights.pt').")
    check_finite(tensors, name)
    kinds = {str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()} - {"float32"}
    wide = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    return wide, tuple(f"weights stored as {kind} are computed as float32" for kind in sorted(kinds))
