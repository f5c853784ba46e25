"""The whole network under many conditions: what is asked for, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.latency import charts, devices
from pages.ui import cards, jobs, latencies, numbers, plots, provenance, started, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pages.ui.literal import literal
from pruning_core.graph import Network
from pruning_core.measuring.measures import Latency
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import JobView
from pruning_core.studies.conditions import BATCHES, Condition, ConditionsRun
from pruning_core.zoo import ModelRef

SHOWN = "latency.conditions.shown"
COMPILE_HELP = N_(
    "Compiles the network for every batch and number of threads first, which takes seconds to minutes each and calls a "
    "C++ compiler. Compiling is not in the latency."
)


def section(desk: Desk, network: Network) -> None:
    model, other = pair(desk)
    if other is None:
        st.markdown(_("Make a plan on What-if, and it is timed beside the network as it is."))
    else:
        st.markdown(_("The smaller network and the one it is made from, in turns."))
    run = _choose(model, other)
    started.button(run, _("timing"), key="latency.conditions.start", shown=SHOWN, forget="latency.conditions.none")
    found = started.mine(ConditionsRun, lambda spec: (spec.model, spec.other) == (model, other))
    if not found:
        return
    view, _spec = started.choose(found, _("Timing"), _label, shown=SHOWN)
    left = _macs_left(desk, network)
    jobs.watch(view.id, key="latency.conditions", draw=lambda seen: _result(seen, left))


def pair(desk: Desk) -> tuple[ModelRef, ModelRef | None]:
    """What is timed, and what it is held against: the plan's network and the desk's, or the desk's and its origin."""
    if desk.plan:
        size = desk.model.input_size
        cut = ModelRef("pruned", desk.model.name, input_size=size, base=desk.model, plan=desk.plan.to_json())
        return cut, desk.model
    return desk.model, desk.model.base


def _macs_left(desk: Desk, network: Network) -> float | None:
    if desk.plan:
        return network.cost(desk.plan).macs / max(1, network.cost().macs)
    if desk.model.base is not None:
        return network.cost().macs / max(1, state.network(desk.model.base).cost().macs)
    return None


def _choose(model: ModelRef, other: ModelRef | None) -> RunSpec:
    left, middle, right = st.columns([3, 3, 2], gap="medium")
    batches = left.pills(
        _("Images in a pass"), (1, 2, 4, 8, 16, 32, 64, 128), default=BATCHES, selection_mode="multi",
        key="latency.batches", wrap=True,
    )  # fmt: skip
    with right:
        device = devices.choose("latency.conditions.device")
        compiles = st.toggle(
            _("Also as torch.compile makes it"), key="latency.compile", help=_(COMPILE_HELP), wrap=True
        )
    threads: Sequence[int] = (1,)
    if device == "cpu":
        most = os.cpu_count() or 1
        there = tuple(sorted({1, *(n for n in (2, 4, 8, 16, 32) if n < most), most}))
        threads = middle.pills(
            _("Threads"), there, default=there, selection_mode="multi", key="latency.threads", wrap=True
        )  # fmt: skip
    return ConditionsRun(
        model, other, tuple(sorted(batches)) or BATCHES, tuple(sorted(threads)) or (1,),
        (False, True) if compiles else (False,), device=device,
    )  # fmt: skip


def _label(spec: ConditionsRun) -> str:
    batches, threads = (", ".join(map(str, each)) for each in (spec.batches, spec.threads))
    return _("batches of {batches}; threads {threads}; {device}").format(
        batches=batches, threads=threads, device=spec.device
    ) + (_("; compiled too") if any(spec.compiles) else "")


def _result(view: JobView, left: float | None) -> None:
    found = view.all(Condition)
    timed = [each for each in found if each.latency is not None]
    if timed:
        plots.show(charts.conditions(timed), "latency.conditions.chart")
        if any(latencies.loose(each.latency) for each in timed if each.latency):
            st.caption(_("Open marks: passes lie too far apart to tell. Something else is at work on this machine."))
        st.dataframe(frame(timed), hide_index=True)
    for reason in dict.fromkeys(each.refused for each in found if each.refused):
        st.warning(literal(said(reason)), icon=":material/warning:")
    flat = [each for each in timed if gain(each) in (SAME, SLOWER)]
    if flat and left is not None and left < 1:
        st.warning(
            _(
                "{percent} of the MACs are gone, and under {n} of {n_2} conditions the smaller network is "
                "not faster beyond the measured noise."
            ).format(percent=numbers.percent(1 - left, 0), n=len(flat), n_2=len(timed)),
            icon=":material/warning:",
        )
    if timed and (latency := timed[0].latency) is not None:
        cards.source_line(
            provenance.measured(
                _("random images, {runs} passes of each, in turns").format(runs=latency.runs), device=latency.device,
                note=_("Medians; bars from the 10th to the 90th percentile."),
            )
        )  # fmt: skip


SAME, SLOWER, FASTER = N_("no difference can be told"), N_("slower"), N_("faster")


def gain(each: Condition) -> str:
    """How the smaller network does; "" where it is held against none."""
    if each.latency is None or each.other is None:
        return ""
    if latencies.loose(each.latency) or latencies.loose(each.other):
        return latencies.TOO_NOISY
    if latencies.indistinct(each.other, each.latency):
        return SAME
    return FASTER if each.latency.median_ms < each.other.median_ms else SLOWER


def frame(timed: Sequence[Condition]) -> pd.DataFrame:
    """One row per condition; times in ms."""
    rows = []
    for each in timed:
        assert each.latency is not None
        quick = 1000 * each.batch_size / each.latency.median_ms
        row: dict[str, object] = {
            _("Images"): each.batch_size, _("Threads"): each.threads, _("Way"): charts.way(each.compile),
            _("Time"): _told(each.latency),
            _("10th to 90th percentile"): f"{each.latency.p10_ms:.3g}–{each.latency.p90_ms:.3g} ms",
            _("Images a second"): _(latencies.TOO_NOISY) if latencies.loose(each.latency) else numbers.count(quick),
        }  # fmt: skip
        if each.other is not None:
            row[_("Before")] = _told(each.other)
            verdict = gain(each)
            times = "" if verdict == latencies.TOO_NOISY else f"{each.other.median_ms / each.latency.median_ms:.2f}×, "
            row[_("Against before")] = times + _(verdict)
        rows.append(row)
    return pd.DataFrame(rows)


def _told(each: Latency) -> str:
    return _(latencies.TOO_NOISY) if latencies.loose(each) else numbers.milliseconds(each.median_ms)
