"""The visitor's sensitivity sweeps, for every page that builds on them."""

from __future__ import annotations

from dataclasses import replace

from pages.ui import started
from pages.ui.desk import Desk
from pruning_core.analysis.sensitivity import Fast
from pruning_core.criteria import Criterion
from pruning_core.datasets import DataRef
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.view import JobView
from pruning_core.studies.sensitivity import SensitivityRun

Found = tuple[JobView, SensitivityRun]


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


def label(spec: SensitivityRun, available: int | None = None) -> str:
    """What tells this sweep from another one of the same network; `available`: how many images there are in all."""
    mode = f"fast, ± {100 * spec.mode.tolerance:g} points" if isinstance(spec.mode, Fast) else "exact"
    number = spec.images or available
    images = f"{number:,} images" if number else "all images"
    after = f" · mended on {spec.recovery.looks_at} images" if mends(spec) else ""
    return f"{spec.criterion.label} · {images} · {len(spec.ratios)} ratios · {mode}{after}"
