"""The visitor's sensitivity sweeps, for every page that builds on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pages.ui import started
from pages.ui.desk import Desk
from pages.ui.held_out import looked_at
from pages.ui.language import _, said
from pruning_core.analysis.sensitivity import Fast
from pruning_core.criteria import Criterion
from pruning_core.datasets import DataRef
from pruning_core.measuring.measures import Accuracy, Cell
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


def shares(sweep: JobView | None) -> Table:
    """The same as shares of the difference that counts as a whole by what was measured: tolerances are such shares."""
    known = sweep.last(Accuracy) if sweep else None
    whole = known.whole if known else 1.0
    return {key: [(ratio, drop / whole) for ratio, drop in row] for key, row in drops(sweep).items()}


def source(sweep: Found, criterion: Criterion) -> str:
    """Which sweep drops are from, and what to know about it."""
    view, spec = sweep
    text = _("Drops from the sweep: {sweep}, on held-out images.").format(sweep=label(spec))
    if view.active:
        text += " " + _("It is still running: what it has measured so far is used.")
    if spec.criterion != criterion:
        text += " " + _("It was measured with {criterion}; the channels are now chosen by another criterion.").format(
            criterion=said(spec.criterion.label)
        )
    return text


def label(spec: SensitivityRun, available: int | None = None) -> str:
    """What tells this sweep from another one of the same network; `available`: how many images there are in all."""
    mode = _("fast, ± {n:g} %").format(n=100 * spec.mode.tolerance) if isinstance(spec.mode, Fast) else _("exact")
    number = spec.images or available
    images = _("{n:,} images").format(n=number) if number else _("all images")
    seen = looked_at(spec.recovery, spec.data)
    after = " · " + _("mended on {n} images").format(n=seen) if mends(spec) else ""
    return (
        _("{criterion} · {images} · {n} ratios · {mode}").format(
            criterion=said(spec.criterion.label), images=images, n=len(spec.ratios), mode=mode
        )
        + after
    )
