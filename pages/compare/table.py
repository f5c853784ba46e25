"""All networks as a table, on the page and to take along."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.compare.measured import Row, front
from pages.ui import cards, measured, outbox, provenance, sizes
from pages.ui.language import N_, _, said
from pruning_core.export.table import Cell, csv_of, latex_of

CHANGE_PX = 260  # a difference, its interval, and that it is inside the noise
NETWORK = (N_("Network"), N_("Made from"), N_("By"), N_("MACs"), N_("Parameters"), N_("Bytes"), N_("Latency (ms)"))


def head(key: str) -> tuple[str, ...]:
    """Titles of the columns of `cells`, of networks that are judged by the measure ``key``."""
    share = measured.measure(key).unit == "share"
    title = f"{said(measured.measure(key).title)} (%)" if share else said(measured.axis_title(key))
    change = f"{_('Change')} {measured.unit_of(key)}".strip()
    worth = (title, _("95 % from"), _("to"), change, _("change from"), _("change to"), _("Told from none"))
    return tuple(map(_, NETWORK)) + worth


def cells(rows: Sequence[Row], key: str) -> list[tuple[Cell, ...]]:
    """One row of plain values per network, in the order of `head`."""
    labels = {row.node.model: row.node.label for row in rows}
    scale = measured.factor(key)
    found: list[tuple[Cell, ...]] = []
    for row in rows:
        node, accuracy, change = row.node, row.accuracy, row.change
        known = (accuracy.top1, accuracy.low, accuracy.high) if accuracy else (None,) * 3
        differs = (change.difference, change.low, change.high) if change else (None,) * 3
        found.append((
            node.label, labels.get(node.parent, "") if node.parent else "", node.operation, row.cost.macs,
            row.cost.parameters, row.cost.size_bytes, _rounded(row.latency.median_ms if row.latency else None, 1.0),
            *(_rounded(each, scale) for each in (*known, *differs)),
            None if change is None else _("no") if change.within_noise else _("yes"),
        ))  # fmt: skip
    return found


def _rounded(value: float | None, factor: float) -> float | None:
    """To five digits that count."""
    return None if value is None else float(f"{factor * value:.5g}")


def section(rows: Sequence[Row], key: str, data: str) -> None:
    """``data``: the name of the images."""
    best = front(rows, "macs")
    frame = pd.DataFrame(
        {
            "network": [row.node.label for row in rows],
            "by": [row.node.operation for row in rows],
            "macs": [row.cost.macs for row in rows],
            "parameters": [row.cost.parameters for row in rows],
            "bytes": [row.cost.size_bytes for row in rows],
            "latency": [row.latency.median_ms if row.latency else None for row in rows],
            "accuracy": [measured.text(a) if (a := row.accuracy) else "" for row in rows],
            "change": [row.change.text if row.change else "" for row in rows],
            "front": [at in best for at in range(len(rows))],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        column_config={
            "network": st.column_config.TextColumn(_("Network"), pinned=True),
            "by": st.column_config.TextColumn(_("By")),
            "macs": st.column_config.NumberColumn(_("MACs"), format="localized"),
            "parameters": st.column_config.NumberColumn(_("Parameters"), format="localized"),
            "bytes": st.column_config.NumberColumn(_("Bytes"), format="localized"),
            "latency": st.column_config.NumberColumn(_("Latency (ms)"), format="%.3f"),
            "accuracy": st.column_config.TextColumn(
                _("{measure} (95 %)").format(measure=said(measured.measure(key).name))
            ),
            "change": st.column_config.TextColumn(_("Against the pinned one"), width=CHANGE_PX),
            "front": st.column_config.CheckboxColumn(
                _("Beaten by none"), help=_("In MACs and what they are judged by.")
            ),
        },
    )
    _sources(rows)
    titles, plain = head(key), cells(rows, key)
    caption = _("Networks made from {label}, measured on the test images of {name}").format(
        label=rows[0].node.label, name=data
    )
    with st.container(horizontal=True):
        for what, written, name, media in (
            ("CSV", csv_of(titles, plain), "networks.csv", "text/csv"),
            ("LaTeX", latex_of(titles, plain, caption), "networks.tex", "application/x-tex"),
        ):
            outbox.button(outbox.stored(written.encode(), name, media), key=f"compare.{what}", label=what)


def _sources(rows: Sequence[Row]) -> None:
    found = [provenance.derived(_("counted in the captured networks, exactly"))]
    if accuracy := next((row.accuracy for row in rows if row.accuracy), None):
        found.insert(0, provenance.measured(accuracy.dataset, images=accuracy.images))
    if latency := next((row.latency for row in rows if row.latency), None):
        found.insert(1, sizes.timing(latency))
    cards.source_line(*found)
