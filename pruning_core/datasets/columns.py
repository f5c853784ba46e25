"""CSV and Parquet files as columns: bounded before they are read, and never more than numbers and texts."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pruning_core.errors import UserError, clip, quoted
from pruning_core.storage.memory import must_fit

MAX_COLUMNS = 10_000
MAX_CELLS = 200_000_000
MAX_LINE = 1 << 22  # bytes of the first line, which names the columns
LONGEST = 200  # letters of the name of a column
TAKES = 12  # times its own size that a CSV file takes while it is read
CELL = 40  # bytes that a cell of a Parquet file takes, at most: it may be packed a thousandfold
SEPARATORS = (",", ";", "\t", "|")
TRAIN_WORDS = frozenset({"train", "training", "fit"})
TEST_WORDS = frozenset({"test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation"})
FEW = 20  # different whole numbers in a column, up to which they are taken for classes


@dataclass(frozen=True)
class Column:
    """What a column holds: ``texts`` or numbers, ``missing`` empty cells, ``different`` values, the ``first`` one.
    ``parts``: its texts say of every row whether it is for training or for testing."""

    name: str
    texts: bool
    missing: int
    different: int
    first: str
    task: str  # "classes" or "numbers": what to take it for as a target
    parts: bool = False


def read(source: Path | bytes, kind: str, name: str) -> pd.DataFrame:
    """The table in a file of the ``kind`` ".csv", ".tsv" or ".parquet"; ``name`` is what the visitor calls it.

    Cells are float64 or text. Raises UserError for what is no table, has two columns of one name, or does not fit in
    the memory.
    """
    try:
        frame = _parquet(source, name) if kind == ".parquet" else _csv(source, name)
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{name!r} needs more memory than is free. Send fewer rows.") from error
    except Exception as error:  # parsers of strangers' bytes raise whatever they raise
        what = "Parquet" if kind == ".parquet" else "CSV"
        reason = clip(str(error).strip().split("\n")[0], 120) or type(error).__name__
        raise UserError(f"{name!r} cannot be read as {what}: {reason}. Save the table again.") from error
    if not len(frame) or not len(frame.columns):
        raise UserError(f"{name!r} is a table without rows. Send one with a line of names and a row for each example.")
    frame.columns = pd.Index([clip(str(each).strip(), LONGEST) for each in frame.columns])
    _check_twice(list(frame.columns), name)
    return pd.DataFrame({each: _plain(frame[each]) for each in frame.columns})


def described(frame: pd.DataFrame) -> tuple[Column, ...]:
    """What each column holds."""
    found = []
    for name in frame.columns:
        cells = frame[name]
        texts = cells.dtype == object
        different = int(cells.nunique())
        there = cells.dropna()
        first = clip(f"{there.iloc[0]:g}" if len(there) and not texts else str(there.iloc[0]) if len(there) else "", 40)
        missing = int(cells.isna().sum())
        found.append(Column(name, texts, missing, different, first, proposed(cells), says_parts(cells)))
    return tuple(found)


def proposed(cells: pd.Series) -> str:
    """ "classes" for texts and a few whole numbers, else "numbers"."""
    if cells.dtype == object:
        return "classes"
    values = cells.dropna().to_numpy()
    whole = np.isfinite(values).all() and bool((values == np.rint(values)).all())
    return "classes" if whole and len(np.unique(values)) <= FEW else "numbers"


def says_parts(cells: pd.Series) -> bool:
    """Whether the texts of a column are words for training and for testing, and both occur."""
    if cells.dtype != object or cells.isna().any():
        return False
    words = {word_of(each) for each in cells.unique()}
    return bool(words & TRAIN_WORDS) and bool(words & TEST_WORDS) and words <= TRAIN_WORDS | TEST_WORDS


def word_of(cell: str) -> str:
    return cell.strip().lower()


def _csv(source: Path | bytes, name: str) -> pd.DataFrame:
    data = source if isinstance(source, bytes) else b""
    size = len(data) if isinstance(source, bytes) else source.stat().st_size
    if isinstance(source, bytes):
        first = data[:MAX_LINE]
    else:
        with source.open("rb") as file:
            first = file.read(MAX_LINE)
    line, ended, _ = first.partition(b"\n")
    if not ended and size > MAX_LINE:
        raise UserError(f"The first line of {name!r} does not end. Send a table with a line of names first.")
    if b"\0" in line:
        raise UserError(f"{name!r} is no text, and so no CSV. Save the table as CSV in UTF-8, or as Parquet.")
    try:
        names = line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as error:
        raise UserError(f"{name!r} is not written in UTF-8. Save the table as CSV in UTF-8.") from error
    separator = max(SEPARATORS, key=names.count)
    _check_columns(names.count(separator) + 1, name)
    called = [each.strip() for each in next(csv.reader([names], delimiter=separator), [])]
    nameless = all(_is_number(each) for each in called)
    if not nameless:
        _check_twice(called, name)  # pandas would give the second another name
    must_fit(TAKES * size, f"The table {name!r}", "Send fewer rows.")
    frame = pd.read_csv(
        io.BytesIO(data) if isinstance(source, bytes) else source,
        sep=separator, encoding="utf-8-sig", header=None if nameless else 0, index_col=False, low_memory=False,
        skipinitialspace=True,
    )  # fmt: skip
    if nameless:
        frame.columns = pd.Index([f"column {at + 1}" for at in range(len(frame.columns))])
    return frame


def _parquet(source: Path | bytes, name: str) -> pd.DataFrame:
    import pyarrow.parquet as parquet  # a moment to import, and seldom needed

    file = parquet.ParquetFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    rows, columns = file.metadata.num_rows, file.metadata.num_columns
    _check_columns(columns, name)
    if rows * columns > MAX_CELLS:
        raise UserError(f"{name!r} has {rows:,} rows of {columns:,} columns. Send at most {MAX_CELLS:,} cells.")
    must_fit(CELL * rows * columns, f"The table {name!r}", "Send fewer rows.")
    flat = [str(field.type) for field in file.schema_arrow if field.type.num_fields]
    if flat:
        raise UserError(f"{name!r} holds columns inside a column ({clip(flat[0])}). Save one value in each cell.")
    texts = [each.name for each in file.schema_arrow if str(each.type) in ("string", "large_string")]
    table = parquet.read_table(
        io.BytesIO(source) if isinstance(source, bytes) else source, read_dictionary=texts, use_pandas_metadata=False
    )
    return table.to_pandas(ignore_metadata=True)


def _check_twice(names: list[str], name: str) -> None:
    again, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise UserError(f"Two columns of {name!r} are called {quoted(again)}. Give each a name of its own.")


def _check_columns(count: int, name: str) -> None:
    if count > MAX_COLUMNS:
        raise UserError(f"{name!r} has {count:,} columns; at most {MAX_COLUMNS:,} are read. Send fewer.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(cells: pd.Series) -> pd.Series:
    """float64, NaN where a cell is empty; or texts, None where one is."""
    if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_numeric_dtype(cells):
        if pd.api.types.is_complex_dtype(cells):
            raise UserError(f"The column {quoted(str(cells.name))} holds complex numbers. Save real ones.")
        return pd.Series(cells.to_numpy(dtype=np.float64, na_value=np.nan), name=cells.name)
    texts = cells.astype(object)
    return pd.Series(
        [None if pd.isna(each) else clip(str(each), LONGEST) for each in texts], dtype=object, name=cells.name
    )
