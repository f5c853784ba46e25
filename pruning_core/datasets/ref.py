"""Which data: small, hashable and storable; the images themselves stay in the data directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pruning_core.datasets.zip_names import CODE_PAGES
from pruning_core.errors import UserError, quoted
from pruning_core.storage.codec import Codec, UnknownClass, digest, dump

Source = Literal["digits", "sample", "npz", "folder", "table", "torchvision"]
Split = Literal["train", "fit", "held-out", "test"]
Order = Literal["RGB", "BGR"]
LEAST_RATE, MOST_RATE, MOST_SAMPLES = 1_000, 192_000, 10_000_000  # of recordings
Task = Literal["", "classes", "numbers", "labels", "masks", "boxes"]


@dataclass(frozen=True)
class DataRef:
    """A data set by name, with what the user changed about it.

    source, name: where it comes from; ``name`` is the file name of an upload or the name of a torchvision set.
    digest, test_digest: sha256 of the stored uploads; a second archive may hold the test images.
    split: which part ``load_data`` returns. "train" is everything but "test"; it divides into "fit" and "held-out".
    held_out, test_fraction, seed: shares set apart from every class, and by which seed.
    size: (H, W) in pixels to resize to; channels: 1 or 3; mean, std, classes: None keeps what the data says.
    code_page: of names in a zip that do not say theirs; None guesses and says so.
    order: in which the network reads the channels of a colour image; files keep red, green, blue.
    measure: the key of what outputs for these images are judged by; "" takes what is proposed for network and data.
    task: what labels in a table or list are, or what annotations are read as, "" for what is proposed. target: of a
    table, the column of labels, None for none and "" for the last; targets: more columns beside it, where all are
    numbers; part: the column that says which rows are for testing; left_out: columns that are not read; one_hot: texts
    become a column of 0 and 1 for each; coded: texts become whole numbers, in alphabetical order.
    rate, samples: of recordings, to how many samples a second they are resampled, 0 for what the first one has, and to
    how many they are brought, 0 for one second.
    """

    source: Source
    name: str
    digest: str = ""
    test_digest: str = ""
    split: Split = "test"
    held_out: float = 0.1
    test_fraction: float = 0.2
    seed: int = 0
    size: tuple[int, int] | None = None
    channels: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    code_page: str | None = None
    order: Order = "RGB"
    measure: str = ""
    task: Task = ""
    target: str | None = ""
    targets: tuple[str, ...] = ()
    part: str = ""
    left_out: tuple[str, ...] = ()
    one_hot: bool = False
    coded: bool = False
    rate: int = 0
    samples: int = 0

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise UserError(f"There is no data source {self.source!r}. Choose one of {', '.join(get_args(Source))}.")
        if self.split not in get_args(Split):
            raise UserError(f"There is no split {self.split!r}. Choose one of {', '.join(get_args(Split))}.")
        if self.size is not None and not all(1 <= side <= 1024 for side in self.size):
            raise UserError("Images can be resized to between 1 and 1024 pixels a side.")
        if self.channels not in (None, 1, 3):
            raise UserError("Images have 1 channel (grey) or 3 (colour).")
        if (self.rate and not LEAST_RATE <= self.rate <= MOST_RATE) or not 0 <= self.samples <= MOST_SAMPLES:
            raise UserError(
                f"Recordings have {LEAST_RATE:,} to {MOST_RATE:,} samples a second here, and at most {MOST_SAMPLES:,}."
            )
        if self.task not in get_args(Task):
            raise UserError(
                f"Labels are read as one of {', '.join(filter(None, get_args(Task)))}, not as {quoted(self.task)}."
            )
        if self.order not in get_args(Order):
            raise UserError(f"Colours are read as {' or '.join(get_args(Order))}, not as {quoted(self.order)}.")
        if self.code_page is not None and self.code_page not in CODE_PAGES:
            raise UserError(
                f"Names are not read in the code page {quoted(self.code_page)}. Choose one that is offered."
            )

    @property
    def key(self) -> str:
        """sha256 of the canonical JSON: equal references have equal keys."""
        return digest(self)

    def to_json(self) -> str:
        return dump(self)

    @staticmethod
    def from_json(text: str) -> DataRef:
        """Raises UserError for text that is no stored reference."""
        try:
            ref = Codec((DataRef,)).load(text)
        except (ValueError, TypeError, UnknownClass) as error:
            raise UserError("This is not a stored reference to data. Choose the data set again.") from error
        if not isinstance(ref, DataRef):
            raise UserError("This is not a stored reference to data. Choose the data set again.")
        return ref


DIGITS = DataRef("digits", "digits", held_out=0.2, test_fraction=0.25)
"""scikit-learn's handwritten digits: 1,078 to fit, 269 held out, 450 to test."""
