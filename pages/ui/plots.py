"""Put a figure on the page, and read the clicks on it."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui.charts import alt_text

CONFIG = {
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
STILL = {"displayModeBar": False, "scrollZoom": False}


def show(figure: go.Figure, key: str, container: DeltaGenerator | None = None, *, still: bool = False) -> None:
    """A figure to look at; ``still``: without the tools for zooming, which would lie over a small one."""
    (container or st).plotly_chart(figure, key=key, config=STILL if still else CONFIG, alt=alt_text(figure))


def pick(figure: go.Figure, key: str, trace: str, container: DeltaGenerator | None = None) -> dict[str, Any] | None:
    """A figure to click on: the newly clicked point of the trace named `trace`, once per click, else None.

    A figure that changes is mounted anew and forgets what was clicked, so the caller keeps the choice in the session
    and draws it into the figure.
    """
    event = (container or st).plotly_chart(
        figure, key=key, config=STILL, alt=alt_text(figure), on_select="rerun", selection_mode="points"
    )
    names = [each.name for each in figure.data]
    points = [point for point in event["selection"]["points"] if names[point["curve_number"]] == trace]
    latest = dict(points[-1]) if points else None
    seen = f"{key}.seen"
    index = latest.get("point_index", latest.get("point_number")) if latest else None  # trees have the second only
    if st.session_state.get(seen) == index:
        return None
    st.session_state[seen] = index
    return latest
