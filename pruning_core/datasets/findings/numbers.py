"""What was found in inputs that are no pictures: tables, sound, arrays of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pruning_core.datasets.findings.finding import Finding, named
from pruning_core.errors import quoted


@dataclass(frozen=True)
class Table(Finding):
    """Rows of a table. ``target``: the column of the labels, "" for none; ``task``: what they are; ``more``: further
    columns of numbers that are targets."""

    rows: int
    columns: tuple[str, ...]
    target: str
    task: str
    more: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        inputs = named(self.columns)
        if not self.target:
            return (
                f"A table of {self.rows:,} rows. {len(self.columns):,} columns are inputs, in this order: {inputs}. No "
                "column is a target."
            )
        if self.more:
            return (
                f"A table of {self.rows:,} rows. {len(self.columns):,} columns are inputs, in this order: {inputs}. "
                f"The targets are {named((self.target, *self.more))}."
            )
        return (
            f"A table of {self.rows:,} rows. {len(self.columns):,} columns are inputs, in this order: {inputs}. "
            f"The target is {quoted(self.target)}, read as {self.task}."
        )


@dataclass(frozen=True)
class Categories(Finding):
    """Texts that became columns."""

    column: str
    categories: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return (
            f"The texts of {quoted(self.column)} became {len(self.categories):,} columns of 0 and 1, one for each: "
            f"{named(self.categories)}."
        )


@dataclass(frozen=True)
class Codes(Finding):
    """Texts that became whole numbers."""

    column: str
    categories: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return (
            f"The texts of {quoted(self.column)} became whole numbers from 0 to {len(self.categories) - 1:,}, in "
            f"alphabetical order: {named(self.categories)}. The network must have been trained with these numbers."
        )


@dataclass(frozen=True)
class OnlyTested(Finding):
    """Texts of a column of inputs that no row for training has."""

    doubt: ClassVar[bool] = True
    column: str
    rows: int
    texts: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return (
            f"No training row has {named(self.texts)} in {quoted(self.column)}, and {self.rows:,} test rows do: a "
            "network cannot have learned what they mean from these rows."
        )


@dataclass(frozen=True)
class PartColumn(Finding):
    """A column that says which rows are for testing. ``words``: of those, other than "test"."""

    column: str
    train: int
    test: int
    words: tuple[str, ...]

    @property
    def sentence(self) -> str:
        if not self.words:
            return (
                f"The column {quoted(self.column)} says which rows are for training ({self.train:,}) and which for "
                f"testing ({self.test:,})."
            )
        return (
            f"The column {quoted(self.column)} says which rows are for training ({self.train:,}) and which for testing "
            f"({self.test:,}): {named(self.words)} counts as testing. Where those rows chose the network's training, "
            "they flatter it."
        )


@dataclass(frozen=True)
class ColumnsLeftOut(Finding):
    """Columns that somebody left out."""

    names: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"The columns {named(self.names)} were left out, as you asked."


@dataclass(frozen=True)
class Constant(Finding):
    """Columns with one value in all rows."""

    doubt: ClassVar[bool] = True
    count: int
    total: int
    first: int

    @property
    def sentence(self) -> str:
        return (
            f"{self.count:,} of {self.total:,} columns have one value in all rows, the first of them column "
            f"{self.first:,}: they tell nothing."
        )


@dataclass(frozen=True)
class RepeatedRows(Finding):
    """Examples with the same numbers. ``apart``: copies with another label than the first."""

    doubt: ClassVar[bool] = True
    count: int
    total: int
    apart: int

    @property
    def sentence(self) -> str:
        other = f", {self.apart:,} of them with another label" if self.apart else ""
        return (
            f"{self.count:,} of {self.total:,} examples are copies of others{other}. Copies on both sides of a "
            "division into training and test flatter what is measured."
        )


@dataclass(frozen=True)
class Arrays(Finding):
    """Arrays of numbers, as they are; several are put behind one another in the order of the file."""

    names: tuple[str, ...]
    shapes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        told = ", ".join(f"{quoted(name)} ({shape})" for name, shape in zip(self.names, self.shapes))
        if len(self.names) == 1:
            return f"Examples are numbers and no pictures: {told}."
        return f"{len(self.names):,} inputs are put behind one another in the order of the file: {told}."


@dataclass(frozen=True)
class Sounds(Finding):
    """Recordings at one rate (per second) and of one length in ``samples``."""

    total: int
    rate: int
    samples: int
    resampled: int
    cut: int
    padded: int

    @property
    def sentence(self) -> str:
        done = [
            f"{count:,} {what}"
            for count, what in (
                (self.resampled, "had another rate and were resampled"),
                (self.cut, "were longer and lost their end"),
                (self.padded, "were shorter and end in silence"),
            )
            if count
        ]
        if not done:
            return f"A set of {self.total:,} recordings, {self.samples:,} samples each at {self.rate:,} a second."
        return (
            f"A set of {self.total:,} recordings, {self.samples:,} samples each at {self.rate:,} a second: "
            f"{', '.join(done)}."
        )
