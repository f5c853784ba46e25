"""What networks are judged by against MACs for each criterion, at several moments, with chance beside them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
import torch

from pages.criteria import charts, frames
from pages.ui import (
    cards,
    changes,
    jobs,
    measured,
    plots,
    provenance,
    recovery,
    started,
    state,
    trainable,
)
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.held_out import choose_images, held_out_size
from pages.ui.literal import literal
from pages.ui.sweeps import judged_on
from pruning_core.allocation.budget import Reach, reachable
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import Criterion
from pruning_core.graph import Network
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.view import JobView
from pruning_core.studies.compare import BUDGETS, CompareRun
from pruning_core.studies.points import ORIGIN, OutOfReach, Point, Scored, When
from pruning_core.studies.scores import is_random
from pruning_core.training.config import FineTune

OFFERED = tuple(round(share / 100, 2) for share in range(95, 5, -5))
JOB = "criteria.job"


def section(desk: Desk, network: Network, criteria: tuple[Criterion, ...]) -> None:
    with plain_errors():
        _compared(desk, network, criteria)


def _compared(desk: Desk, network: Network, criteria: tuple[Criterion, ...]) -> None:
    spec = _ask(desk, network, criteria)
    known = state.jobs().find(spec) if spec is not None else None
    if spec is not None and known is None:
        text = f"Compare {len(criteria)} {'criteria' if len(criteria) > 1 else 'criterion'}"
        if st.button(text, type="primary", icon=":material/play_arrow:", key="criteria.start", wrap=True):
            started.submit(spec, JOB)
        st.caption(f"{spec.points} measurements on really smaller networks; what is done is kept when you stop it.")
    if known is not None:
        st.session_state[JOB] = known.id
    job = st.session_state.get(JOB)
    if job is None:
        return
    run = state.jobs().spec(job)
    if not isinstance(run, CompareRun) or run.model != desk.model:
        return
    if known is None:
        st.caption("Below: your last comparison. The settings above describe another one.")
    jobs.watch(job, key="criteria.run", draw=lambda view: _results(view, network, run))


def _ask(desk: Desk, network: Network, criteria: tuple[Criterion, ...]) -> CompareRun | None:
    """The settings; None when nothing can run with them."""
    first, second, third = st.columns([5, 4, 5], gap="medium")
    with first:
        budgets = st.multiselect(
            "Budgets: share of the MACs that may stay",
            OFFERED,
            default=[share for share in OFFERED if share in BUDGETS],
            format_func=lambda share: f"{100 * share:.0f} %",
            key="criteria.budgets",
            persist_state="session",
            help="For each of them every layer loses the same share of its channels, just enough to keep the budget.",
            wrap=True,
        )
    with second:
        available = held_out_size(desk.data)
        images = choose_images(available, "criteria")
        draws = 5
        if any(is_random(each) for each in criteria):
            draws = int(
                st.slider(
                    "Repeats of random choices", 5, 20, 5, key="criteria.draws", persist_state="session",
                    help="Of criteria that pick channels at random: so many seeds are tried, and the band spans them.",
                )
            )  # fmt: skip
    with third:
        recalibrate = st.toggle(
            When.RECALIBRATED.capitalize(), True, key="criteria.recalibrate", persist_state="session",
            help="New batch-norm statistics from images of the training part; the weights stay.", wrap=True,
        )  # fmt: skip
        mend = st.toggle(
            When.MENDED.capitalize(), True, key="criteria.mend", persist_state="session",
            help=f"{Mending.card.idea} From images of the training part, without labels. {recovery.LESSON}", wrap=True,
        )  # fmt: skip
        tune = _tune(desk)
    reach = _reach(network)
    if reach is None:
        st.warning("No group of this network can be cut exactly, so no budget can be kept.")
        return None
    least = reach.low / reach.high
    low = [share for share in budgets if share < least]
    if low:
        shares = ", ".join(f"{100 * share:.0f} %" for share in low)
        st.warning(f"{shares} cannot be reached: this network can have {reach.text}.")
    wanted = tuple(sorted(set(budgets) - set(low), reverse=True))
    if not wanted:
        st.info("Choose at least one budget within reach.")
        return None
    return CompareRun(
        desk.model,
        judged_on(desk.data),
        criteria,
        wanted,
        random_seeds=draws,
        images=None if images >= available else images,
        recalibrate=recalibrate,
        mend=Mending() if mend else None,
        tune=tune,
    )


def _tune(desk: Desk) -> FineTune | None:
    misfit = trainable.why_not(desk.model, desk.data)
    wanted = st.toggle(
        f"{When.TUNED.capitalize()}, the same for all", False, key="criteria.tune", persist_state="session",
        disabled=bool(misfit),
        help="Every pruned network, and the unpruned one as the control, gets the same training. This takes longest.",
        wrap=True,
    )  # fmt: skip
    if misfit:
        st.caption(literal(misfit))
    if misfit or not wanted:
        return None
    left, right = st.columns(2)
    epochs = left.slider("Epochs", 1, 20, 2, key="criteria.epochs", persist_state="session")
    rate = right.select_slider(
        "Learning rate", (0.001, 0.003, 0.01, 0.03, 0.1), 0.01, key="criteria.rate", persist_state="session"
    )
    return FineTune(epochs=int(epochs), lr=float(rate))


def _reach(network: Network) -> Reach | None:
    """What uniform removal can reach; the scores do not matter for that. None when nothing can be cut exactly."""
    if not any(group.exact for group in network.groups):
        return None
    level = {group.key: torch.zeros(group.size, dtype=torch.float64) for group in network.groups}
    return reachable(Uniform(), Pool.of(network, level))


# -- results -----------------------------------------------------------------------------------------------------------


def _results(view: JobView, network: Network, run: CompareRun) -> None:
    frame = frames.summary(view.all(Point), view.all(Scored))
    cut = frame[frame["criterion"] != ORIGIN]
    if cut.empty:
        st.caption("The first points appear when the channels are scored.")
        return
    moments = [str(when) for when in When if str(when) in set(cut["when"])]
    shown = st.pills(
        "Shown in the figure", moments, selection_mode="multi", default=moments[-1:],
        key=f"criteria.moments.{len(moments)}",
        help="When the networks were measured: right after cutting, or after what was done to them since.", wrap=True,
    )  # fmt: skip
    shown = [when for when in moments if when in (shown or moments[-1:])]
    part, judged = cut[cut["when"].isin(shown)], frames.measure_of(cut)
    origins = {f"unpruned, {when}" if when == When.TUNED else "unpruned": frames.origin(frame, when) for when in shown}
    names = list(dict.fromkeys(each.label for each in run.criteria))
    figure = charts.tradeoff(
        part,
        names=names,
        origins={label: value for label, value in origins.items() if value is not None},
        full_macs=network.cost().macs,
    )
    plots.show(figure, "criteria.tradeoff")
    images = int(cut["images"].iloc[0])
    on = provenance.measured(
        f"{run.data.name}, {'held-out' if run.data.split == 'held-out' else 'test'} images",
        images=images,
        device=view.device.upper(),
        seed=run.seed,
        note=f"{measured.sentence(judged)} Bars: {measured.HOW[measured.measure(judged).decides]}. A band spans the "
        "worst and the best repeat of a random choice."
        + (" The epoch that a training keeps was chosen on these images too." if run.tune else ""),
    )
    cards.source_line(on)
    _table(frame, run)
    for told in view.all(OutOfReach)[:3]:
        st.caption(f":orange-badge[left out] {told.criterion}, {100 * told.budget:.0f} %: {literal(told.sentence)}")


def _table(frame: pd.DataFrame, run: CompareRun) -> None:
    budgets = sorted((share for share in set(frame["budget"]) if share < 1), reverse=True)
    middle = min(budgets, key=lambda share: abs(share - 0.5))
    chosen = st.segmented_control(
        "Table at a budget of", budgets, default=middle, required=True,
        format_func=lambda share: f"{100 * share:.0f} % of the MACs", key=f"criteria.table.{len(budgets)}", wrap=True,
    )  # fmt: skip
    judged = frames.measure_of(frame)
    rows = frame[(frame["budget"] == chosen) | (frame["criterion"] == ORIGIN)]
    table = pd.DataFrame(
        {
            "Criterion": [
                f"{row.criterion} ({row.draws} repeats)" if row.draws > 1 else row.criterion
                for row in rows.itertuples()
            ],
            "Measured": ["as it is" if _as_it_is(row) else row.when for row in rows.itertuples()],
            "Value": [measured.with_interval(judged, row.top1, row.low, row.high) for row in rows.itertuples()],
            "Top-5": 100 * rows["top5"].astype(float).to_numpy(),
            "Change": [_lost(row) for row in rows.itertuples()],
            "MACs": rows["macs"].to_numpy(),
            "Parameters": rows["parameters"].to_numpy(),
            "Latency": rows["latency_ms"].astype(float).to_numpy(),
            "Scoring": rows["score_seconds"].astype(float).to_numpy(),
            "Preparing": rows["seconds"].astype(float).to_numpy(),
        }
    )  # fmt: skip
    st.dataframe(
        table,
        hide_index=True,
        key="criteria.table",
        column_config={
            "Criterion": st.column_config.TextColumn(pinned=True, width="medium"),
            "Value": st.column_config.TextColumn(
                measured.axis_title(judged),
                help="With its 95 % interval; of several repeats the mean, with the worst and the best.",
            ),
            "Top-5": st.column_config.NumberColumn(format="%.1f %%") if rows["top5"].notna().any() else None,
            "Change": st.column_config.TextColumn(help="Against the unpruned network; same images, 95 % interval."),
            "MACs": st.column_config.NumberColumn(format="localized"),
            "Parameters": st.column_config.NumberColumn(format="localized"),
            "Latency": st.column_config.NumberColumn(format="%.2f ms", help="Median of one pass of one image."),
            "Scoring": st.column_config.NumberColumn(format="%.3f s", help="What the criterion costs alone."),
            "Preparing": st.column_config.NumberColumn(
                format="%.2f s", help="Removing the channels, recalibrating, or training."
            ),
        },
    )
    counted = provenance.derived("MACs and parameters: counted in the captured network, exactly")
    cards.source_line(counted)


def _as_it_is(row: Any) -> bool:
    """The unpruned network, which was not trained either."""
    return row.criterion == ORIGIN and row.when == When.PRUNED


def _lost(row: Any) -> str:
    if row.drop is None or row.drop != row.drop:
        return "–"
    change = changes.lost(row.measure, row.drop, row.drop_low, row.drop_high)
    if row.draws == 1:
        return change.text
    return f"{change.delta} ({change.span})"  # worst to best: no interval
