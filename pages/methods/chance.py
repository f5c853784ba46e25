"""Cuts by chance, which a method must beat, and how long runs take."""

from __future__ import annotations

import statistics

from pages.ui import started, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pruning_core.criteria import Random
from pruning_core.methods.base import Method
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.studies.method import MethodRun
from pruning_core.studies.treated import Treated

SEEDS = 3


def controls() -> list[Method]:
    return [CutAndTrain(criterion=Random(seed=seed)) for seed in range(SEEDS)]


def is_one(method: Method) -> bool:
    return isinstance(method, CutAndTrain) and isinstance(method.criterion, Random)


def title(method: Method) -> str:
    return _("Cut by chance, then train") if is_one(method) else said(method.card.name)


def seconds_per_epoch(desk: Desk) -> float | None:
    """The median over the visitor's finished runs of this network and data; None before there is one."""
    found = started.mine(MethodRun, lambda spec: (spec.model, spec.data) == (desk.model, desk.data))
    ends = [(state.jobs().snapshot(view.id).last(Treated), spec) for view, spec in found]
    paces = [end.seconds / spec.config.epochs for end, spec in ends if end is not None]
    return statistics.median(paces) if paces else None
