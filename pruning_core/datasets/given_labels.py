"""Labels as people store them: numbers from anywhere, names, floats, one-hot rows; here they count classes from 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pruning_core.datasets.findings import Finding, archive, labels
from pruning_core.errors import UserError, clip, quoted

MAX_CLASSES = 100_000


def numbered(
    given: np.ndarray, names: Sequence[str] | None, name: str
) -> tuple[Tensor, tuple[str, ...], tuple[Finding, ...]]:
    """(int64 (N,) counting from 0, class names, what was done). ``names``: of the classes, where the file gives them.

    Raises UserError when they are no labels, or there are no two classes.
    """
    numbers, columns, said = _flat(given, name)
    if columns:
        classes = tuple(names or map(str, range(columns)))
        check_count(len(classes), name)
        return torch.from_numpy(numbers), classes, said
    if names is not None and numbers.dtype.kind == "i":
        check_count(len(names), name)
        return torch.from_numpy(numbers), tuple(names), said
    values, places = np.unique(numbers, return_inverse=True)
    found = tuple(str(value) for value in values)
    if names is not None:
        strange = sorted(set(found) - set(names))
        if strange:
            raise UserError(f"{name!r} has the label {quoted(strange[0])}, which is not among its classes.")
        order = {label: at for at, label in enumerate(names)}
        places, found = np.array([order[label] for label in found])[places], tuple(names)
    else:
        said += _order(values, places)
    check_count(len(found), name)
    return torch.from_numpy(places.astype(np.int64).ravel()), found, said


def matched(given: np.ndarray, classes: Sequence[str], named: bool, name: str) -> Tensor:
    """Test labels by the numbering of the training labels. Raises UserError for what these lack."""
    numbers, columns, _ = _flat(given, name)
    if columns or (named and numbers.dtype.kind == "i"):
        return torch.from_numpy(numbers)
    known = {label: at for at, label in enumerate(classes)}
    values, places = np.unique(numbers, return_inverse=True)
    unknown = sorted({str(value) for value in values} - known.keys())
    if unknown:
        raise UserError(f"The test part of {name!r} has the label {quoted(unknown[0])}, which its training part lacks.")
    order = np.array([known[str(value)] for value in values], dtype=np.int64)
    return torch.from_numpy(order[places.ravel()])


def _order(values: np.ndarray, places: np.ndarray) -> tuple[Finding, ...]:
    """What there is to say about sorted labels for which the file gives no names."""
    if values.dtype.kind != "i":
        texts = tuple(str(value) for value in values)
        if all(text.isdecimal() for text in texts) and list(texts) != sorted(texts, key=int):
            return (archive.NumbersAsText(texts),)
        return (labels.Alphabetical(texts[0]),)
    low, high = int(values[0]), int(values[-1])
    found: tuple[Finding, ...] = ()
    if low != 0 or high != len(values) - 1:
        found = (labels.Renumbered(low, high, len(values)),)
    if low < 0:
        found += (labels.Negative(low, int((places == 0).sum())),)
    return found


def _flat(given: np.ndarray, name: str) -> tuple[np.ndarray, int, tuple[Finding, ...]]:
    """(int64 or text (N,), columns of one-hot rows or 0, what was done)."""
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim == 2 and given.shape[1] > 1 and given.dtype.kind in "biuf":
        if not bool(((given == 0) | (given == 1)).all() and (given.sum(1) == 1).all()):
            raise UserError(
                f"The labels of {name!r} are rows of {given.shape[1]} numbers that are no one-hot rows. Store one "
                "whole number or name per image: the right class."
            )
        return given.argmax(1).astype(np.int64), given.shape[1], (labels.OneHot(given.shape[1]),)
    whole = given.dtype.kind == "f" and given.ndim == 1 and bool((given == np.rint(given)).all())
    if given.ndim != 1 or not (given.dtype.kind in "iuUSb" or whole):
        raise UserError(
            f"The labels of {name!r} are {clip(str(given.dtype))} of shape {clip(str(given.shape))}. Expected one "
            "whole number or name per image, of shape (N,)."
        )
    if given.dtype.kind == "S":
        return np.char.decode(given, "utf-8", "replace"), 0, ()
    if given.dtype.kind == "U":
        return given, 0, ()
    if given.size and abs(float(given.max())) + abs(float(given.min())) >= 2**62:
        raise UserError(f"The labels of {name!r} are too large to be the numbers of classes. Count the classes from 0.")
    return given.astype(np.int64), 0, (labels.WholeFloats(),) if whole else ()


def check_count(classes: int, name: str) -> None:
    """Raises UserError for fewer than two classes or more than can be told apart."""
    if classes == 1:
        raise UserError(
            f"All labels of {name!r} are the same, so there are no classes to tell apart. Bring images of two classes."
        )
    if classes > MAX_CLASSES:
        raise UserError(
            f"{name!r} has {classes:,} different labels; at most {MAX_CLASSES:,} classes are told apart. Labels are "
            "numbers or names of classes, one and the same for all images of a class."
        )
