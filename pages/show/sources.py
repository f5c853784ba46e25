"""Where the sizes of a network on this page come from, when they are measured here."""

from __future__ import annotations

from pages.ui import held_out, made, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.sizes import Sizes
from pruning_core.runs.view import JobView
from pruning_core.studies.front import FrontPoint, FrontRun


def front(desk: Desk) -> FrontRun:
    return FrontRun(desk.model, made.tested(desk.model, desk.data))


def measured(run: FrontRun, view: JobView) -> Sizes | None:
    """What a run has found so far; None before there is anything to compare."""
    points = view.all(FrontPoint)
    if len(points) < 2:
        return None
    classes = state.loaded(run.model).num_classes
    found = [made.size_of(each.model, each.share, each.cost, each.answered, each.latency, each.drop, each.plan, classes)
             for each in points]  # fmt: skip
    how = _(
        "channels ranked by {criterion}, the same share of every layer, then {recovery} on {n} images of the "
        "training part"
    ).format(
        criterion=said(run.criterion.label),
        recovery=said(run.recovery.card.name),
        n=held_out.looked_at(run.recovery, run.data),
    )
    return made.beside(run.model, found, view.device, how)
