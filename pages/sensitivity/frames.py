"""What the page shows of a sweep, as tables. No streamlit, no plotly."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from pages.ui import measured
from pages.ui.language import N_, _
from pruning_core.graph import Network
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.runs.view import JobView
from pruning_core.studies.sensitivity import SensitivityRun

COLUMNS = [
    "group", "ratio", "channels", "removed", "top1", "low", "high", "drop", "drop_low", "drop_high", "within_noise",
    "lost", "gained", "images", "exact", "estimated", "mended", "seconds", "measure",
]  # fmt: skip

JUST_CUT = N_(" (just cut)")  # beside a group that a mended sweep could not mend


@dataclass(frozen=True)
class Baseline:
    """The unpruned network on the same images; the interval is unknown before it was measured in this attempt."""

    top1: float
    low: float
    high: float
    images: int
    measure: str


def newest(view: JobView) -> dict[tuple[str, float], Cell]:
    """The last state of every cell that was measured at all, or estimated from such cells."""
    return {(cell.group, cell.ratio): cell for cell in view.all(Cell)}


def table(cells: Iterable[Cell], network: Network) -> pd.DataFrame:
    """One row per cell, in the order of the network and of the ratios."""
    place = {group.key: (number, group.size) for number, group in enumerate(network.groups)}
    known = sorted((c for c in cells if c.group in place), key=lambda c: (place[c.group][0], c.ratio))
    rows = [
        {**asdict(c), "within_noise": c.within_noise, "estimated": c.estimated, "channels": place[c.group][1]}
        for c in known
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def baseline(view: JobView) -> Baseline | None:
    """From the newest measurement, or, just after a resume, from what the kept cells say of it."""
    found = view.last(Accuracy)
    if found is not None:
        return Baseline(found.top1, found.low, found.high, found.images, found.measure)
    cell = max(newest(view).values(), key=lambda each: each.images, default=None)
    if cell is None or not measured.measure(cell.measure).decides:
        return None
    top1 = cell.top1 + cell.drop
    return Baseline(top1, *_interval(top1, cell.images), cell.images, cell.measure)


def _interval(top1: float, images: int) -> tuple[float, float]:
    from pruning_core.measuring.intervals import wilson

    return wilson(round(top1 * images), images)


def rows(network: Network, spec: SensitivityRun, view: JobView) -> list[str]:
    """The groups of the heatmap: all that may be measured, and once the sweep has ended those that were."""
    wanted = [group.key for group in network.groups if group.exact or spec.approximate]
    if view.active:
        return wanted
    seen = {cell.group for cell in view.all(Cell)}
    return [key for key in wanted if key in seen]


def short(names: Sequence[str], most: int = 28, cut: Collection[str] = ()) -> dict[str, str]:
    """Labels that fit beside a figure: long names lose their middle, never their end; those in `cut` are marked."""
    return {
        name: (name if len(name) <= most else f"{name[:9]}…{name[-(most - 10) :]}")
        + (_(JUST_CUT) if name in cut else "")
        for name in names
    }
