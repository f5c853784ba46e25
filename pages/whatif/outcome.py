"""The run that applies the plan on the desk, and what it ended with."""

from __future__ import annotations

from dataclasses import replace

from pages.ui import provenance, recovery, state
from pages.ui.desk import Desk
from pruning_core.measuring.measures import Accuracy
from pruning_core.runs.view import JobView
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned


def applied_by(desk: Desk) -> PruneRun:
    """Judged on the test images, which no choice has looked at."""
    data = replace(desk.data, split="test")
    return PruneRun(model=desk.model, data=data, plan=desk.plan.to_json(), recovery=recovery.now())


def measured(desk: Desk) -> tuple[JobView, Pruned] | None:
    """What applying this very plan measured; None when it was not applied (to its end)."""
    view = state.jobs().find(applied_by(desk)) if desk.plan else None
    found = view.last(Pruned) if view else None
    return (view, found) if view and found else None


def source(view: JobView, accuracy: Accuracy) -> provenance.Provenance:
    return provenance.measured(
        accuracy.dataset, images=accuracy.images, device=view.device.upper(), note="Top-1, without fine-tuning."
    )
