"""What the schedules look like: how much is gone after each step. No streamlit."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from pages.ui import charts, theme
from pages.ui.language import _, said
from pruning_core.allocation.schedule import SCHEDULES, Schedule

FINE = 24  # points of a curve that is only shown for comparison


def frame(chosen: Schedule, steps: int, target: float) -> pd.DataFrame:
    """`name`, `at` (share of the steps), `first` and `last`: share removed of the first and the last layer.

    The chosen schedule by its own steps, the others with their usual knobs.
    """
    rows = []
    for cls in SCHEDULES:
        own = isinstance(chosen, cls)
        schedule = chosen if own else cls()
        count = steps if own else (schedule.steps(target) or FINE)
        for step in range(count + 1):
            first, last = (schedule.ratio(step, count, target, depth) for depth in (0.0, 1.0))
            rows.append((said(cls.card.name), step / count, first, last))
    return pd.DataFrame(rows, columns=["name", "at", "first", "last"])


def chart(courses: pd.DataFrame, *, chosen: str, steps: int) -> go.Figure:
    """The chosen schedule with a mark per step, the others beside it; `courses` as `frame` makes it."""
    mine = courses[courses["name"] == chosen]
    half = float(mine["last"].iloc[(len(mine) - 1) // 2])
    alt = _(
        "Share removed over the steps for {nunique} schedules. {chosen}: {half:.0f} % after half of "
        "{steps} steps, {float:.0f} % in the end."
    ).format(
        nunique=courses["name"].nunique(),
        chosen=chosen,
        half=100 * half,
        steps=steps,
        float=100 * float(mine["last"].iloc[-1]),
    )
    figure = charts.blank(alt, height=330, x_title=_("Share of the steps"), y_title=_("Share removed"))
    hover = _("after {share} of the steps: {removed} removed").format(share="%{x:.0%}", removed="%{y:.1%}")
    for index, (name, part) in enumerate(courses.groupby("name", sort=False)):
        own = name == chosen
        hue = theme.ACCENT if own else theme.NEUTRAL
        if (part["first"] - part["last"]).abs().max() > 1e-9:
            figure.add_scatter(
                x=[*part["at"], *part["at"][::-1]], y=[*part["last"], *part["first"][::-1]], fill="toself",
                mode="lines", fillcolor=theme.faded(hue, 0.18), line={"width": 0}, hoverinfo="skip", showlegend=False,
            )  # fmt: skip
        figure.add_scatter(
            x=part["at"],
            y=part["last"],
            name=str(name),
            mode="lines+markers" if own else "lines",
            line={
                "color": hue if own else theme.faded(hue, 0.75),
                "width": 3 if own else 1.5,
                "dash": "solid" if own else theme.DASHES[index % len(theme.DASHES)],
                "shape": "hv" if own else "linear",
            },
            marker={"color": hue, "size": 8},
            hovertemplate=f"{name}<br>{hover}<extra></extra>",
        )
    figure.update_xaxes(tickformat=theme.PERCENT)
    figure.update_yaxes(tickformat=theme.PERCENT, rangemode="tozero")
    figure.update_layout(showlegend=True, legend={"font": {"size": 11}})
    return figure
