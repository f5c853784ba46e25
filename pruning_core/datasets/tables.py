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
TEXTS_BECOME = "Leave it out, or have texts become columns of 0 and 1, or whole numbers."


def look(path: Path, name: str) -> tuple[columns.Column, ...]:
    """What the columns of a table hold, before somebody says which is the target. Raises UserError."""
    return columns.described(columns.read(path, Path(name).suffix.lower(), name))


def read(ref: DataRef, root: Root | None, progress: Progress) -> Raw:
    """Inputs float32 (N, columns), in the order of the file, less targets and the column that says the part.

    Labels int64 (N,) of classes, or float32 (N,) of numbers, (N, targets) of several. Raises UserError naming the
    column that holds texts, empty cells or numbers that are not finite.
    """
    progress("reading the table", 0, 1)
    frame = columns.read(artifacts(root).path(ref.digest), Path(ref.name).suffix.lower(), ref.name)
    for each in filter(None, (*ref.left_out, ref.target, *ref.targets, ref.part)):
        if each not in frame.columns:
            raise UserError(f"{ref.name!r} has no column called {quoted(each)}. Choose one that it has.")
    left = [each for each in frame.columns if each not in (*ref.left_out, ref.part)]
    target = ref.target if ref.target != "" else left[-1] if left else None
    given = [each for each in left if each not in (target, *ref.targets)]
    if not given:
        raise UserError(f"No column of {ref.name!r} is left as an input. Leave out fewer, or send a table with more.")
    tests, parted = parts_of(frame[ref.part], ref.name) if ref.part else (np.zeros(len(frame), bool), ())
    inputs, names, said = _inputs(frame[given], ref, tests)
    if target is None:
        found, classes, told = _alone(len(frame))
    elif ref.targets:
        found, classes, told = torch.from_numpy(numbers_of(frame[[target, *ref.targets]], ref.name)), (), ()
    else:
        found, classes, told = labelled(frame[target], ref.task, ref.name)
    task = "classes" if classes else "numbers"
    findings: tuple[Finding, ...] = (numbers.Table(len(frame), names, target or "", task, ref.targets), *said, *told)
    if ref.left_out:
        findings += (numbers.ColumnsLeftOut(ref.left_out),)
    progress("reading the table", 1, 1)
    rows = [f"row {at + 1:,}" for at in range(len(frame))]
    whole = Raw(inputs, found, classes, findings=(*findings, *parted), names=tuple(rows))
    return _divided(whole, tests, ref) if ref.part else whole


def parts_of(cells: pd.Series, name: str) -> tuple[np.ndarray, tuple[Finding, ...]]:
    """(whether each row is for testing, what was done) as the texts of a column say. Raises UserError for a row of
    which it does not say so, or where one of the two has no row."""
    _check_filled(cells, name)
    words = [columns.word_of(str(each)) for each in cells]
    for row, word in enumerate(words, 1):
        if word not in columns.TRAIN_WORDS | columns.TEST_WORDS:
            raise UserError(
                f"{_called(cells, name)} says {quoted(word)} in row {row:,}, which is neither train nor test. Write "
                "one of them, or take another column."
            )
    tests = np.array([word in columns.TEST_WORDS for word in words])
    if tests.all():
        raise UserError(f"{_called(cells, name)} leaves no row for training. Take another column, or none.")
    if not tests.any():
        raise UserError(f"{_called(cells, name)} leaves no row for testing. Take another column, or none.")
    others = tuple(sorted({*words} - columns.TRAIN_WORDS - {"test", "testing"}))
    return tests, (numbers.PartColumn(str(cells.name), int((~tests).sum()), int(tests.sum()), others),)


def _divided(whole: Raw, tests: np.ndarray, ref: DataRef) -> Raw:
    """Raises UserError for a class that occurs in test rows only."""
    train, test = np.flatnonzero(~tests), np.flatnonzero(tests)
    if whole.classes:
        learned = set(whole.labels[train].tolist())
        strange = next((label for label in whole.labels[test].tolist() if label not in learned), None)
        if strange is not None:
            raise UserError(
                f"The test rows of {ref.name!r} have the class {quoted(whole.classes[strange])}, which no training row "
                "has. Leave those rows out, or divide the table another way."
            )
    return replace(
        whole, images=whole.images[train], labels=whole.labels[train], test_images=whole.images[test],
        test_labels=whole.labels[test], names=tuple(whole.names[at] for at in (*train, *test)),
    )  # fmt: skip


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


def _inputs(
    frame: pd.DataFrame, ref: DataRef, tests: np.ndarray
) -> tuple[Tensor, tuple[str, ...], tuple[Finding, ...]]:
    must_fit(3 * FLOAT * frame.size, f"The table {ref.name!r}", "Send fewer rows.")
    parts: list[np.ndarray] = []
    names: list[str] = []
    said: list[Finding] = []
    for each in frame.columns:
        cells = frame[each]
        _check_filled(cells, ref.name)
        if cells.dtype != object or not (ref.one_hot or ref.coded):
            parts.append(_numbers(cells, ref.name, TEXTS_BECOME)[:, None])
            names.append(each)
            continue
        kinds, places = np.unique(cells.to_numpy().astype(str), return_inverse=True)
        texts = tuple(map(str, kinds))
        said += _only_tested(each, texts, places.ravel(), tests)
        if ref.coded:
            parts.append(places.reshape(-1, 1).astype(np.float32))
            names.append(each)
            said.append(numbers.Codes(each, texts))
            continue
        if len(kinds) > MAX_CATEGORIES:
            raise UserError(
                f"{_called(cells, ref.name)} holds {len(kinds):,} different texts; at most {MAX_CATEGORIES} become "
                "columns. Leave it out."
            )
        must_fit(FLOAT * len(frame) * len(kinds), f"The column {quoted(each)} as columns of 0 and 1", "Leave it out.")
        parts.append(np.eye(len(kinds), dtype=np.float32)[places.ravel()])
        names += [f"{each}={kind}" for kind in texts]
        said.append(numbers.Categories(each, texts))
    return torch.from_numpy(np.ascontiguousarray(np.concatenate(parts, 1))), tuple(names), tuple(said)


def _only_tested(column: str, texts: tuple[str, ...], places: np.ndarray, tests: np.ndarray) -> list[Finding]:
    if not tests.any():
        return []
    strange = np.setdiff1d(places[tests], places[~tests])
    if not len(strange):
        return []
    return [numbers.OnlyTested(column, int(np.isin(places, strange).sum()), tuple(texts[at] for at in strange))]


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
