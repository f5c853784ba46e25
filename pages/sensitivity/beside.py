"""The same sweep the other way: what just cutting leaves beside what mending does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from pages.sensitivity import frames, gains
from pages.ui import measured, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _
from pages.ui.sweeps import mends, sweeps
from pruning_core.graph import Network
from pruning_core.measuring.measures import Cell
from pruning_core.studies.sensitivity import SensitivityRun

CUT, MENDED = N_("Just cut"), N_("Mended")
Cells = Mapping[tuple[str, float], Cell]


def way(spec: SensitivityRun) -> str:
    return MENDED if mends(spec) else CUT


@dataclass(frozen=True)
class Other:
    """A sweep that differs from the one in view in whether it mends, and in nothing else."""

    way: str
    cells: Cells


def other(desk: Desk, spec: SensitivityRun) -> Other | None:
    """The visitor's newest one that has cells."""
    for view, each in sweeps(desk):
        if view.count and mends(each) != mends(spec) and replace(each, recovery=spec.recovery) == spec:
            return Other(way(each), frames.newest(state.jobs().snapshot(view.id)))
    return None


def sentence(spec: SensitivityRun, cell: Cell, beside: Other | None) -> str:
    """What the same channels leave the other way."""
    mine = way(spec)
    if mends(spec) and not cell.mended:
        return _(
            "Just cut: none of the layers that read this group can be refitted; the reason stands below the heatmap."
        )
    found = beside.cells.get((cell.group, cell.ratio)) if beside else None
    if beside is None or found is None:
        missing = CUT if mine == MENDED else MENDED
        return _("Start the same sweep as **{missing}** to see both numbers here.").format(missing=_(missing))
    text = measured.text(found)
    guess = _(", estimated") if found.estimated else _(" on {images:,} images").format(images=found.images)
    gain = cell.top1 - found.top1 if mine == MENDED else found.top1 - cell.top1
    gained = measured.difference(cell.measure, gain)
    return _("**{way}**, the same channels leave {text}{guess}. Mending brings {gained}.").format(
        way=_(beside.way), text=text, guess=guess, gained=gained
    )


def gained(spec: SensitivityRun, cells: Cells, found: Other, network: Network) -> pd.DataFrame:
    """Rows of `gains.table`, whichever of both sweeps is in view."""
    cut, mended = (found.cells, cells) if mends(spec) else (cells, found.cells)
    return gains.table(cut, mended, network)


def only_cut(spec: SensitivityRun, cells: Collection[Cell]) -> frozenset[str]:
    """Groups of a mended sweep where nothing was refitted."""
    if not mends(spec):
        return frozenset()
    cut = {cell.group for cell in cells if cell.removed and not cell.mended}
    return frozenset(cut)
