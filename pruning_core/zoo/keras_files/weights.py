"""The weights of a ``.keras`` file: arrays of plain numbers in HDF5, looked up one by one and judged before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.keras_files.archive import AGAIN

KINDS = ("float16", "float32", "float64", "int32", "int64")
STATES = (*KINDS, "uint32", "uint8", "bool")  # beside weights: what a dropout draws from
MOST_VARIABLES = 16  # of one layer


class Weights:
    """The file of weights in ``data``; ``name`` is what the user calls the whole.

    Nothing but a hard link is followed, and nothing but an array that lies in this file whole and as it is is read:
    no other files, no packed or virtual arrays, none whose numbers are not stored. All arrays together are no more
    than the file holds, so that many links to one array do not fill the memory.
    """

    def __init__(self, data: bytes, name: str) -> None:
        import h5py

        self._name, self._left, self._bytes = name, len(data), data
        self._counted: set[str] = set()  # a layer that is used twice is read twice
        self._h5: Any = h5py
        try:
            self._file: Any = h5py.File.in_memory(data)
        except Exception as error:  # the library says in many ways that it is none of its files
            raise self._damaged() from error

    def variables(self, place: str) -> list[Tensor]:
        """The variables of the layer at ``place``, as float32, in the order Keras gave them; [] for none."""
        try:
            group = self._group(f"{place}/vars")
            number = 0 if group is None else len(group)
            if number > MOST_VARIABLES:
                raise self._damaged()
            return [self._value(f"{place}/vars/{at}", self._array(group, str(at), place)) for at in range(number)]
        except UserError:
            raise
        except Exception as error:  # as above
            raise self._damaged() from error

    def every(self, place: str = "layers") -> Iterator[tuple[str, np.ndarray]]:
        """(where it lies, numbers) of every array below ``place``, one at a time."""
        places, seen = [place], set()
        try:
            while places:
                group = self._group(place := places.pop())
                if group is None:
                    continue
                if (address := self._h5.h5o.get_info(group.id).addr) in seen:  # it may lie in itself
                    raise self._damaged()
                seen.add(address)
                for part in group:
                    if isinstance(self._linked(group, part), self._h5.Group):
                        places.append(f"{place}/{part}")
                    else:
                        yield f"{place}/{part}", np.asarray(self._array(group, part, place, STATES)[()])
        except UserError:
            raise
        except Exception as error:  # as above
            raise self._damaged() from error

    def _value(self, path: str, array: Any) -> Tensor:
        """What the variable at ``path`` is read as."""
        return torch.from_numpy(np.asarray(array[()]).astype(np.float32).reshape(array.shape))

    def _group(self, place: str) -> Any:
        """None where there is none."""
        found = self._file
        for part in place.split("/"):
            if found.get(part, getlink=True) is None:
                return None
            found = self._linked(found, part)
            if not isinstance(found, self._h5.Group):
                raise self._damaged()
        return found

    def _linked(self, group: Any, part: str) -> Any:
        if not isinstance(group.get(part, getlink=True), self._h5.HardLink):
            raise UserError(
                f"The weights of {quoted(self._name)} refer to another place ({quoted(clip(part))}). They were not "
                "followed."
            )
        return group[part]

    def _array(self, group: Any, part: str, place: str, kinds: tuple[str, ...] = KINDS) -> Any:
        """The array that is ``part`` of ``group`` at ``place``, after it was judged."""
        array = self._linked(group, part)
        if type(array) is not self._h5.Dataset:
            raise self._damaged()
        if array.dtype.name not in kinds or array.shape is None:
            raise UserError(
                f"Weights of {quoted(self._name)} are of the type {quoted(clip(str(array.dtype), 40))}, which is not "
                "read here. Save the network with weights of float32."
            )
        plain = not array.is_virtual and array.external is None and array.chunks is None
        plain = plain and array.id.get_create_plist().get_nfilters() == 0
        size = int(np.prod(array.shape, dtype=object)) * array.dtype.itemsize
        counted = 0 if f"{place}/{part}" in self._counted else size
        if not plain or array.id.get_storage_size() != size or counted > self._left:
            raise UserError(
                f"An array of weights of {quoted(self._name)} claims numbers that the file does not store as they are. "
                f"It was not read. {AGAIN}"
            )
        self._counted.add(f"{place}/{part}")
        self._left -= counted
        return array

    def _damaged(self) -> UserError:
        return UserError(f"The weights of {quoted(self._name)} are damaged. {AGAIN}")
