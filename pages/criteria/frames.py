"""Comparisons and scores as tables. No streamlit, no plotly."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pruning_core.allocation.lowest import removed_count
from pruning_core.measuring.measures import TOP1
from pruning_core.studies.points import ORIGIN, Point, Scored

COLUMNS = (
    "criterion", "when", "budget", "macs", "parameters", "top1", "low", "high", "top5", "drop", "drop_low",
    "drop_high", "latency_ms", "seconds", "score_seconds", "draws", "images", "measure",
)  # fmt: skip


def summary(points: Iterable[Point], scored: Iterable[Scored]) -> pd.DataFrame:
    """One row per criterion, budget and moment; several draws of a random one become their mean.

    Of several draws `low` and `high` are the least and the greatest one, `drop` its mean with the same span, and
    `draws` says how many there are. `score_seconds` is what scoring cost, `seconds` what the moment cost.
    """
    costs: dict[str, list[float]] = {}
    for each in scored:
        costs.setdefault(each.criterion, []).append(each.seconds)
    rows = []
    grouped: dict[tuple[str, float, str], list[Point]] = {}
    for point in points:
        grouped.setdefault((point.criterion, point.budget, point.when), []).append(point)
    for (criterion, budget, when), found in grouped.items():
        first, one = found[0], len(found) == 1
        top1 = [point.top1 for point in found]
        drops = [point.drop for point in found if point.drop is not None]
        top5 = [point.top5 for point in found if point.top5 is not None]
        timed = [point.latency_ms for point in found if point.latency_ms is not None]
        rows.append(
            {
                "criterion": criterion,
                "when": when,
                "budget": budget,
                "macs": first.macs,
                "parameters": first.parameters,
                "top1": float(np.mean(top1)),
                "low": first.low if one else min(top1),
                "high": first.high if one else max(top1),
                "top5": float(np.mean(top5)) if top5 else None,
                "drop": float(np.mean(drops)) if drops else None,
                "drop_low": (first.drop_low if one else min(drops)) if drops else None,
                "drop_high": (first.drop_high if one else max(drops)) if drops else None,
                "latency_ms": timed[0] if timed else None,
                "seconds": float(np.mean([point.seconds for point in found])),
                "score_seconds": float(np.mean(costs[criterion])) if criterion in costs else None,
                "draws": len(found),
                "images": first.images,
                "measure": first.measure,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def origin(frame: pd.DataFrame, when: str) -> float | None:
    """The unpruned network's value at that moment; where it does not have that moment, as it is."""
    own = frame[frame["criterion"] == ORIGIN]
    same = own[own["when"] == when]
    found = same if len(same) else own
    return float(found["top1"].iloc[0]) if len(found) else None


def measure_of(frame: pd.DataFrame) -> str:
    """The key of what all networks of a comparison are judged by."""
    return str(frame["measure"].iloc[0]) if len(frame) else TOP1


def channels(values: NDArray[np.float64], ratio: float, planned: Iterable[int]) -> pd.DataFrame:
    """One row per channel, least important first: `channel`, `score`, `rank`, `cut` (by the ratio), `planned`."""
    order = np.argsort(values, kind="stable")
    count, gone = removed_count(ratio, len(values)), set(planned)
    return pd.DataFrame(
        {
            "channel": order,
            "score": values[order],
            "rank": np.arange(len(values)),
            "cut": np.arange(len(values)) < count,
            "planned": [int(channel) in gone for channel in order],
        }
    )
