"""What was started: one run in view, followed while it goes on, and all of them beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.methods import beside, dynamic, frames, labels, sparse
from pages.methods import charts as own
from pages.methods.choose import SHOWN
from pages.ui import (
    cards,
    changes,
    charts,
    jobs,
    latencies,
    links,
    measured,
    numbers,
    plots,
    proofs,
    started,
    state,
)
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import _, said
from pruning_core.methods.base import Goal
from pruning_core.methods.phases import Phase, settings
from pruning_core.runs.view import JobView
from pruning_core.studies.method import MethodRun
from pruning_core.studies.treated import PhaseDone, Treated
from pruning_core.training.config import FineTune
from pruning_core.zoo import ModelRef

POLL_S = 1.5
COUNTED = labels.COUNTED


@dataclass(frozen=True)
class Program:
    """The phases of a run, and the settings of its trainings."""

    phases: tuple[Phase, ...]
    configs: dict[int, FineTune]

    @staticmethod
    def of(spec: MethodRun) -> Program:
        """Raises UserError for a budget out of reach or too few epochs."""
        phases = tuple(spec.method.phases(Goal(state.network(spec.model), spec.budget)))
        return Program(phases, settings(phases, spec.config))


def section(desk: Desk) -> None:
    found = started.mine(MethodRun, lambda spec: spec.model in (desk.model, origin(desk)) and spec.data == desk.data)
    if not found:
        st.caption(
            _("No method has run on this network yet. What it does appears here; it goes on behind other pages.")
        )
        return
    beside.section(found)
    chosen, spec = started.choose(found, _("Run"), labels.run, shown=SHOWN)
    with plain_errors():
        program = Program.of(spec)
        view = jobs.watch(chosen.id, key="methods", draw=lambda view: _live(view, spec, program), poll_s=POLL_S)
        _finish(view, spec, desk)


def origin(desk: Desk) -> ModelRef:
    """The network that the runs in view set out from: the one on the desk, or the one it was cut from here."""
    return desk.model if desk.model.base is None else desk.model.base


# -- one run -----------------------------------------------------------------------------------------------------------


def _live(view: JobView, spec: MethodRun, program: Program) -> None:
    frame = frames.accuracies(view.events, program.configs)
    rows = frames.performed(frames.timeline(program.phases, program.configs), view.events)
    if not frame.empty:
        key = frames.measure_of(view.events)
        figure = charts.lines(
            frame,
            x="epoch",
            y="top1",
            low="low",
            high="high",
            height=300,
            y_percent=bool(measured.ticks(key)),
            x_title=_("Epochs of training"),
            y_title=_("{axis_title}, test images").format(axis_title=measured.axis_title(key)),
            alt=_("Test {named_in} over the epochs of {name}, {written} at the last one.").format(
                named_in=measured.named_in(key),
                name=said(spec.method.card.name),
                written=measured.written(key, float(frame["top1"].iloc[-1])),
            ),
        )
        plots.show(figure, "methods.accuracy")
    seen = frames.watched(program.phases, view.events)
    for start in range(0, len(seen), 2):
        for place, each in zip(st.columns(2), seen[start : start + 2]):
            place.markdown(f"**{said(each.watch.title)}** · {said(each.phase)}")
            plots.show(own.watch(each), f"methods.watch.{each.phase}.{each.watch.key}", place)
    st.dataframe(rows, hide_index=True, key="methods.phases", column_config=frames.done_columns())
    done = view.last(PhaseDone)
    if done is not None:
        gates = [dynamic.counted(done.average, spec.config.seed, view.device.upper())] if done.average else []
        cards.source_line(labels.measured(done.accuracy, view, spec), COUNTED, *gates)


def _finish(view: JobView, spec: MethodRun, desk: Desk) -> None:
    end = view.last(Treated)
    if end is None:
        return
    source, change = labels.measured(end.after.accuracy, view, spec), changes.paired(end.drop)
    places = cards.row(4)
    cards.number(
        said(measured.measure(end.after.accuracy.measure).name),
        measured.value(end.after.accuracy),
        source,
        container=places[0],
        detail=_("95{thin}% interval {bounds}; before: {value}").format(
            thin=numbers.THIN, bounds=measured.bounds(end.after.accuracy), value=measured.value(end.before.accuracy)
        ),
        change=change,
        help=_("The change is paired on the same images: {interval}, {verdict}.").format(
            interval=change.interval, verdict=change.verdict
        ),
    )
    if end.after.sparsity is not None:
        sparse.cards_of(end.after.sparsity, places[1:3])
    elif end.after.average is not None:
        gates = dynamic.counted(end.after.average, spec.config.seed, view.device.upper())
        dynamic.cards_of(end.before, end.after, gates, places[1:3])
    else:
        for place, name, old, new in (
            (places[1], "MACs", end.before.cost.macs, end.after.cost.macs),
            (places[2], _("Parameters"), end.before.cost.parameters, end.after.cost.parameters),
        ):
            cards.number(
                name, numbers.count(new), COUNTED, container=place,
                detail=_("of {whole}").format(whole=numbers.count(old)),
                delta=None if old == new else numbers.percent(new / max(old, 1) - 1), delta_color="inverse",
            )  # fmt: skip
    latencies.card(_("Latency"), end.after.latency, end.before.latency, places[3])
    if end.after.sparsity is not None:
        sparse.explain(end.before, end.after)
    if end.after.average is not None:
        dynamic.explain(end.before, end.after)
    cut = _("Right after the last cut it had {value}. ").format(value=measured.value(end.cut)) if end.cut else ""
    st.caption(
        _("{cut}{images:,} training images seen (repeated ones each time), {duration} in all, seeds {value}.").format(
            cut=cut,
            images=end.images,
            duration=numbers.duration(end.seconds),
            value=", ".join(str(seed) for seed in end.seeds) or "–",
        )
    )
    if end.proof is not None:
        proofs.show(end.proof, _("images that it was fitted on"))
    if end.after.average is not None:
        dynamic.images(end.model, spec.data, end.before.cost.macs)
    if desk.model == end.model:
        st.success(_("This network is on the desk."), icon=":material/check:")
        links.to_fine_tune()
        links.to_download()
    elif st.button(_("Keep this network"), key="methods.keep", icon=":material/check:", wrap=True):
        state.choose_model(end.model)
        st.rerun()
