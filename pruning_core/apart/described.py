"""A network that was opened in a child, as plain data on its way to the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from pruning_core.apart.held import Names, held, names_of, tensors_of
from pruning_core.apart.networks import network_packed, network_unpacked
from pruning_core.errors import LONGEST, UserError
from pruning_core.graph import Network, capture
from pruning_core.storage.conform import conforms
from pruning_core.storage.plain import Arrays, Forged, load_arrays, packed, plain_bytes, save_arrays, unpacked
from pruning_core.zoo import LoadedModel, ModelRef
from pruning_core.zoo.interface import MOST_SIDE, NUMBERS, WHOLE, Interface
from pruning_core.zoo.meaning import Outputs
from pruning_core.zoo.weight_sets import WeightSet

TOLD, WEIGHTS, ARRAYS = "told.json", "weights.safetensors", "arrays.safetensors"
MOST_TOLD, MOST_WEIGHTS, MOST_ARRAYS = 256 << 20, 8 << 30, 1 << 30  # bytes
MOST_CLASSES, MOST_NOTES, MOST_ENDS = 1 << 31, 100, 1000


@dataclass(frozen=True)
class Description:
    """What a LoadedModel says beside its module. ``fault``: why its groups could not be found, "" where they were."""

    ref: str
    title: str
    trained: bool
    input_size: tuple[int, ...]
    num_classes: int
    notes: tuple[str, ...]
    sets: tuple[WeightSet, ...]
    used: WeightSet | None
    looks: Outputs | None
    interface: Interface | None
    names: Names
    fault: str


@dataclass(frozen=True, eq=False)
class Opened:
    """A network and its groups; ``fault`` says why they could not be found."""

    loaded: LoadedModel
    found: Network | None
    fault: str = ""

    @property
    def network(self) -> Network:
        """Raises UserError where its groups could not be found."""
        if self.found is None:
            raise UserError(self.fault)
        return self.found


def looked_at(loaded: LoadedModel) -> Opened:
    """With its groups."""
    try:
        return Opened(loaded, capture(loaded.model, torch.zeros(1, *loaded.input_size)))
    except UserError as error:
        return Opened(loaded, None, str(error))


def describe(opened: Opened, folder: Path) -> None:
    """Leave it in ``folder``; :func:`described` reads it there."""
    loaded, arrays = opened.loaded, Arrays()
    told = Description(
        loaded.ref.to_json(), loaded.title, loaded.trained, loaded.input_size, loaded.num_classes, loaded.notes,
        loaded.sets, loaded.used, loaded.looks, loaded.interface, names_of(loaded.model), opened.fault,
    )  # fmt: skip
    network = None
    if opened.found is not None:
        network, arrays = network_packed(opened.found)
    save_arrays(arrays, folder / ARRAYS)
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in tensors_of(loaded.model).items()}
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    (folder / TOLD).write_text(json.dumps([packed(told, {}), network], allow_nan=False), encoding="utf-8")


def described(folder: Path) -> Opened:
    """What :func:`describe` left, with numbers under names instead of a program. Raises Forged."""
    try:
        told, network = json.loads(plain_bytes(folder / TOLD, MOST_TOLD))
    except (ValueError, TypeError, RecursionError) as error:
        raise Forged("this is no description of a network") from error
    arrays = load_arrays(folder / ARRAYS, MOST_ARRAYS)
    description: Description = unpacked(told, {}, Description)
    _check(description)
    try:
        tensors = safetensors.torch.load(plain_bytes(folder / WEIGHTS, MOST_WEIGHTS))
    except (SafetensorError, ValueError, KeyError) as error:
        raise Forged("the file of weights is none") from error
    found = None if network is None else network_unpacked(network, arrays)
    if found is not None:
        _check_members(found, tensors)
    loaded = LoadedModel(
        held(description.names, tensors), checked_ref(description.ref), description.title, description.trained,
        description.input_size, description.num_classes, notes=description.notes, sets=description.sets,
        used=description.used, looks=description.looks, interface=description.interface,
    )  # fmt: skip
    return Opened(loaded, found, description.fault)


def checked_ref(text: str) -> ModelRef:
    """The reference in ``text``. Raises Forged when it is of another form than references have."""
    try:
        ref = ModelRef.from_json(text)
    except (UserError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Forged("this is no reference to a network") from error
    if not conforms(ref, ModelRef):
        raise Forged("this is no reference to a network")
    return ref


def _check(told: Description) -> None:
    texts = (told.title, told.fault, *told.notes)
    if len(told.notes) > MOST_NOTES or any(len(text) > LONGEST for text in texts):
        raise Forged("more is said of this network than anybody would read")
    if not all(0 < side <= MOST_SIDE for side in told.input_size) or not 0 < told.num_classes <= MOST_CLASSES:
        raise Forged("no network has such sizes")
    if told.interface is not None:
        _check_interface(told.interface, told.input_size)


def _check_interface(told: Interface, size: tuple[int, ...]) -> None:
    """It is what the network is called with, and names are short enough to be read."""
    names = [each.name for each in told.inputs] + [each.name for each in told.outputs]
    if not told.inputs or len(names) > MOST_ENDS or any(len(name) > LONGEST for name in names):
        raise Forged("more is said of this network than anybody would read")
    sides = [side for each in told.inputs for side in each.shape]
    if not all(0 < side <= MOST_SIDE for side in sides) or any(each.known < 0 for each in told.inputs):
        raise Forged("no network has such inputs")
    if told.pixels not in (0, 1, 255):
        raise Forged("no pixels go so far")
    types = {each.type for each in told.inputs} <= {*NUMBERS, *WHOLE}
    if not types or told.size != size or not 0 <= told.measured < max(1, len(told.outputs)):
        raise Forged("no network has such inputs")


def _check_members(network: Network, tensors: Mapping[str, Any]) -> None:
    """Every slice of a group lies inside the tensor that it names."""
    for group in network.groups:
        for member in group.members:
            tensor = tensors.get(member.parameter)
            if tensor is None or not 0 <= member.dim < tensor.ndim:
                raise Forged("a group names a tensor that is not there")
            if member.index.size and int(member.index.max()) >= tensor.shape[member.dim]:
                raise Forged("a group names more of a tensor than there is")
