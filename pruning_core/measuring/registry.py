"""Every measure: one line each."""

from __future__ import annotations

from pruning_core.datasets.dataset import Dataset
from pruning_core.errors import UserError, quoted
from pruning_core.measuring.classifying import BalancedAccuracy, TopFive, TopOne
from pruning_core.measuring.detecting import AveragePrecision, HalfPrecision
from pruning_core.measuring.following import Agreement, Cosine, Divergence, OutputError, PlaceAgreement
from pruning_core.measuring.measure import Measure
from pruning_core.measuring.picturing import SignalToNoise, Similarity
from pruning_core.measuring.regressing import AbsoluteError, Explained, NormalisedError, SquaredError
from pruning_core.measuring.segmenting import MeanOverlap, PlacesRight
from pruning_core.measuring.sequences import Perplexity, PositionsRight
from pruning_core.measuring.yes_or_no import AnsweredRight, Precision, RankedRight

MEASURES: tuple[Measure, ...] = (
    TopOne(),
    BalancedAccuracy(),
    TopFive(),
    AveragePrecision(),
    HalfPrecision(),
    MeanOverlap(),
    PlacesRight(),
    PositionsRight(),
    Perplexity(),
    SignalToNoise(),
    Similarity(),
    RankedRight(),
    Precision(),
    AnsweredRight(),
    Explained(),
    AbsoluteError(),
    SquaredError(),
    NormalisedError(),
    Agreement(),
    OutputError(),
    PlaceAgreement(),
    Cosine(),
    Divergence(),
)
BY_KEY = {measure.key: measure for measure in MEASURES}


def named(key: str) -> Measure:
    """The measure that is stored as ``key``. Raises UserError for another version's."""
    if key not in BY_KEY:
        raise UserError(f"Nothing is measured as {quoted(key)} here. Choose another measure on the Load page.")
    return BY_KEY[key]


def measure_of(dataset: Dataset) -> Measure:
    """What outputs for the images of ``dataset`` are judged by. Raises UserError for classes where there are none."""
    found = named(dataset.measure)
    if found.decides and not dataset.classes:
        raise UserError(f"{dataset.name!r} has no classes to be right about. Choose another measure on the Load page.")
    return found.read_by(dataset.decoder)
