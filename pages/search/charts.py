"""Every trial as a point and the front as a line; and how fast the best was found."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from pages.ui import charts, measured, theme
from pages.ui.language import _, said, together
from pruning_core.measuring.measures import TOP1

TRIALS = "trials"  # the trace that takes the clicks
HUES = (theme.ACCENT, theme.NEUTRAL)  # the search, its control
MARKS = ("circle", "square")


def front(
    frame: pd.DataFrame,
    *,
    told: Sequence[str],
    names: Sequence[str],
    origin: float | None,
    selected: int | None,
    limit: float | None,
    timed: bool,
    measure: str = TOP1,
) -> go.Figure:
    """The value of ``measure`` against what is left of the MACs, or against milliseconds when `timed`.

    `frame` as `frames.table` makes it, `told` the text of each row, `names` the search and then its control;
    `selected` the position of a row, `limit` the budget in the unit of the x axis, `origin` what the
    unpruned network has.
    """
    x_title = _("Latency (ms)") if timed else _("MACs left (share of the unpruned network)")
    figure = charts.blank(
        _alt(frame, names, measure),
        height=460,
        x_title=x_title,
        y_title=_("{axis_title}, held-out images").format(axis_title=measured.axis_title(measure)),
    )
    order = {name: index for index, name in enumerate(names)}
    for name, part in frame.groupby("name", sort=False):
        index = order.get(str(name), 0)
        best = part[part["front"]].sort_values("cost")
        figure.add_scatter(
            x=best["cost"], y=best["top1"], mode="lines", name=_("front: {name}").format(name=name), hoverinfo="skip",
            line={"color": HUES[index % 2], "width": 2.5 - index, "dash": theme.DASHES[index], "shape": "hv"},
            error_y={
                "type": "data", "array": best["high"] - best["top1"], "arrayminus": best["top1"] - best["low"],
                "color": theme.faded(HUES[index % 2], 0.4), "thickness": 1.1, "width": 3,
            },
        )  # fmt: skip
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=f"{name} ({len(part)})",
            marker={"color": HUES[index % 2], "symbol": MARKS[index % 2], "size": 9},
        )  # fmt: skip
    places = [order.get(name, 0) % 2 for name in frame["name"]]
    figure.add_scatter(
        x=frame["cost"],
        y=frame["top1"],
        mode="markers",
        name=TRIALS,
        showlegend=False,
        marker={
            "color": [HUES[place] for place in places],
            "symbol": [
                MARKS[place] + ("" if within else "-open")
                for place, within in zip(places, frame["within"], strict=True)
            ],
            "size": [13 if row == selected else 9 if is_front else 7 for row, is_front in enumerate(frame["front"])],
            "opacity": [1.0 if row == selected or is_front else 0.6 for row, is_front in enumerate(frame["front"])],
            "line": {
                "color": [theme.CUT if row == selected else HUES[place] for row, place in enumerate(places)],
                "width": [3 if row == selected else 1 for row in range(len(frame))],
            },
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.6}},
        hovertext=list(told),
        hovertemplate="%{hovertext}<extra></extra>",
    )
    if origin is not None:
        charts.add_baseline(figure, origin, _("unpruned"), "bottom left")
    if limit is not None:
        figure.add_vline(x=limit, line={"color": theme.CUT, "width": 1.5, "dash": "dash"})
        figure.add_annotation(
            x=limit, y=0, yref="paper", text=_("budget"), showarrow=False, xanchor="right", yanchor="bottom", xshift=-4,
            font={"color": theme.CUT, "size": 12},
        )  # fmt: skip
    figure.update_xaxes(tickformat=None if timed else ".1~%")
    figure.update_yaxes(tickformat=measured.ticks(measure))
    return figure


def progress(frame: pd.DataFrame, *, names: Sequence[str], uniform: float | None, measure: str = TOP1) -> go.Figure:
    """The best value of ``measure`` so far over the trials; `frame` as `frames.best_so_far` makes it."""
    groups = list(frame.groupby("name", sort=False))
    ends = [f"{name} {measured.written(measure, float(part['best'].iloc[-1]))}" for name, part in groups]
    reached = ", ".join(ends) or _("no trial yet")
    alt = _("Best {named_in} within the budget so far, over the trials: {reached}.").format(
        named_in=measured.named_in(measure), reached=reached
    )
    figure = charts.blank(alt, height=280, x_title=_("Trials made"), y_title=_("Best so far"))
    hover = _("after {n} trials: {value}").format(n="%{x}", value="%{text}")
    for name, part in groups:
        index = list(names).index(str(name)) % 2
        figure.add_scatter(
            x=part["trial"], y=part["best"], mode="lines", name=str(name),
            line={"color": HUES[index], "width": 2, "dash": theme.DASHES[index], "shape": "hv"},
            text=[measured.written(measure, best) for best in part["best"]],
            hovertemplate=f"{name}<br>{hover}<extra></extra>",
        )  # fmt: skip
    if uniform is not None:
        charts.add_baseline(figure, uniform, _("uniform"))
    if measured.measure(measure).unit == "share":  # of which there is no more than all, also where all stay alike
        least = 0.0 if frame["best"].min() >= 0 else None
        figure.update_yaxes(autorangeoptions={"clipmax": 1.02, "clipmin": least})
    figure.update_yaxes(tickformat=measured.ticks(measure))
    figure.update_layout(showlegend=True)
    return figure


def _alt(frame: pd.DataFrame, names: Sequence[str], measure: str) -> str:
    text = _("{name} against cost of {n} trials by {join}.").format(
        name=said(measured.measure(measure).name), n=len(frame), join=together(names)
    )
    inside = frame[frame["within"]]
    if len(inside):
        best = inside.loc[inside["top1"].idxmax() if measured.measure(measure).rises else inside["top1"].idxmin()]
        text += _(" Best: {best} with {written} at {best_2:,} MACs.").format(
            best=best["name"], written=measured.written(measure, best["top1"]), best_2=best["macs"]
        )
    return text
