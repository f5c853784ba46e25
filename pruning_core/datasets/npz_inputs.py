"""NumPy archives whose inputs are no pictures: an array ``inputs``, or several called ``inputs/…``, of any shape."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from pruning_core.datasets import npy
from pruning_core.datasets.findings import numbers
from pruning_core.datasets.npy import Array
from pruning_core.errors import UserError, quoted
from pruning_core.storage.memory import must_fit

WHOLE, TEST = "inputs", "test_inputs"
FLOAT = 4  # bytes
EXACT = 1 << 24  # whole numbers beyond it are not all floats


def parts_of(arrays: Mapping[str, zipfile.ZipInfo]) -> list[list[str]]:
    """The names of the arrays of each part, in the order of the file; [] where there are no such inputs."""
    found = [[key for key in arrays if key == part or key.startswith(f"{part}/")] for part in (WHOLE, TEST)]
    return [keys for keys in found if keys] if found[0] else []


def joined(opened: zipfile.ZipFile, parts: Sequence[Sequence[Array]], name: str) -> tuple[list[Tensor], numbers.Arrays]:
    """float32 (N, …) of each part, several arrays flattened behind one another; and what to say of them.

    Raises UserError for arrays that are no numbers, not finite, or of unlike lengths or shapes.
    """
    total = sum(prod(each.shape) for part in parts for each in part)
    must_fit(4 * FLOAT * total, f"The inputs of {name!r}", "Send fewer examples.")
    tails = [[each.shape[1:] for each in part] for part in parts]
    if any(each != tails[0] for each in tails):
        raise UserError(f"Training and test inputs of {name!r} differ in shape. Store both in one shape.")
    found = []
    for part in parts:
        tensors = [_numbers(npy.values(opened, each, name), _key(each), name) for each in part]
        if len({len(each) for each in tensors}) > 1:
            raise UserError(
                f"The inputs of {name!r} hold {' and '.join(f'{len(each):,}' for each in tensors)} examples. Every "
                "example needs all of its inputs."
            )
        found.append(tensors[0] if len(tensors) == 1 else torch.cat([each.flatten(1) for each in tensors], 1))
    names = tuple(_key(each) for each in parts[0])
    return found, numbers.Arrays(names, tuple(" × ".join(map(str, tail)) or "1" for tail in tails[0]))


def sides(inputs: Tensor, told: numbers.Arrays) -> tuple[int, ...]:
    """Those of one input (N, C, …), or the length of a row of tokens; () where there are no places."""
    if len(told.names) > 1:
        return ()
    return tuple(inputs.shape[2:] if inputs.ndim > 2 else inputs.shape[1:])


def _key(array: Array) -> str:
    """What comes after ``inputs/``, or the whole name."""
    whole = array.member.filename.removesuffix(".npy")
    return whole.partition("/")[2] or whole


def _numbers(given: np.ndarray, key: str, name: str) -> Tensor:
    if given.dtype.kind not in "biuf" or given.ndim == 0 or 0 in given.shape:
        raise UserError(f"The inputs {quoted(key)} of {name!r} hold no numbers for each example. Store (N, …) numbers.")
    if given.dtype.kind == "f" and not bool(np.isfinite(given).all()):
        raise UserError(f"The inputs {quoted(key)} of {name!r} are not all finite. Repair or leave out those examples.")
    if given.dtype.kind in "iu" and int(np.abs(given.astype(np.float64)).max()) > EXACT:
        raise UserError(
            f"The inputs {quoted(key)} of {name!r} hold whole numbers beyond {EXACT:,}. Store smaller ones."
        )
    with np.errstate(over="ignore"):
        found = torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))
    if not bool(torch.isfinite(found).all()):
        raise UserError(f"The inputs {quoted(key)} of {name!r} hold numbers too large for float32. Store smaller ones.")
    return found[:, None] if found.ndim == 1 else found
