"""All networks as a table, on the page and to take along."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.compare import measured
from pages.compare.measured import Row
from pages.ui import cards, provenance, sizes
from pages.ui.desk import Desk
from pages.ui.language import _
from pages.ui.measured import text
from pruning_core.export.table import Cell, csv_of, latex_of

HEAD = (
    "Network",
    "Made from",
    "By",
    "MACs",
    "Parameters",
    "Bytes",
    "Latency (ms)",
    "Accuracy (%)",
    "95 % from",
    "to",
    "Change (points)",
    "change from",
    "change to",
    "Told from none",
)


def cells(rows: Sequence[Row]) -> list[tuple[Cell, ...]]:
    """One row of plain values per network, in the order of `HEAD`."""
    labels = {row.node.model: row.node.label for row in rows}
    found: list[tuple[Cell, ...]] = []
    for row in rows:
        node, accuracy, change = row.node, row.accuracy, row.change
        known = (accuracy.top1, accuracy.low, accuracy.high) if accuracy else (None,) * 3
        differs = (change.difference, change.low, change.high) if change else (None,) * 3
        found.append((
            node.label, labels.get(node.parent, "") if node.parent else "", node.operation, row.cost.macs,
            row.cost.parameters, row.cost.size_bytes, _rounded(row.latency.median_ms if row.latency else None, 1.0, 4),
            *(_rounded(each, 100.0, 2) for each in known), *(_rounded(each, 100.0, 2) for each in differs),
            None if change is None else "no" if change.within_noise else "yes",
        ))  # fmt: skip
    return found


def _rounded(value: float | None, factor: float, digits: int) -> float | None:
    return None if value is None else round(factor * value, digits)


def section(rows: Sequence[Row], desk: Desk) -> None:
    best = measured.front(rows, "macs")
    frame = pd.DataFrame(
        {
            "network": [row.node.label for row in rows],
            "by": [row.node.operation for row in rows],
            "macs": [row.cost.macs for row in rows],
            "parameters": [row.cost.parameters for row in rows],
            "bytes": [row.cost.size_bytes for row in rows],
            "latency": [row.latency.median_ms if row.latency else None for row in rows],
            "accuracy": [text(a) if (a := row.accuracy) else "" for row in rows],
            "change": [row.change.text if row.change else "" for row in rows],
            "front": [at in best for at in range(len(rows))],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        column_config={
            "network": st.column_config.TextColumn(_("Network"), pinned=True),
            "by": "By",
            "macs": st.column_config.NumberColumn(_("MACs"), format="localized"),
            "parameters": st.column_config.NumberColumn(_("Parameters"), format="localized"),
            "bytes": st.column_config.NumberColumn(_("Bytes"), format="localized"),
            "latency": st.column_config.NumberColumn(_("Latency (ms)"), format="%.3f"),
            "accuracy": st.column_config.TextColumn(_("Accuracy (95 %)")),
            "change": st.column_config.TextColumn(_("Against the pinned one")),
            "front": st.column_config.CheckboxColumn(_("Beaten by none"), help=_("In MACs and accuracy.")),
        },
    )
    _sources(rows)
    plain = cells(rows)
    caption = _("Networks made from {label}, measured on the test images of {name}").format(
        label=rows[0].node.label, name=desk.data.name
    )
    with st.container(horizontal=True):
        for what, written, name, media in (
            ("CSV", csv_of(HEAD, plain), "networks.csv", "text/csv"),
            ("LaTeX", latex_of(HEAD, plain, caption), "networks.tex", "application/x-tex"),
        ):
            st.download_button(what, written, name, media, key=f"compare.{what}", on_click="ignore",
                               icon=":material/download:", wrap=True)  # fmt: skip


def _sources(rows: Sequence[Row]) -> None:
    found = [provenance.derived(_("counted in the captured networks, exactly"))]
    if accuracy := next((row.accuracy for row in rows if row.accuracy), None):
        found.insert(0, provenance.measured(accuracy.dataset, images=accuracy.images))
    if latency := next((row.latency for row in rows if row.latency), None):
        found.insert(1, sizes.timing(latency))
    cards.source_line(*found)
