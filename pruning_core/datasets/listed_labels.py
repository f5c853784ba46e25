"""A list of labels beside images: one column of file names, and one or more of classes, yes or no, or numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from pruning_core.datasets import columns, pictures, tables
from pruning_core.datasets.any_labels import unlabelled
from pruning_core.datasets.findings import Finding, archive, labels
from pruning_core.datasets.given_labels import numbered
from pruning_core.datasets.images import SUFFIXES
from pruning_core.datasets.leftovers import beside, is_left_behind, suffix
from pruning_core.datasets.opened import Members, Opened
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.targets import are_targets, targets
from pruning_core.errors import UserError, quoted

LISTS = (".csv", ".tsv")
MAX_BYTES = 256 << 20  # of a list


def list_in(names: Sequence[str]) -> int | None:
    """The member that is the only list among ``names``, where no folder could tell classes apart; else None."""
    there = [at for at, each in enumerate(names) if not is_left_behind(each)]
    lists = [at for at in there if suffix(names[at]) in LISTS]
    folders = {names[at].rpartition("/")[0] for at in there if suffix(names[at]) in SUFFIXES}
    return lists[0] if len(lists) == 1 and len(folders) == 1 else None


def read(opened: Opened, at: int, size: tuple[int, int] | None, task: str, progress: Progress) -> Raw:
    """The pictures that the list, member ``at``, names, with labels int64 (N,) of classes or float32 (N, …).

    size: (H, W), or None as in ``pictures``. task: "classes" or "numbers", "" for what is proposed. Raises UserError
    naming the file or column that is wrong.
    """
    where = opened.names[at]
    if opened.archive.infolist()[at].file_size > MAX_BYTES:
        raise UserError(f"The list {quoted(where)} is larger than {MAX_BYTES >> 20} MB. Send fewer images at a time.")
    frame = columns.read(opened.data(at), suffix(where), where)
    there = {
        each: number for number, each in enumerate(opened.names)
        if suffix(each) in SUFFIXES and not is_left_behind(each)
    }  # fmt: skip
    column, rows = _names(frame, there, where)
    chosen = sorted(zip(rows, range(len(rows))))
    members = Members([(opened, there[name], name) for name, _ in chosen])
    frame = frame.iloc[[row for _, row in chosen]].drop(columns=column).reset_index(drop=True)
    found, classes, said = _labels(frame, task, where)
    others = [each for number, each in enumerate(opened.names)
              if each not in there and number != at and not each.endswith("/")]  # fmt: skip
    left = sorted(there.keys() - set(rows))
    beside_it = beside([each for each in others if is_left_behind(each)],
                       [each for each in others if not is_left_behind(each)])  # fmt: skip
    if left:
        beside_it.append(archive.NotListed(len(left), left[0], where))
    told = archive.Listed(where, len(rows), tuple(map(str, frame.columns)), tuple(classes))
    images, converted = pictures.decoded(members, opened.name, size, progress)
    findings = (told, *beside_it, *opened.findings, *said, *converted)
    return Raw(images, found, classes, findings=findings, names=tuple(name for name, _ in chosen))


def _names(frame: pd.DataFrame, there: dict[str, int], where: str) -> tuple[str, list[str]]:
    """The column of file names, and the member that each row names: whole, without folders, or without the suffix."""
    by: dict[str, str] = {}
    for each in there:
        file = each.rpartition("/")[2]
        for called in (each, file, file[: -len(suffix(file))]):
            if by.setdefault(called, each) != each:
                by[called] = ""  # two pictures go by it
    for column in frame.columns:
        texts = [_as_text(cell) for cell in frame[column]]
        if any(by.get(text) for text in texts):
            lost = next((at for at, text in enumerate(texts) if not by.get(text)), None)
            if lost is not None:
                raise UserError(
                    f"{quoted(where)} names {quoted(texts[lost])} in row {lost + 1:,}, and the zip holds no such "
                    "image, or several. Leave out the row, or put the image in."
                )
            found = [by[text] for text in texts]
            twice = frame[column].duplicated()
            if twice.any() or len(set(found)) < len(found):
                at = int(np.flatnonzero(pd.Series(found).duplicated())[0])
                raise UserError(f"{quoted(where)} names {quoted(found[at])} twice. Give each image one row.")
            return str(column), found
    raise UserError(
        f"No column of {quoted(where)} names the images of the zip. One column must hold their file names, the others "
        "their labels."
    )


def _labels(frame: pd.DataFrame, task: str, where: str) -> tuple[Tensor, tuple[str, ...], tuple[Finding, ...]]:
    if frame.shape[1] == 0:
        (found,), classes, said = unlabelled([len(frame)])
        return found, classes, said
    if frame.shape[1] == 1:
        return tables.labelled(frame.iloc[:, 0], task, where)
    inputs = tables.numbers_of(frame, where)
    names = [str(each) for each in frame.columns]
    if task != "numbers" and not are_targets(inputs):  # one 1 in each row
        return numbered(inputs, names, where)
    return targets(inputs, where), (), (labels.Targets((inputs.shape[1],)),)


def _as_text(cell: object) -> str:
    """As a name: numbers in a column of names lost nothing but their suffix."""
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
