"""The visitor's sensitivity sweeps, for every page that builds on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pages.ui import started
from pages.ui.desk import Desk
from pruning_core.analysis.sensitivity import Fast
from pruning_core.criteria import Criterion
from pruning_core.datasets import DataRef
from pruning_core.measuring.measures import Cell
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.view import JobView
from pruning_core.studies.sensitivity import SensitivityRun

Found = tuple[JobView, SensitivityRun]
Table = Mapping[str, list[tuple[float, float]]]


def judged_on(data: DataRef) -> DataRef:
    """Whoever chooses by looking at accuracy looks at these images, never at the test images."""
    return replace(data, split="held-out")


def sweeps(desk: Desk) -> list[Found]:
    """The visitor's sweeps of the network and data on the desk, newest first, without their events."""
    return started.mine(SensitivityRun, lambda spec: spec.model == desk.model and spec.data == judged_on(desk.data))


def mends(spec: SensitivityRun) -> bool:
    """Whether what reads a group is refitted in its cells."""
    return isinstance(spec.recovery, Mending)


def usable(desk: Desk, criterion: Criterion) -> Found | None:
    """The newest sweep with cells; one made with this criterion goes first."""
    found = [each for each in sweeps(desk) if each[0].count]
    same = [each for each in found if each[1].criterion == criterion]
    return next(iter(same or found), None)


def drops(sweep: JobView | None) -> Table:
    """Group -> (ratio, drop), as the newest state of each cell of a sweep with its events has it."""
    table: dict[str, dict[float, float]] = {}
    for cell in sweep.all(Cell) if sweep else ():
        table.setdefault(cell.group, {})[cell.ratio] = cell.drop
    return {key: sorted(row.items()) for key, row in table.items()}


def source(sweep: Found, criterion: Criterion) -> str:
    """Which sweep drops are from, and what to know about it."""
    view, spec = sweep
    text = f"Drops from the sweep: {label(spec)}, on held-out images."
    if view.active:
        text += " It is still running: what it has measured so far is used."
    if spec.criterion != criterion:
        text += f" It was measured with {spec.criterion.label}; the channels are now chosen by another criterion."
    return text


def label(spec: SensitivityRun, available: int | None = None) -> str:
    """What tells this sweep from another one of the same network; `available`: how many images there are in all."""
    mode = f"fast, ± {100 * spec.mode.tolerance:g} %" if isinstance(spec.mode, Fast) else "exact"
    number = spec.images or available
    images = f"{number:,} images" if number else "all images"
    after = f" · mended on {spec.recovery.looks_at} images" if mends(spec) else ""
    return f"{spec.criterion.label} · {images} · {len(spec.ratios)} ratios · {mode}{after}"
