"""Arrays by name into a network of several inputs, or of whole numbers: each to the input that is called the same."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch

from pruning_core.datasets import Dataset
from pruning_core.datasets.findings.numbers import Arrays
from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.interface import Input, Interface


def fed(data: Dataset, loaded: LoadedModel) -> Dataset:
    """``data`` with its arrays behind one another in the order of the network's inputs, where it has several.

    What reads one image, or one array of numbers, gets ``data`` itself. Raises UserError where an input has no array
    of its name and shape, or holds whole numbers that the network does not know.
    """
    told = loaded.interface
    if told is None or not told.packed:
        return data
    arrays = next((each for each in data.findings if isinstance(each, Arrays)), None)
    if arrays is None or data.pictures:
        raise UserError(f"{_reads(told)} {data.name!r} holds no arrays of these names. {_way_out(told)}")
    widths = [prod(int(side) for side in shape.split(" × ")) for shape in arrays.shapes]
    parts = dict(zip(arrays.names, data.images.flatten(1).split(widths, 1)))
    names = _matched(told, arrays)
    for each, name in zip(told.inputs, names):
        _check(each, name, parts[name], data.name)
    mixed = torch.cat([parts[name] for name in names], 1)
    width = mixed.shape[1]
    return replace(data, images=mixed, mean=(0.0,) * width, std=(1.0,) * width)


def _matched(told: Interface, arrays: Arrays) -> list[str]:
    """The array of each input: by name, or the only one for the only one. Raises UserError."""
    if len(told.inputs) == len(arrays.names) == 1:
        return [arrays.names[0]]
    missing = [each.name for each in told.inputs if each.name not in arrays.names]
    if missing:
        raise UserError(
            f"{_reads(told)} The data hold {', '.join(clip(name) for name in arrays.names)}, and nothing called "
            f"{', '.join(clip(name) for name in missing)}. {_way_out(told)}"
        )
    return [each.name for each in told.inputs]


def _check(each: Input, name: str, part: torch.Tensor, data: str) -> None:
    if part.shape[1] != each.numbers:
        raise UserError(
            f"The input {quoted(each.name)} takes {each} for each example, and the array {quoted(name)} of "
            f"{quoted(data)} holds {part.shape[1]:,} numbers for each. Store it in that shape."
        )
    low, high = float(part.min()), float(part.max())
    if each.known and (low < 0 or high >= each.known or bool((part != part.floor()).any())):
        raise UserError(
            f"The input {quoted(each.name)} takes {each}, and the array {quoted(name)} of {quoted(data)} holds numbers "
            f"from {low:g} to {high:g}. Store the numbers that the network was trained with."
        )


def _reads(told: Interface) -> str:
    return f"The network reads {told}."


def _way_out(told: Interface) -> str:
    names = ", ".join(f"inputs/{clip(each.name)}" for each in told.inputs)
    return f"Send an .npz with an array for each: {names}."
