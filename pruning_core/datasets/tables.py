"""Tables: a row is an example, columns of numbers are inputs, and one column may be the target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pruning_core.datasets import columns
from pruning_core.datasets.findings import Finding, labels, numbers
from pruning_core.datasets.given_labels import numbered
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import DataRef
from pruning_core.datasets.targets import nothing
from pruning_core.errors import UserError, quoted
from pruning_core.storage.memory import must_fit
from pruning_core.storage.uploads import Root, artifacts

KINDS = (".csv", ".tsv", ".parquet")
MAX_CATEGORIES = 200  # of a column of texts: more are hardly categories
FLOAT = 4  # bytes


def look(path: Path, name: str) -> tuple[columns.Column, ...]:
    """What the columns of a table hold, before somebody says which is the target. Raises UserError."""
    return columns.described(columns.read(path, Path(name).suffix.lower(), name))


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """Inputs float32 (N, columns), in the order of the file, less the target.

    Labels int64 (N,) of classes or float32 (N,) of numbers. Raises UserError naming the column that holds texts, empty
    cells or numbers that are not finite.
    """
    progress("reading the table", 0, 1)
    frame = columns.read(artifacts(root).path(ref.digest), Path(ref.name).suffix.lower(), ref.name)
    for each in (*ref.left_out, *([ref.target] if ref.target else [])):
        if each not in frame.columns:
            raise UserError(f"{ref.name!r} has no column called {quoted(each)}. Choose one that it has.")
    left = [each for each in frame.columns if each not in ref.left_out]
    target = ref.target if ref.target != "" else left[-1] if left else None
    given = [each for each in left if each != target]
    if not given:
        raise UserError(f"No column of {ref.name!r} is left as an input. Leave out fewer, or send a table with more.")
    inputs, names, said = _inputs(frame[given], ref)
    found, classes, told = _alone(len(frame)) if target is None else labelled(frame[target], ref.task, ref.name)
    task = "classes" if classes else "numbers"
    findings: tuple[Finding, ...] = (numbers.Table(len(frame), names, target or "", task), *said, *told)
    if ref.left_out:
        findings += (numbers.ColumnsLeftOut(ref.left_out),)
    progress("reading the table", 1, 1)
    return Raw(inputs, found, classes, findings=findings, names=tuple(f"row {at + 1:,}" for at in range(len(frame))))


Labelled = tuple[Tensor, tuple[str, ...], tuple[Finding, ...]]  # labels, classes, what was done


def _alone(rows: int) -> Labelled:
    return nothing(rows), (), (labels.Unlabelled(),)


def labelled(cells: pd.Series, task: str, name: str) -> Labelled:
    """(labels, classes, what was done) of a column, as ``task`` says or as is proposed. Raises UserError."""
    _check_filled(cells, name)
    if (task or columns.proposed(cells)) == "classes":
        values = cells.to_numpy()
        if values.dtype == object:
            values = values.astype(str)
        elif not (values == np.rint(values)).all():
            raise UserError(f"{_called(cells, name)} holds fractions, which are no classes. Take it as numbers.")
        else:
            values = values.astype(np.int64)
        found, classes, said = numbered(values, None, name)
        told = [replace(each, by_array=False) if isinstance(each, labels.Alphabetical) else each for each in said]
        return found, classes, tuple(told)
    return torch.from_numpy(_numbers(cells, name, "Take it as classes, or choose another target.")), (), ()


def _inputs(frame: pd.DataFrame, ref: DataRef) -> tuple[Tensor, tuple[str, ...], tuple[Finding, ...]]:
    must_fit(3 * FLOAT * frame.size, f"The table {ref.name!r}", "Send fewer rows.")
    parts: list[np.ndarray] = []
    names: list[str] = []
    said: list[Finding] = []
    for each in frame.columns:
        cells = frame[each]
        _check_filled(cells, ref.name)
        if cells.dtype != object or not ref.one_hot:
            parts.append(_numbers(cells, ref.name, "Leave it out, or have texts become columns of 0 and 1.")[:, None])
            names.append(each)
            continue
        kinds, places = np.unique(cells.to_numpy().astype(str), return_inverse=True)
        if len(kinds) > MAX_CATEGORIES:
            raise UserError(
                f"{_called(cells, ref.name)} holds {len(kinds):,} different texts; at most {MAX_CATEGORIES} become "
                "columns. Leave it out."
            )
        must_fit(FLOAT * len(frame) * len(kinds), f"The column {quoted(each)} as columns of 0 and 1", "Leave it out.")
        parts.append(np.eye(len(kinds), dtype=np.float32)[places.ravel()])
        names += [f"{each}={kind}" for kind in kinds]
        said.append(numbers.Categories(each, tuple(map(str, kinds))))
    return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts, 1))), tuple(names), tuple(said)


def numbers_of(frame: pd.DataFrame, name: str) -> np.ndarray:
    """float32 (N, columns) of columns of numbers. Raises UserError naming the column that holds anything else."""
    for each in frame.columns:
        _check_filled(frame[each], name)
    return np.stack([_numbers(frame[each], name, "Leave it out.") for each in frame.columns], 1)


def _numbers(cells: pd.Series, name: str, way_out: str) -> np.ndarray:
    """float32 (N,)."""
    if cells.dtype == object:
        raise UserError(f"{_called(cells, name)} holds texts, such as {quoted(str(cells.iloc[0]))}. {way_out}")
    with np.errstate(over="ignore"):
        found = cells.to_numpy().astype(np.float32)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0]) + 1
        raise UserError(
            f"{_called(cells, name)} holds a number in row {row:,} that is not finite or too large. Repair it."
        )
    return found


def _check_filled(cells: pd.Series, name: str) -> None:
    empty = cells.isna().to_numpy()
    if empty.any():
        raise UserError(
            f"{_called(cells, name)} has {int(empty.sum()):,} empty cell(s), the first in row "
            f"{int(np.flatnonzero(empty)[0]) + 1:,}. Fill them, or leave those rows or that column out."
        )


def _called(cells: pd.Series, name: str) -> str:
    return f"The column {quoted(str(cells.name))} of {name!r}"
