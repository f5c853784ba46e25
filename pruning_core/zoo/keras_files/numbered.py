"""Which number of a ``.keras`` file lies where in the network that was made of it, and what is left of it after a cut.

The file is read once more with a number of its own in the place of each of its numbers. Whatever the rules do to
arrays, turn, cut and join them, these go the same ways, and so does a cut; so what is left finds its way home, and no
rule is needed that turns the rules round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.zoo.keras_files.weights import Weights


@dataclass(frozen=True, eq=False)
class Left:
    """What is left of an array of the shape ``was``: the positions ``kept`` along each dimension, and the numbers that
    are there now."""

    was: tuple[int, ...]
    kept: tuple[np.ndarray, ...]
    values: np.ndarray

    def blocks(self, axis: int, number: int) -> int:
        """Of ``number`` equal parts of a dimension, how many have something left."""
        return len(np.unique(self.kept[axis] // (self.was[axis] // number)))


class Numbered(Weights):
    """A file of weights in which number n reads as -n - 1, in double precision: below zero, so that what a rule
    computes from it (a root) is seen to be no number of the file; double, as what a description says never is."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data, name)
        self._first: dict[str, int] = {}  # where it lies -> the number of its first number; in the order of numbers
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._next = 0

    def _value(self, path: str, array: Any) -> Tensor:
        size = prod(array.shape)
        if path not in self._first:
            self._first[path], self._shapes[path] = self._next, array.shape
            self._next += size
        first = self._first[path] + 1
        return -torch.arange(first, first + size, dtype=torch.float64).reshape(array.shape)

    def left(self, numbers: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> dict[str, Left | None]:
        """What is left of each array that a layer reads, by where it lies. ``numbers``: the tensors that were made of
        this file, after the same cuts as those in ``values``. None where what is left are not whole slices of it;
        arrays of which no number is found are not in it."""
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        paths, firsts = list(self._first), np.array(list(self._first.values()))
        for name, tensor in numbers.items():
            if tensor.dtype != torch.float64:
                continue
            number = tensor.detach().flatten().numpy()
            ours = number < 0
            number, value = (-number[ours] - 1).astype(np.int64), values[name].detach().flatten().numpy()[ours]
            of = np.searchsorted(firsts, number, "right") - 1
            for at in np.unique(of):
                here = of == at
                found.setdefault(paths[at], []).append((number[here] - firsts[at], value[here]))
        return {path: _left(self._shapes[path], parts) for path, parts in found.items()}


def _left(shape: tuple[int, ...], parts: list[tuple[np.ndarray, np.ndarray]]) -> Left | None:
    places, values = (np.concatenate(each) for each in zip(*parts))
    order = np.argsort(places)
    kept = tuple(np.unique(along) for along in np.unravel_index(places[order], shape))
    if prod(map(len, kept)) != len(places):
        return None
    return Left(shape, kept, values[order].reshape([len(along) for along in kept]))
