"""The parts of the page, from top to bottom."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from pages.sensitivity import charts, details, frames
from pages.ui import cards, jobs, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.sweeps import Found, label, sweeps
from pruning_core.analysis.sensitivity import Fast
from pruning_core.graph import Network
from pruning_core.runs.events import Stage
from pruning_core.runs.sensitivity import SensitivityRun
from pruning_core.runs.view import JobView, State
from pruning_core.zoo import LoadedModel

MAP_HEIGHT = 720
SHOWN = "sensitivity.run"
CELL = "sensitivity.cell"
POLL_S = 1.0  # a heatmap that changes is drawn anew, so not more often than one can look


def introduction(desk: Desk, model: LoadedModel, available: int) -> None:
    st.markdown(
        f"How much accuracy **{model.title}** keeps when one group of channels loses a share of them and everything "
        f"else stays. Measured on the **{available:,} held-out images** of {desk.data.name}: a part of the "
        "training data that is set apart for such choices. The test images stay unseen until a plan is applied."
    )
    if not model.trained:
        st.warning(
            "This network is untrained: its accuracy is chance, so no drop means anything.",
            icon=":material/warning:",
        )


def start(spec: SensitivityRun) -> None:
    """The button. The same settings are the same run: a finished one is shown, a stopped one goes on."""
    known = state.jobs().find(spec)
    if known is None:
        words = "Start the sweep"
    elif known.active:
        words = "This sweep is running"
    else:
        words = "Show this sweep" if known.state is State.DONE else "Go on with this sweep"
    shown = known is not None and known.id == st.session_state.get(SHOWN)
    if st.button(
        words,
        type="primary",
        icon=":material/play_arrow:",
        key="sensitivity.start",
        disabled=shown and known is not None and (known.active or known.state is State.DONE),
    ):
        st.session_state[SHOWN] = state.jobs().submit(spec, state.owner())
        st.session_state.pop(CELL, None)
        st.rerun()


def results(desk: Desk, network: Network, available: int) -> None:
    """The sweep that was started last, also after a reload, or the one chosen among earlier ones."""
    found = sweeps(desk)
    if not found:
        st.info(
            f"Nothing is measured yet. A sweep fills a heatmap of {len(network.groups)} groups by ratios while one "
            "watches; it can be stopped and goes on where it stopped.",
            icon=":material/grid_on:",
        )
        return
    view, spec = _chosen(found, available)

    def draw(now: JobView) -> None:
        _heatmap(now, spec, network)

    ended = jobs.watch(view.id, key="sensitivity", draw=draw, poll_s=POLL_S)
    if not ended.active:
        _table(ended, spec, network)


def _chosen(found: list[Found], available: int) -> Found:
    ids = [view.id for view, _ in found]
    if st.session_state.get(SHOWN) not in ids:
        st.session_state[SHOWN] = ids[0]
    if len(found) == 1:
        return found[0]
    labels = {view.id: f"{label(spec, available)} ({view.state})" for view, spec in found}
    chosen = st.selectbox("Sweep shown", ids, format_func=lambda each: labels[each], key=SHOWN)
    return found[ids.index(chosen)]


def _heatmap(view: JobView, spec: SensitivityRun, network: Network) -> None:
    cells = frames.newest(view)
    base = frames.baseline(view)
    groups = frames.rows(network, spec, view)
    if not groups or base is None:
        st.caption("The first cells appear as soon as the first images are through the network.")
        return
    ratios = list(spec.ratios)
    chosen = st.session_state.get(CELL)
    left, right = st.columns([3, 2], gap="medium")
    figure = charts.heatmap(
        frames.table(cells.values(), network),
        groups=groups,
        ratios=ratios,
        baseline=base.top1,
        labels=frames.short(groups),
        selected=chosen,
    )
    height: int | Literal["content"] = MAP_HEIGHT if figure.layout.height > MAP_HEIGHT else "content"
    with left:
        with st.container(height=height, border=True):
            clicked = plots.pick(figure, "sensitivity.heatmap", charts.CELLS)
        cards.source_line(source(view, spec, base.images))
        _left_out(view)
    if clicked is not None:
        st.session_state[CELL] = charts.cell_at(int(clicked["point_index"]), groups, ratios)
        st.rerun()
    with right:
        details.show(view, spec, network, base, cells, chosen)


def source(view: JobView, spec: SensitivityRun, images: int) -> provenance.Provenance:
    """Where every number of this sweep comes from."""
    mode = (
        f"Fast mode: a cell stops once the interval of its drop is within ± {100 * spec.mode.tolerance:g} points, and "
        "may be computed at lower precision."
        if isinstance(spec.mode, Fast)
        else "Exact mode: predictions are those of the really smaller network."
    )
    return provenance.measured(
        f"{spec.data.name}, held-out images",
        images=images,
        device=view.device.upper(),
        seed=spec.seed,
        note=f"Channels ranked by {spec.criterion.label}. {mode} Intervals are 95 %.",
    )


def _left_out(view: JobView) -> None:
    for stage in view.all(Stage):
        if "left out" in stage.text:
            st.caption(f":material/info: {stage.text}")


def _table(view: JobView, spec: SensitivityRun, network: Network) -> None:
    frame = frames.table(frames.newest(view).values(), network)
    if frame.empty:
        return
    total = len(frames.rows(network, spec, view)) * len(spec.ratios)
    with st.expander(f"All {len(frame)} measured cells as a table", icon=":material/table:"):
        st.dataframe(
            frame,
            hide_index=True,
            height=min(420, 38 + 35 * len(frame)),
            column_config={
                "group": st.column_config.TextColumn("Group", pinned=True),
                "ratio": st.column_config.NumberColumn("Ratio", format="percent"),
                "channels": "Channels",
                "removed": "Removed",
                "top1": st.column_config.NumberColumn("Accuracy", format="percent"),
                "low": st.column_config.NumberColumn("from", format="percent", help="95 % interval of the accuracy"),
                "high": st.column_config.NumberColumn("to", format="percent"),
                "drop": st.column_config.NumberColumn("Drop", format="percent"),
                "drop_low": st.column_config.NumberColumn("from", format="percent", help="95 % interval of the drop"),
                "drop_high": st.column_config.NumberColumn("to", format="percent"),
                "within_noise": "Inside the noise",
                "lost": "Right before, wrong after",
                "gained": "Wrong before, right after",
                "images": "Images",
                "exact": "All images",
                "seconds": st.column_config.NumberColumn("Seconds", format="%.3f"),
            },
        )
    st.download_button(
        f"Download the table ({numbers.count(len(frame))} of {numbers.count(max(total, len(frame)))} cells, CSV)",
        frame.to_csv(index=False).encode(),
        file_name=f"sensitivity_{spec.model.name}_{spec.criterion.card.key}.csv",
        mime="text/csv",
        icon=":material/download:",
        key="sensitivity.csv",
    )
