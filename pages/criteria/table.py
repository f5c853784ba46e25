"""The networks at one budget as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages.criteria import frames
from pages.ui import (
    cards,
    changes,
    measured,
    provenance,
)
from pages.ui.language import _, said
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.points import ORIGIN, When


def table(frame: pd.DataFrame, run: CompareRun) -> None:
    budgets = sorted((share for share in set(frame["budget"]) if share < 1), reverse=True)
    middle = min(budgets, key=lambda share: abs(share - 0.5))
    chosen = st.segmented_control(
        _("Table at a budget of"),
        budgets,
        default=middle,
        required=True,
        format_func=lambda share: _("{share:.0f} % of the MACs").format(share=100 * share),
        key=f"criteria.table.{len(budgets)}",
        wrap=True,
    )
    judged = frames.measure_of(frame)
    rows = frame[(frame["budget"] == chosen) | (frame["criterion"] == ORIGIN)]
    table = pd.DataFrame(
        {
            "Criterion": [
                _("{criterion} ({draws} repeats)").format(criterion=said(row.criterion), draws=row.draws)
                if row.draws > 1
                else said(row.criterion)
                for row in rows.itertuples()
            ],
            "Measured": [_("as it is") if _as_it_is(row) else said(row.when) for row in rows.itertuples()],
            "Value": [measured.with_interval(judged, row.top1, row.low, row.high) for row in rows.itertuples()],
            "Top-5": 100 * rows["top5"].astype(float).to_numpy(),
            "Change": [_lost(row) for row in rows.itertuples()],
            "MACs": rows["macs"].to_numpy(),
            "Parameters": rows["parameters"].to_numpy(),
            "Latency": rows["latency_ms"].astype(float).to_numpy(),
            "Scoring": rows["score_seconds"].astype(float).to_numpy(),
            "Preparing": rows["seconds"].astype(float).to_numpy(),
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        key="criteria.table",
        column_config={
            "Criterion": st.column_config.TextColumn(_("Criterion"), pinned=True, width="medium"),
            "Measured": _("When measured"),
            "Value": st.column_config.TextColumn(
                measured.axis_title(judged),
                help=_("With its 95 % interval; of several repeats the mean, with the worst and the best."),
            ),
            "Top-5": st.column_config.NumberColumn(format="%.1f %%") if rows["top5"].notna().any() else None,
            "Change": st.column_config.TextColumn(
                _("Change"), help=_("Against the unpruned network; same images, 95 % interval.")
            ),
            "MACs": st.column_config.NumberColumn(_("MACs"), format="localized"),
            "Parameters": st.column_config.NumberColumn(_("Parameters"), format="localized"),
            "Latency": st.column_config.NumberColumn(
                _("Latency"), format="%.2f ms", help=_("Median of one pass of one image.")
            ),
            "Scoring": st.column_config.NumberColumn(
                _("Scoring"), format="%.3f s", help=_("What the criterion costs alone.")
            ),
            "Preparing": st.column_config.NumberColumn(
                _("Preparing"), format="%.2f s", help=_("Removing the channels, recalibrating, or training.")
            ),
        },
    )
    counted = provenance.derived(_("MACs and parameters: counted in the captured network, exactly"))
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
