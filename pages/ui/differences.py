"""Two networks layer by layer and class by class, as tables and figures. No streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from pages.ui import changes, charts, measured, theme
from pages.ui.changes import INSIDE
from pages.ui.language import N_, _
from pages.ui.literal import distinct
from pruning_core.graph import LayerCost, Network
from pruning_core.measuring.parts import PartLoss


def layers(before: Network, after: Network) -> pd.DataFrame:
    """One row per layer of either, by name, in the order of the first; 0 where a layer is in the other one only.

    Columns: `layer`, `kind`, and `channels`, `macs`, `parameters`, each with `_before` and `_after`; `changed`.
    """
    first = {row.name: row for row in before.layer_costs()}
    second = {row.name: row for row in after.layer_costs()}
    rows = []
    for name in [*first, *(name for name in second if name not in first)]:
        one, other = first.get(name), second.get(name)
        known = one or other
        assert known is not None
        row: dict[str, object] = {"layer": name or _("(network)"), "kind": known.kind}
        for what in ("channels", "macs", "parameters"):
            row[f"{what}_before"], row[f"{what}_after"] = _count(one, what), _count(other, what)
        rows.append(row)
    frame = pd.DataFrame(rows)
    pairs = [frame[f"{what}_before"] != frame[f"{what}_after"] for what in ("channels", "macs", "parameters")]
    return frame.assign(changed=pairs[0] | pairs[1] | pairs[2])


HEADINGS = {
    "layer": N_("Layer"),
    "kind": N_("Kind"),
    "channels_before": N_("Channels before"),
    "channels_after": N_("Channels after"),
    "macs_before": N_("MACs before"),
    "macs_after": N_("MACs after"),
    "parameters_before": N_("Parameters before"),
    "parameters_after": N_("Parameters after"),
}


def _count(row: LayerCost | None, what: str) -> int:
    if row is None:
        return 0
    if what == "channels":
        return int(row.shape_out[0]) if row.shape_out else 0
    return int(getattr(row, what))


def widths(frame: pd.DataFrame, what: str, title: str) -> go.Figure:
    """Each changed layer before and after; `what` is "channels", "macs" or "parameters"."""
    shown = frame[frame[f"{what}_before"] != frame[f"{what}_after"]]
    named = pd.DataFrame({"layer": shown["layer"], "before": shown[f"{what}_before"], "after": shown[f"{what}_after"]})
    alt = _("{title} of {n} layers that changed, before and after.").format(title=title, n=len(shown))
    figure = charts.widths(named, alt=alt)
    figure.update_xaxes(title=title)
    return figure


def damage(rows: Sequence[PartLoss], key: str) -> go.Figure:
    """What is lost by the measure with this ``key`` in each part of the images with its interval, the worst on top."""
    ordered = sorted(rows, key=lambda each: -each.drop.drop)
    title = measured.lost(key)
    alt = (
        _("{lost} in {n} parts of the images; most in {name}.").format(lost=title, n=len(rows), name=ordered[0].name)
        if ordered
        else _("No classes.")
    )
    axis = f"{title} {measured.unit_of(key)}".strip()
    figure = charts.blank(alt, height=90 + charts.ROW_PX * len(rows), x_title=axis, y_title="")
    names, scale = distinct(each.name for each in ordered), measured.factor(key)
    drops = [each.drop for each in ordered]
    noise = [changes.paired(each).within_noise for each in drops]
    figure.add_scatter(
        x=[scale * each.drop for each in drops],
        y=names,
        mode="markers",
        marker={
            "size": 9,
            "color": [theme.NEUTRAL if each else theme.CUT for each in noise],
            "symbol": ["circle-open" if each else "circle" for each in noise],
        },
        error_x={
            "type": "data",
            "array": [scale * (each.high - each.drop) for each in drops],
            "arrayminus": [scale * (each.drop - each.low) for each in drops],
            "color": theme.faded(theme.NEUTRAL, 0.8),
            "thickness": 1.2,
            "width": 3,
        },
        customdata=[
            _("{n} images: {before} before, {after} after").format(
                n=each.drop.images, before=measured.written(key, each.before), after=measured.written(key, each.after)
            )
            + (f", {_(INSIDE)}" if inside else "")
            for each, inside in zip(ordered, noise)
        ],
        hovertemplate="%{y}: %{x:.3~g}<br>%{customdata}<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(x=0, line={"color": theme.NEUTRAL, "width": 1, "dash": "dot"})
    figure.update_yaxes(type="category")  # classes may be called 0, 1, 2
    charts.rows(figure, names)
    return figure
