"""A state dict out of the files that people keep weights in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pruning_core.datasets.safe_zip import HARMLESS_BYTES
from pruning_core.errors import UserError, quoted
from pruning_core.zoo.containers import Held, check_memory, opened
from pruning_core.zoo.finite import check_finite
from pruning_core.zoo.kinds import Kind
from pruning_core.zoo.pieces import Piece, Storage
from pruning_core.zoo.recognise import Recognised, Shapes
from pruning_core.zoo.snippet import snippet
from pruning_core.zoo.weight_sets import WeightSet, chosen, sets_of

SHARING = 4  # tied weights share a storage; a network that shares every number four times is none
COPIES = 3  # of the weights are in memory at once: as stored, as float32, in the network


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights by key, in the file's order, floats as float32; ``notes`` say what was done to get them.

    sets: every set of weights in the file; used: the one that was read; found: its architecture, None if unknown;
    snippet: the code that loads them into somebody's own class.
    """

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]
    sets: tuple[WeightSet, ...]
    used: WeightSet
    found: Recognised | None
    snippet: str

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: tuple(tensor.shape) for key, tensor in self.tensors.items()}


def read_checkpoint(
    path: Path, name: str, kind: Kind, fit: Callable[[Shapes], Recognised | None], weights: str | None = None
) -> Checkpoint:
    """A state dict in the file at ``path``, which the user calls ``name``.

    fit: tells the architecture of shapes, None when it is unknown. weights: the name of the set to take where the file
    holds several; None takes the likeliest.

    Raises UserError when the file is damaged or hostile, holds no state dict or none called ``weights``, or when the
    weights are not finite.
    """
    with opened(path, name, kind) as held:
        readings = sets_of(held.value, name, fit)
        reading = chosen(readings, weights, name)
        tensors = _tensors(reading.pieces, held, name)
    check_finite(tensors, name)
    wide, widened = _widened(tensors)
    sets = tuple(each.set for each in readings)
    notes = reading.notes + _several_notes(sets, reading.set) + widened
    return Checkpoint(wide, notes, sets, reading.set, reading.found, snippet(reading, name, kind, held.names))


def check_kinds(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str) -> None:
    """Raise UserError where ``tensors`` of the file ``name`` hold other kinds of numbers than the network's weights."""
    for key, tensor in tensors.items():
        if wanted[key].is_floating_point() and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(
                f"{quoted(key)} in {name!r} is stored as {kind}: quantised or packed weights, which mean nothing "
                "without their scales. Save those from before it with torch.save(model.state_dict(), 'weights.pt')."
            )


def _several_notes(sets: tuple[WeightSet, ...], used: WeightSet) -> tuple[str, ...]:
    if len(sets) < 2:
        return ()
    names = ", ".join(repr(each.name) + " (an average over training)" * each.average for each in sets)
    others = "the other" if len(sets) == 2 else "the others"
    return (f"this file holds {len(sets)} sets of weights: {names}; loaded {used.name!r}, {others} can be chosen",)


def _tensors(pieces: Mapping[str, Piece], held: Held, name: str) -> dict[str, Tensor]:
    """The numbers of ``pieces``. Raises UserError, before any is read, when they would fill the memory."""
    claimed = sum(piece.size_bytes for piece in pieces.values())
    stored = sum({_place(piece.storage): piece.storage.size_bytes for piece in pieces.values()}.values())
    if claimed > SHARING * stored + HARMLESS_BYTES:
        raise UserError(
            f"The weights in {name!r} share so few numbers among so many tensors that they would fill the memory. The "
            "file was not loaded."
        )
    wide = sum(piece.count * max(4, piece.dtype.itemsize) for piece in pieces.values())
    check_memory(stored + COPIES * wide, name)
    cache: dict[int | str, Tensor] = {}
    return {key: _tensor(piece, held, cache) for key, piece in pieces.items()}


def _place(storage: Storage) -> int | str:
    """What tells two storages apart: a key in the file, or the very numbers where they stand in the pickle."""
    return storage.key if storage.inline is None else id(storage.inline.raw)


def _tensor(piece: Piece, held: Held, cache: dict[int | str, Tensor]) -> Tensor:
    storage = piece.storage
    if not piece.count:
        return torch.empty(piece.size, dtype=piece.dtype)
    place = _place(storage)
    if place not in cache:
        read = storage.inline.read() if storage.inline is not None else held.numbers(storage)
        data = bytearray(read[: storage.size_bytes])
        if len(data) < storage.size_bytes:
            raise UserError("This checkpoint is cut short: it lacks weights. Save and upload it again.")
        cache[place] = torch.frombuffer(data, dtype=torch.uint8)
    numbers = cache[place]
    usable = len(numbers) // piece.dtype.itemsize * piece.dtype.itemsize
    return numbers[:usable].view(piece.dtype).as_strided(piece.size, piece.stride, piece.offset).contiguous()


def _widened(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    kinds = {str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()} - {"float32"}
    wide = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    return wide, tuple(_wide_note(kind) for kind in sorted(kinds))


def _wide_note(kind: str) -> str:
    note = f"weights stored as {kind} are computed as float32"
    if kind.startswith("float8"):
        note += (
            "; 8 bits keep two digits at most, and where scales were kept apart from the weights they are not applied: "
            "if the accuracy is not what you expect, multiply by the scales and save as float32"
        )
    return note
