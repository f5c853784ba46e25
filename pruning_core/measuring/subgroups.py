"""A table that somebody brings: which group each test image belongs to, in as many ways as it has columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from pruning_core.errors import UserError, quoted

NUMBER = "image"  # the column that says which image a row is about, counted from 0
LARGEST, MOST = 8_000_000, 200  # bytes of the file; groups that can be read at once

Columns = Mapping[str, tuple[str, ...]]
"""Column -> the group of every image; "" where the table says nothing of it."""


def read(data: bytes, images: int) -> Columns:
    """From CSV with a row of names: rows in the order of the ``images``, or in any where a column "image" numbers them.

    Columns with more groups than can be read are left out. Raises UserError.
    """
    rows = _rows(data)
    head = [name.strip() for name in rows[0]]
    if len(set(head)) < len(head):
        raise UserError("Two columns of this table have the same name. Give each its own.")
    body = rows[1:]
    if ragged := next((at for at, row in enumerate(body, 2) if len(row) != len(head)), None):
        raise UserError(f"Row {ragged} of this table has another number of cells than its first row.")
    places = _places(head, body, images)
    found = {}
    for at, name in enumerate(head):
        groups = [""] * images
        for place, row in zip(places, body):
            groups[place] = row[at].strip()
        if name and name != NUMBER and 0 < len(set(groups) - {""}) <= MOST:
            found[name] = tuple(groups)
    if not found:
        raise UserError(f"No column of this table names at most {MOST} groups. Add one that does.")
    return found


def _rows(data: bytes) -> list[list[str]]:
    if len(data) > LARGEST:
        raise UserError(f"This table is larger than {LARGEST // 1_000_000} MB. Keep the columns that name groups.")
    try:
        rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True) if row]
    except (UnicodeDecodeError, csv.Error):
        raise UserError("This is not a CSV file in UTF-8. Export the table as one.") from None
    if len(rows) < 2:
        raise UserError("This table has no rows. It needs a row of column names and a row for each image.")
    return rows


def _places(head: list[str], body: list[list[str]], images: int) -> list[int]:
    """Which image each row is about."""
    if NUMBER not in head:
        if len(body) != images:
            raise UserError(
                f"This table has {len(body):,} rows for {images:,} test images. Give one for each, in their order, or "
                f"a column {quoted(NUMBER)} that numbers them from 0."
            )
        return list(range(images))
    found = [row[head.index(NUMBER)].strip() for row in body]
    wrong = next((text for text in found if not (text.isascii() and text.isdigit() and int(text) < images)), None)
    if wrong is not None:
        raise UserError(
            f"The column {quoted(NUMBER)} says {quoted(wrong)}, which numbers no test image: they go from 0 to "
            f"{images - 1:,}."
        )
    if len(set(found)) < len(found):
        raise UserError(f"The column {quoted(NUMBER)} names an image twice.")
    return [int(text) for text in found]
