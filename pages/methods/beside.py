"""All runs of one network beside each other: a table, and the accuracies against what chance reaches."""

from __future__ import annotations

import streamlit as st

from pages.methods import chance, charts, dynamic, frames, gate_charts, labels, sparse
from pages.methods.charts import Point
from pages.ui import cards, changes, jobs, measured, numbers, plots, standing
from pages.ui.language import N_, _
from pruning_core.runs.view import JobView
from pruning_core.studies.method import MethodRun
from pruning_core.studies.treated import Treated

POLL_S = 1.5
COUNTED = labels.COUNTED
BAND = N_(
    "Bars are 95 % intervals of these test images. The grey band is what cuts by chance reached with the same "
    "training, from the lowest to the highest of the seeds: a method inside it has not been told from chance."
)
NO_BAND = N_(
    "Bars are 95 % intervals of these test images. No cut by chance has run yet, so nothing says what chance reaches."
)


def section(found: list[tuple[JobView, MethodRun]]) -> None:
    """One row for every run of this network and data, those still waiting too."""
    if len(found) < 2:
        return
    st.subheader(_("Beside each other"))
    several = len({spec.model for _, spec in found}) > 1

    def draw(views: tuple[JobView, ...]) -> None:
        rows = [_row(view, spec, several) for view, (_, spec) in zip(views, found)]
        st.dataframe(
            rows,
            hide_index=True,
            key="methods.matrix",
            column_config={
                "method": st.column_config.TextColumn(_("Method"), pinned=True, width="medium"),
                "began": st.column_config.TextColumn(
                    _("Began with"), help=_("What the network was; its budget is of that.")
                ),
                "budget": _("Budget"),
                "state": _("State"),
                "before": st.column_config.TextColumn(_("Before"), help=_("On the test images: what it began with.")),
                "cut": st.column_config.TextColumn(_("After the last cut")),
                "after": st.column_config.TextColumn(
                    _("In the end"), help=_("On the test images, with its 95 % interval."), width="medium"
                ),
                "change": st.column_config.TextColumn(
                    _("Change"), help=_("Against before; paired, on the same images."), width="medium"
                ),
                "macs": "MACs",
                "parameters": _("Parameters"),
                "left": st.column_config.TextColumn(
                    _("Weights not zero"), help=_("Of the layers that multiply, where a method sets weights to zero.")
                ),
                "latency": st.column_config.TextColumn(_("Latency"), help=_("One image at a time, median.")),
                "seconds": _("Time"),
            },
        )

    views = jobs.follow([view.id for view, _ in found], draw, key="methods.all", poll_s=POLL_S)
    ends = [(end, view, spec) for view, (_, spec) in zip(views, found) if (end := view.last(Treated))]
    if not ends:
        return
    gates = (
        dynamic.counted(end.after.average, spec.config.seed, view.device.upper())
        for end, view, spec in ends
        if end.after.average
    )
    cards.source_line(*(labels.measured(end.after.accuracy, view, spec) for end, view, spec in ends), COUNTED, *gates)
    if len(ends) > 1:
        points = [Point(labels.run(spec), chance.is_one(spec.method), end.after.accuracy) for end, _, spec in ends]
        plots.show(charts.beside(points), "methods.beside")
        st.caption(_(BAND if any(point.chance for point in points) else NO_BAND))
    if any(end.after.average for end, _, _ in ends):
        plots.show(gate_charts.against_macs([_reached(end, spec) for end, _, spec in ends]), "methods.against")
        st.caption(
            _(
                "MACs of an image: the mean over test images where gates open image by image, counted "
                "while they ran; else "
                "the same for every image. Zeros inside weights are not left out of them."
            )
        )


def _reached(end: Treated, spec: MethodRun) -> gate_charts.Reached:
    after, average = end.after.accuracy, end.after.average
    macs = float(end.after.cost.macs) if average is None else average.mean
    return gate_charts.Reached(
        labels.run(spec), macs, after.top1, after.low, after.high, average is not None, after.measure
    )


def _row(view: JobView, spec: MethodRun, several: bool) -> dict[str, str]:
    """`several`: they did not all begin with the same network."""
    end = view.last(Treated)
    row = {
        "method": chance.title(spec.method),
        **({"began": _(standing.made(spec.model))} if several else {}),
        "budget": _("{budget}, {epochs} epochs").format(budget=labels.budget(spec), epochs=spec.config.epochs),
        "state": _(jobs.LOOKS[view.state][2]) if not view.active else jobs.advance(view).text,
    }
    if end is None:
        return row | dict.fromkeys(
            ("before", "cut", "after", "change", "macs", "parameters", "left", "latency", "seconds"), frames.NOT_YET
        )
    after = end.after.accuracy
    return row | {
        "before": measured.value(end.before.accuracy),
        "cut": measured.value(end.cut) if end.cut else frames.NOT_YET,
        "after": measured.text(after),
        "change": changes.paired(end.drop).text,
        "macs": dynamic.text(end.after.average, end.after.cost.macs),
        "parameters": f"{end.after.cost.parameters:,}",
        "left": sparse.left(end.after.sparsity),
        "latency": numbers.milliseconds(end.after.latency.median_ms),
        "seconds": numbers.duration(end.seconds),
    }
