"""The parts of the page, from top to bottom."""

from __future__ import annotations

from typing import Literal

import streamlit as st
import torch

from pages.sensitivity import beside, charts, details, frames, gains, parts, settings
from pages.ui import cards, jobs, measured, numbers, outbox, plots, provenance, started, state
from pages.ui.bench import Bench
from pages.ui.held_out import looked_at
from pages.ui.language import N_, _, said
from pages.ui.literal import literal, named
from pages.ui.spreadsheet import csv_bytes
from pages.ui.sweeps import drops, label, sweeps
from pruning_core.allocation.by_sensitivity import drop_at
from pruning_core.analysis.sensitivity import Fast
from pruning_core.apart import household
from pruning_core.errors import clip
from pruning_core.export.node_data import node_data
from pruning_core.export.traced import trace
from pruning_core.graph import Network
from pruning_core.measuring.measures import TOP1
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.events import Stage
from pruning_core.runs.view import JobView
from pruning_core.studies.sensitivity import PARTLY, PLAIN, SensitivityRun

MAP_HEIGHT = 720
SHOWN = "sensitivity.run"
CELL = "sensitivity.cell"
_SHOWN = {
    beside.CUT: N_("**Just cut**: the channels are gone, every weight that is left stays as it was."),
    beside.MENDED: N_(
        "**Mended**: the channels are gone, and the layers that read the group are refitted, each by "
        "itself. Where nearly all go, What-if can keep more: it refits them in turn, and moves every batch norm."
    ),
}
HALF = 0.5  # the share removed that Model Explorer is told of
LOST, BRINGS = N_("What is lost"), N_("What mending brings")
_BRINGS = N_(
    "**Mended less just cut**: two sweeps of the same network, images and channels. Numbers and colours: how much "
    "better the refitted network is, in the unit of the other heatmap. Hatched: the difference cannot be told from "
    "zero. Its interval is taken as if both had seen other images, and so is too wide."
)
POLL_S = 1.0  # a heatmap that changes is drawn anew, so not more often than one can look


def introduction(bench: Bench) -> None:
    st.markdown(
        _(
            "What is left of **{title}** when one group of channels loses a share of them and everything "
            "else stays, or, mended, when the layers that read the group are refitted. Measured on the "
            "**{available:,} held-out images** of {name}: a part of the training data that is set apart "
            "for such choices. The test images stay unseen until a plan is applied."
        ).format(title=named(bench.model.title), available=bench.available, name=named(bench.desk.data.name))
    )


def start(bench: Bench) -> None:
    spec = settings.ask(bench.desk, bench.network, bench.available)
    started.button(spec, _("sweep"), key="sensitivity.start", shown=SHOWN, forget=CELL)


def results(bench: Bench) -> None:
    network = bench.network
    found = sweeps(bench.desk)
    if not found:
        st.info(
            _(
                "Nothing is measured yet. A sweep fills a heatmap of {n} groups by ratios while one watches; "
                "it can be stopped and goes on where it stopped."
            ).format(n=len(network.groups)),
            icon=":material/grid_on:",
        )
        return
    view, spec = started.choose(found, _("Sweep shown"), lambda each: label(each, bench.available), shown=SHOWN)

    def draw(now: JobView) -> None:
        _heatmap(now, spec, network)

    ended = jobs.watch(view.id, key="sensitivity", draw=draw, poll_s=POLL_S)
    if not ended.active:
        _table(ended, spec, network)


def _heatmap(view: JobView, spec: SensitivityRun, network: Network) -> None:
    cells = frames.newest(view)
    base = frames.baseline(view)
    groups = frames.rows(network, spec, view)
    if not groups or base is None:
        st.caption(_("The first cells appear as soon as the first images are through the network."))
        return
    ratios = list(spec.ratios)
    chosen = st.session_state.get(CELL)
    found = beside.other(state.desk(), spec)
    left, right = st.columns([3, 2], gap="medium")
    labels = frames.short(groups, cut=beside.only_cut(spec, cells.values()))
    with left:
        brings = found is not None and _view() == BRINGS
        if found is not None and brings:
            rows = beside.gained(spec, cells, found, network)
            figure = gains.heatmap(
                rows, groups=groups, ratios=ratios, measure=base.measure, labels=labels, selected=chosen
            )
        else:
            figure = charts.heatmap(
                frames.table(cells.values(), network),
                groups=groups,
                ratios=ratios,
                baseline=base.top1,
                measure=base.measure,
                labels=labels,
                selected=chosen,
            )
        height: int | Literal["content"] = MAP_HEIGHT if figure.layout.height > MAP_HEIGHT else "content"
        with st.container(height=height, border=True):
            clicked = plots.pick(figure, "sensitivity.gains" if brings else "sensitivity.heatmap", parts.CELLS)
        lost = _("{shown} Numbers and colours: {colours}").format(
            shown=_(_SHOWN[beside.way(spec)]), colours=_colours(base.measure)
        )
        st.caption(_(_BRINGS) if brings else lost)
        cards.source_line(source(view, spec, base.images))
        _left_out(view)
    if clicked is not None:
        st.session_state[CELL] = charts.cell_at(int(clicked["point_index"]), groups, ratios)
        st.rerun()
    with right:
        details.show(view, spec, network, base, cells, chosen, found)


def _view() -> str:
    """Which of two heatmaps, where the same sweep is there both ways."""
    chosen = st.segmented_control(
        _("Heatmap"), (LOST, BRINGS), default=LOST, required=True, key="sensitivity.view", persist_state="session",
        format_func=_,
        help=_("The same sweep is there just cut and mended."), wrap=True,
    )  # fmt: skip
    return str(chosen or LOST)


def _colours(key: str) -> str:
    found = measured.measure(key)
    if key == TOP1:
        return _("accuracy lost, in percentage points.")
    unit = {"share": _(", in percentage points"), "dB": _(", in decibels")}.get(found.unit, "")
    return _("how much worse it is by {lower}{unit}. That is the {says}; {way}.").format(
        lower=measured.named_in(key), unit=unit, says=said(found.says), way=measured.way(key)
    )


def source(view: JobView, spec: SensitivityRun, images: int) -> provenance.Provenance:
    """Where every number of this sweep comes from."""
    mode = (
        _(
            "Fast mode: a cell stops once the interval of its drop is within ± {tolerance:g} points, and "
            "may be computed at lower precision; cells with a ≈ are estimated between two measured ones "
            "that lose about the same."
        ).format(tolerance=100 * spec.mode.tolerance)
        if isinstance(spec.mode, Fast)
        else _("Exact mode: predictions are those of the really smaller network.")
    )
    return provenance.measured(
        _("{name}, held-out images").format(name=spec.data.name),
        images=images,
        device=view.device.upper(),
        seed=spec.seed,
        note=_("Channels ranked by {label}. {mode}{fitted} Intervals are 95 %.").format(
            label=said(spec.criterion.label), mode=mode, fitted=_fitted(spec)
        ),
    )


def _fitted(spec: SensitivityRun) -> str:
    after = spec.recovery
    if not isinstance(after, Mending):
        return ""
    return _(
        " Mended: each layer that reads the group refitted by itself, by least squares on {looks_at} "
        "images of the training part (at most {positions} positions each); the batch norm right "
        "behind moves along."
    ).format(looks_at=looked_at(after, spec.data), positions=after.positions)


def _left_out(view: JobView) -> None:
    for stage in view.all(Stage):
        if any(words in stage.text for words in ("left out", PLAIN, PARTLY)):
            st.caption(f":material/info: {literal(clip(said(stage.text), 400))}")


def _table(view: JobView, spec: SensitivityRun, network: Network) -> None:
    frame = frames.table(frames.newest(view).values(), network)
    if frame.empty:
        return
    total = len(frames.rows(network, spec, view)) * len(spec.ratios)
    measure = measured.measure(str(frame["measure"].iloc[0]))
    number = "percent" if measure.unit == "share" else "%.4g"
    with st.expander(_("All {n} cells as a table").format(n=len(frame)), icon=":material/table:"):
        st.dataframe(
            frame,
            hide_index=True,
            height=min(420, 38 + 35 * len(frame)),
            column_config={
                "group": st.column_config.TextColumn(_("Group"), pinned=True),
                "ratio": st.column_config.NumberColumn(_("Ratio"), format="percent"),
                "channels": _("Channels"),
                "removed": _("Removed"),
                "top1": st.column_config.NumberColumn(said(measure.name), format=number),
                "low": st.column_config.NumberColumn(_("from"), format=number, help=_("95 % interval of the value")),
                "high": st.column_config.NumberColumn(_("to"), format=number),
                "drop": st.column_config.NumberColumn(
                    _("Lost"), format=number, help=_("Worse by so much: {says}").format(says=said(measure.says))
                ),
                "drop_low": st.column_config.NumberColumn(
                    _("from"), format=number, help=_("95 % interval of what is lost")
                ),
                "drop_high": st.column_config.NumberColumn(_("to"), format=number),
                "measure": None,
                "within_noise": _("Inside the noise"),
                "lost": _("Right before, wrong after") if measure.decides else None,
                "gained": _("Wrong before, right after") if measure.decides else None,
                "images": _("Images"),
                "exact": _("All images"),
                "estimated": st.column_config.CheckboxColumn(
                    _("Estimated"), help=_("From measured cells of the same group")
                ),
                "mended": st.column_config.CheckboxColumn(
                    _("Mended"), help=_("The layers that read the group were refitted")
                ),
                "seconds": st.column_config.NumberColumn(_("Seconds"), format="%.3f"),
            },
        )
    name = f"sensitivity_{spec.model.name}_{spec.criterion.card.key}.csv"
    outbox.button(
        outbox.stored(csv_bytes(frame), name, "text/csv"),
        key="sensitivity.csv",
        label=_("Download the table ({count} of {count_2} cells, CSV)").format(
            count=numbers.count(len(frame)), count_2=numbers.count(max(total, len(frame)))
        ),
    )
    _node_data(view, spec, network)


def _node_data(view: JobView, spec: SensitivityRun, network: Network) -> None:
    if household.far(spec.model, state.workspace()):
        return  # its program does not run in this process, so nobody here knows the names in the exported file

    values = {key: drop_at(tuple(curve), HALF) for key, curve in drops(view).items()}

    def written() -> str:
        loaded = state.loaded(spec.model)
        program = trace(loaded.model, torch.zeros(1, *loaded.input_size)).program
        return node_data(program, network, values)

    what, name = f"{view.id} {values}", f"sensitivity_{spec.model.name}.json"
    outbox.button(
        outbox.Written(what, name, "application/json", written),
        key="sensitivity.node_data",
        label=_("Download for Model Explorer (node data, JSON)"),
    )
    st.caption(
        _(
            "For Model Explorer: what is lost where a group alone loses half of its channels, for every operator that "
            "makes them. Open it in Google's Model Explorer beside the exported program (.pt2) of this very network, "
            "from Download."
        )
    )
