"""The numbers that go with the files: cards on the page, and the same figures in the plan."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.download import files
from pages.ui import cards, changes, jobs, measured, numbers, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.literal import literal
from pruning_core.errors import UserError
from pruning_core.export.document import Figure
from pruning_core.export.lineage import Cut
from pruning_core.measuring.measures import Accuracy, Latency
from pruning_core.runs.view import JobView
from pruning_core.studies.measure import EvaluateRun, LatencyRun
from pruning_core.zoo import ModelRef


def figures_of(desk: Desk, cut: Cut) -> tuple[Figure, ...]:
    """Cards with what is known of it, measured now where it was not; the same numbers go into the plan."""
    pair = (cut.base.ref, desk.model)
    before, after = cut.network.cost(), cut.network.cost(cut.plan)
    counted = provenance.derived(_("counted in the captured network, exactly"))

    judged = _("Top-1 accuracy")

    def row(views: tuple[JobView, ...]) -> None:
        places = cards.row(4)
        _accuracy(judged, views, places[0])
        for place, label, first, last in (
            (places[1], _("Parameters"), before.parameters, after.parameters),
            (places[2], "MACs", before.macs, after.macs),
        ):
            cards.number(
                label, numbers.count(last), counted, detail=_fold(first, last, _("{fold} fewer")), container=place
            )
        smaller = _fold(before.size_bytes, after.size_bytes, _("{fold} smaller"))
        cards.number(_("Size"), numbers.size_bytes(after.size_bytes), counted, detail=smaller, container=places[3])
        jobs.faults(views, key="download.figures")

    try:
        judged = said(measured.of_desk(desk).title)
        ids = [state.jobs().submit(EvaluateRun(ref, desk.data), state.owner()) for ref in pair]
    except UserError as error:
        st.caption(_("No accuracy goes with these files: {error}").format(error=literal(said(str(error)))))
        row(())
        return ()
    views = jobs.follow(ids, row, key="download.figures")
    found = [view.last(Accuracy) for view in views]
    called = state.splits(desk.data)[1].called
    accuracy = files.accuracy_figure(found[0], found[1], f"{views[1].device.upper()}, seed 0", called)
    latency = files.latency_figure(*(_latency(ref) for ref in pair))
    return tuple(figure for figure in (accuracy, latency) if figure is not None)


def _fold(first: float, last: float, less: str) -> str:
    return _("as before") if first == last else less.format(fold=numbers.fold(first, last))


def _accuracy(label: str, views: tuple[JobView, ...], place: Any) -> None:
    if not views:
        cards.pending(label, _("the data does not fit"), container=place)
        return
    found = [view.last(Accuracy) for view in views]
    before, after = found
    if after is None:
        cards.pending(label, jobs.waiting(views[1]), container=place)
        return
    source = provenance.measured(after.dataset, images=after.images, device=views[1].device.upper())
    change = changes.unpaired(before, after) if before and before.complete and after.complete else None
    cards.number(label, measured.value(after), source, detail=measured.bounds(after), change=change, container=place)


def _latency(ref: ModelRef) -> Latency | None:
    """Only where the Model page has measured it."""
    view = state.jobs().find(LatencyRun(ref))
    return view.last(Latency) if view is not None else None
