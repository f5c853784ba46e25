"""Do criteria agree: rank correlation, overlap of what they would remove, and what makes a criterion applicable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from scipy.stats import rankdata
from torch import Tensor

from pruning_core.criteria import Criterion, Scores
from pruning_core.knobs import Knobbed, Range

Floats = NDArray[np.float64]


def spearman(first: Tensor, second: Tensor) -> float:
    """Rank correlation of two score vectors (C,) in [-1, 1]; ties get average ranks, a constant vector gives NaN."""
    return float(_correlations(np.stack([_ranks(first), _ranks(second)]))[0, 1])


def removed_overlap(first: Tensor, second: Tensor, ratio: float) -> float:
    """Share of the channels that one criterion removes at ``ratio`` which the other removes too, in [0, 1].

    ``floor(ratio * C)`` lowest scores each, ties by the lower index; NaN when that is none. By chance it is ``ratio``.
    """
    count = int(ratio * len(first))
    if count == 0:
        return float("nan")
    low = [set(s.argsort(stable=True)[:count].tolist()) for s in (first, second)]
    return len(low[0] & low[1]) / count


@dataclass(frozen=True)
class Measure(ABC):
    """A number that says how alike two score vectors are; 1 = the same."""

    @abstractmethod
    def of(self, first: Tensor, second: Tensor) -> float:
        """Of two (C,) vectors; NaN where it means nothing."""

    @property
    @abstractmethod
    def name(self) -> str: ...


@dataclass(frozen=True)
class RankCorrelation(Measure):
    """Spearman's correlation: 1 = the same order, 0 = unrelated, -1 = opposite."""

    name = "Rank correlation"

    def of(self, first: Tensor, second: Tensor) -> float:
        return spearman(first, second)


@dataclass(frozen=True)
class RemovedOverlap(Knobbed, Measure):
    """Share of the removed channels that both would remove; chance gives the ratio itself."""

    name = "Overlap of what is removed"
    ratio: Annotated[float, Range(0.05, 0.95, "Ratio", step=0.05)] = 0.5

    def of(self, first: Tensor, second: Tensor) -> float:
        return removed_overlap(first, second, self.ratio)


MEASURES: tuple[type[Measure], ...] = (RankCorrelation, RemovedOverlap)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Criterion x criterion, (K, K) with ones on the diagonal, rows and columns ordered so that like stands by like.

    NaN where two criteria share no layer, or one of them rates all channels of every layer alike.
    ``layers`` says how many layers an entry was averaged over.
    """

    criteria: tuple[Criterion, ...]
    matrix: Floats
    layers: NDArray[np.int64]


def layer_agreement(verdicts: Mapping[Criterion, Scores], key: str, measure: Measure | None = None) -> Agreement:
    """Agreement on one group, of the criteria that score it."""
    able = [c for c, s in verdicts.items() if key in s.values]
    return _ordered(able, *_table(verdicts, able, [key], measure or RankCorrelation()))


def mean_agreement(verdicts: Mapping[Criterion, Scores], measure: Measure | None = None) -> Agreement:
    """Agreement inside layers, averaged over the layers that both criteria score; each layer counts alike."""
    able = [c for c, s in verdicts.items() if s.values]
    keys = list(dict.fromkeys(k for c in able for k in verdicts[c].values))
    return _ordered(able, *_table(verdicts, able, keys, measure or RankCorrelation()))


def global_agreement(verdicts: Mapping[Criterion, Scores], measure: Measure | None = None) -> Agreement:
    """Agreement over the channels of all layers at once: whether criteria also agree on *which layers* to cut.

    Scores are taken as they are, so this is what a global cut without normalisation would see.
    """
    measure = measure or RankCorrelation()
    able = [c for c, s in verdicts.items() if s.values]
    matrix = np.full((len(able), len(able)), np.nan)
    layers = np.zeros(matrix.shape, np.int64)
    for i, a in enumerate(able):
        for j, b in enumerate(able):
            shared = [k for k in verdicts[a].values if k in verdicts[b].values]
            layers[i, j] = len(shared)
            if i == j:
                matrix[i, j] = 1.0
            elif shared:
                first, second = (torch.cat([verdicts[c].values[k] for k in shared]) for c in (a, b))
                matrix[i, j] = measure.of(first, second)
    return _ordered(able, matrix, layers)


def _table(
    verdicts: Mapping[Criterion, Scores], able: Sequence[Criterion], keys: Sequence[str], measure: Measure
) -> tuple[Floats, NDArray[np.int64]]:
    total = np.zeros((len(able), len(able)))
    layers = np.zeros(total.shape, np.int64)
    for key in keys:
        present = [i for i, c in enumerate(able) if key in verdicts[c].values]
        values = [verdicts[able[i]].values[key] for i in present]
        if isinstance(measure, RankCorrelation) and values:  # ranks once per criterion, not once per pair
            found = _correlations(np.stack([_ranks(v) for v in values]))
        else:
            found = np.array([[measure.of(a, b) for b in values] for a in values]).reshape(len(values), len(values))
        here = np.ix_(present, present)
        known = np.isfinite(found)
        total[here] += np.where(known, found, 0)
        layers[here] += known
    matrix = np.where(layers > 0, total / np.maximum(layers, 1), np.nan)
    np.fill_diagonal(matrix, 1.0)
    return matrix, layers


def _ranks(values: Tensor) -> Floats:
    return np.asarray(rankdata(values.cpu().numpy()), dtype=np.float64)


def _correlations(ranks: Floats) -> Floats:
    """Pearson's correlation of the rows; NaN where one is constant."""
    centred = ranks - ranks.mean(1, keepdims=True)
    norm = np.sqrt(np.square(centred).sum(1))
    unit = centred / np.where(norm > 0, norm, np.nan)[:, None]
    return np.clip(unit @ unit.T, -1, 1)


def _ordered(criteria: Sequence[Criterion], matrix: Floats, layers: NDArray[np.int64]) -> Agreement:
    order = cluster_order(matrix)
    return Agreement(tuple(criteria[i] for i in order), matrix[np.ix_(order, order)], layers[np.ix_(order, order)])


def cluster_order(matrix: Floats) -> NDArray[np.int64]:
    """Order of a similarity matrix (K, K) in which like stands by like; unknown entries count as 0."""
    if len(matrix) < 3:
        return np.arange(len(matrix))
    distances = squareform(1 - np.nan_to_num((matrix + matrix.T) / 2), checks=False).clip(min=0)
    return leaves_list(optimal_leaf_ordering(linkage(distances, "average"), distances)).astype(np.int64)


@dataclass(frozen=True)
class Separation:
    """Whether a criterion can tell the channels of a layer apart at all."""

    variation: float  # standard deviation over mean size; NaN when all scores are 0
    ties: float  # share of pairs closer than 1 % of the spread from lowest to highest


def separation(scores: Tensor) -> Separation:
    """Of one layer's scores (C,)."""
    values = np.sort(scores.cpu().numpy().astype(np.float64))
    mean = float(np.abs(values).mean())
    count = len(values)
    pairs = count * (count - 1) / 2
    near = 0.01 * (values[-1] - values[0])
    close = np.searchsorted(values, values + near, side="right") - np.arange(count) - 1
    return Separation(
        float(values.std()) / mean if mean > 0 else float("nan"), float(close.sum()) / pairs if pairs else 1.0
    )


@dataclass(frozen=True)
class NormConditions:
    """The two conditions under which small norms mean little importance, as FPGM states them.

    ``norms`` (C,) ascending. The spread must be large, and the smallest norm must be near zero.
    """

    norms: tuple[float, ...]
    spread: float  # standard deviation over mean
    smallest: float  # smallest norm over the mean norm


def norm_conditions(weight: Tensor) -> NormConditions:
    """Of the filters (C, fan) of one layer."""
    norms = weight.double().norm(dim=1).sort().values
    mean = float(norms.mean()) or 1.0
    return NormConditions(tuple(norms.tolist()), float(norms.std(correction=0)) / mean, float(norms[0]) / mean)
