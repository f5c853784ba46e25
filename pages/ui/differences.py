"""Two networks layer by layer and class by class, as tables and figures. No streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from pages.ui import charts, theme
from pages.ui.literal import distinct
from pruning_core.graph import LayerCost, Network
from pruning_core.measuring.answers import ClassDamage


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
        row: dict[str, object] = {"layer": name or "(network)", "kind": known.kind}
        for what in ("channels", "macs", "parameters"):
            row[f"{what}_before"], row[f"{what}_after"] = _count(one, what), _count(other, what)
        rows.append(row)
    frame = pd.DataFrame(rows)
    pairs = [frame[f"{what}_before"] != frame[f"{what}_after"] for what in ("channels", "macs", "parameters")]
    return frame.assign(changed=pairs[0] | pairs[1] | pairs[2])


HEADINGS = {
    "layer": "Layer",
    "kind": "Kind",
    **{
        f"{what}_{when}": f"{title} {when}"
        for what, title in (("channels", "Channels"), ("macs", "MACs"), ("parameters", "Parameters"))
        for when in ("before", "after")
    },
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
    alt = f"{title} of {len(shown)} layers that changed, before and after."
    figure = charts.widths(named, alt=alt)
    figure.update_xaxes(title=title)
    return figure


def damage(rows: Sequence[ClassDamage]) -> go.Figure:
    """Accuracy lost in each class with its interval, the worst on top."""
    ordered = sorted(rows, key=lambda each: -each.drop)
    worst = ordered[0] if ordered else None
    alt = f"Accuracy lost in {len(rows)} classes; most in {worst.name}." if worst else "No classes."
    figure = charts.blank(alt, height=90 + charts.ROW_PX * len(rows), x_title="Accuracy lost (points)", y_title="")
    names = distinct(each.name for each in ordered)
    figure.add_scatter(
        x=[100 * each.drop for each in ordered],
        y=names,
        mode="markers",
        marker={
            "size": 9,
            "color": [theme.NEUTRAL if each.within_noise else theme.CUT for each in ordered],
            "symbol": ["circle-open" if each.within_noise else "circle" for each in ordered],
        },
        error_x={
            "type": "data",
            "array": [100 * (each.high - each.drop) for each in ordered],
            "arrayminus": [100 * (each.drop - each.low) for each in ordered],
            "color": theme.faded(theme.NEUTRAL, 0.8),
            "thickness": 1.2,
            "width": 3,
        },
        customdata=[
            f"{each.before} of {each.images} right before, {each.after} after"
            + (", inside the noise" if each.within_noise else "")
            for each in ordered
        ],
        hovertemplate="%{y}: %{x:.1f} points<br>%{customdata}<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(x=0, line={"color": theme.NEUTRAL, "width": 1, "dash": "dot"})
    figure.update_yaxes(type="category")  # classes may be called 0, 1, 2
    charts.rows(figure, names)
    return figure
