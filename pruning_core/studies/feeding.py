"""Arrays and columns by name into a network of several inputs, or of whole numbers: to the input called the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from math import prod

import torch

from pruning_core.datasets import Dataset
from pruning_core.datasets.findings.numbers import Arrays, Table
from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.interface import Input, Interface


def fed(data: Dataset, loaded: LoadedModel) -> Dataset:
    """``data`` with its arrays behind one another in the order of the network's inputs, where it has several; of a
    table, the columns.

    What reads one image, or one array of numbers, gets ``data`` itself. Raises UserError where an input has no array
    of its name and shape, or holds whole numbers that the network does not know.
    """
    told = loaded.interface
    if told is None or not told.packed:
        return data
    arrays = next((each for each in data.findings if isinstance(each, Arrays)), None)
    table = next((each for each in data.findings if isinstance(each, Table)), None)
    if table is not None:
        places = _of_columns(told, table.columns)
    elif arrays is not None:
        places = _of_arrays(told, arrays)
    else:
        raise UserError(f"{_reads(told)} {data.name!r} holds no arrays of these names. {_way_out(told)}")
    flat = data.images.flatten(1)
    for each, (name, at) in zip(told.inputs, places):
        _check(each, name, flat[:, at], data.name)
    taken = [at for _, part in places for at in part]
    mean, std = (0.0,) * len(taken), (1.0,) * len(taken)
    if table is not None:  # what is looked up needs its whole numbers as they are
        whole = [each.whole for each, (_, part) in zip(told.inputs, places) for _ in part]
        mean = tuple(0.0 if fixed else data.mean[at] for fixed, at in zip(whole, taken))
        std = tuple(1.0 if fixed else data.std[at] for fixed, at in zip(whole, taken))
    return replace(data, images=flat[:, taken], mean=mean, std=std)


Places = list[tuple[str, list[int]]]  # of each input what it is called in the data, and where its numbers stand


def _of_arrays(told: Interface, arrays: Arrays) -> Places:
    """By name, or the only one for the only one. Raises UserError."""
    widths = [prod(int(side) for side in shape.split(" × ")) for shape in arrays.shapes]
    places = {name: list(range(end - width, end)) for name, width, end in zip(arrays.names, widths, accumulate(widths))}
    if len(told.inputs) == len(arrays.names) == 1:
        return list(places.items())
    missing = [each.name for each in told.inputs if each.name not in places]
    if missing:
        raise UserError(
            f"{_reads(told)} The data hold {', '.join(clip(name) for name in arrays.names)}, and nothing called "
            f"{', '.join(clip(name) for name in missing)}. {_way_out(told)}"
        )
    return [(each.name, places[each.name]) for each in told.inputs]


def _of_columns(told: Interface, columns: tuple[str, ...]) -> Places:
    """A column of the name of an input of one number is that input; one other input takes all columns that are left, in
    their order. Raises UserError."""
    own = {each.name: columns.index(each.name) for each in told.inputs if each.name in columns and each.numbers == 1}
    others = [each.name for each in told.inputs if each.name not in own]
    left = [at for at in range(len(columns)) if at not in own.values()]
    if len(others) != bool(left):
        raise UserError(
            f"{_reads(told)} A column of an input's name is that input, and one other input takes all that are left: "
            f"here {len(left):,} are left for {', '.join(map(clip, others)) or 'none'}. Call columns as inputs are "
            "called, or leave some out."
        )
    return [(each.name, [own[each.name]] if each.name in own else left) for each in told.inputs]


def _check(each: Input, name: str, part: torch.Tensor, data: str) -> None:
    if part.shape[1] != each.numbers:
        raise UserError(
            f"The input {quoted(each.name)} takes {each} for each example, and {quoted(name)} of "
            f"{quoted(data)} holds {part.shape[1]:,} numbers for each. Store it in that shape."
        )
    low, high = float(part.min()), float(part.max())
    if each.known and (low < 0 or high >= each.known or bool((part != part.floor()).any())):
        raise UserError(
            f"The input {quoted(each.name)} takes {each}, and {quoted(name)} of {quoted(data)} holds numbers "
            f"from {low:g} to {high:g}. Store the numbers that the network was trained with."
        )


def _reads(told: Interface) -> str:
    return f"The network reads {told}."


def _way_out(told: Interface) -> str:
    names = ", ".join(f"inputs/{clip(each.name)}" for each in told.inputs)
    if all(each.numbers > 1 for each in told.inputs):
        return f"Send an .npz with an array for each: {names}."
    return f"Send an .npz with an array for each: {names}. Or send a table with columns of these names."
