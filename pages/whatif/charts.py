"""All groups of a plan in one picture: what is kept and cut, its share of the work, and what it is known to cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages.ui import charts, theme
from pages.ui.language import _
from pages.ui.literal import distinct, plotted

LAYERS = "layers"  # the trace that takes the clicks
NAMED = 24  # groups whose names stand below the bars; of more, only the first of each part of the network
GAP = 0.15  # between bars, of a column
TOP, BOTTOM = [0.44, 1.0], [0.0, 0.34]  # of the height: channels, multiply-accumulates


def overview(
    frame: pd.DataFrame, *, starts: Mapping[str, int], selected: str | None = None, lost_title: str = ""
) -> go.Figure:
    """One column per group in network order; `frame` as `frames.overview` makes it.

    Above: the share of its channels that is kept, in the colour of what was measured to be lost without half of them
    (`lost`, in [0, 1], NaN where not measured), and the share that is cut, hatched. Below: its share of the network's
    MACs before and after. `starts`: the part of the network that begins at a position. A click lands on `LAYERS`.
    """
    at, shown = list(range(len(frame))), [_text(row) for row in frame.itertuples(index=False)]
    measured, left = frame["lost"].notna(), frame["kept"] / frame["size"]
    style = charts.layout(_alt(frame), height=430, x_title="", y_title=_("Channels"))
    few, apart = len(frame) <= NAMED, _apart(starts, len(frame) / NAMED)
    names = distinct(_short(key) for key in frame["key"]) if few else [plotted(_short(part)) for part in apart]
    style["xaxis"] |= {
        "tickvals": at if few else list(apart.values()), "ticktext": names, "tickangle": -40, "showgrid": False,
        "range": [-0.6, len(frame) - 0.4], "anchor": "y2",
    }  # fmt: skip
    style["yaxis"] |= {"domain": TOP, "tickformat": theme.PERCENT, "range": [0, 1], "fixedrange": True}
    style |= {
        "barmode": "overlay",
        "bargap": GAP,
        "dragmode": False,
        "yaxis2": {
            "domain": BOTTOM, "tickformat": theme.PERCENT, "gridcolor": theme.GRID, "zeroline": False,
            "rangemode": "tozero", "title": {"text": _("Share of MACs")}, "automargin": True, "fixedrange": True,
        },
        "coloraxis": {
            "cmin": 0.0, "cmax": max(0.05, float(frame["lost"].max())) if measured.any() else 1.0,
            "showscale": bool(measured.any()),
            "colorbar": {"title": {"text": lost_title, "side": "right"}, "thickness": 12, "outlinewidth": 0,
                         "tickformat": theme.PERCENT},
        },
    }  # fmt: skip
    if selected is not None and selected in set(frame["key"]):
        style["shapes"] = _outline(list(frame["key"]).index(selected))
    most = float(frame["share_before"].max()) if len(frame) else 1.0
    return go.Figure([*_channels(frame, left, measured), *_work(frame), *_targets(at, shown, most)], style)


def _channels(frame: pd.DataFrame, left: pd.Series, measured: pd.Series) -> Iterator[dict[str, Any]]:
    lossy = {"color": frame["lost"][measured], "coloraxis": "coloraxis"}
    for known, name, marker in (
        (measured, _("kept"), lossy),
        (~measured, _("kept, effect not measured"), {"color": theme.ACCENT}),
    ):
        if known.any():
            yield {
                "type": "bar", "x": np.flatnonzero(known).tolist(), "y": left[known], "name": name, "marker": marker,
                "hoverinfo": "skip", "showlegend": known is not measured,
            }  # fmt: skip
    pattern = {"shape": "/", "fgcolor": theme.CUT, "size": 6, "solidity": 0.35}
    yield {
        "type": "bar", "x": list(range(len(frame))), "y": 1 - left, "base": left, "name": _("cut"), "hoverinfo": "skip",
        "marker": {"color": theme.faded(theme.CUT, 0.35), "line": {"width": 0}, "pattern": pattern},
    }  # fmt: skip


def _work(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for column, name, width, color in (
        ("share_before", _("MACs before"), 1 - GAP, theme.faded(theme.NEUTRAL, 0.45)),
        ("share_after", _("MACs after"), 0.6, theme.color(2)),
    ):
        yield {
            "type": "bar", "x": list(range(len(frame))), "y": frame[column], "yaxis": "y2", "name": name,
            "width": width, "marker": {"color": color}, "hoverinfo": "skip",
        }  # fmt: skip


def _targets(at: Sequence[int], texts: Sequence[str], most: float) -> Iterator[dict[str, Any]]:
    """Columns that cannot be seen, over the whole of both halves: a bar of one per cent could not be hit."""
    for axis, height in (("y", 1.0), ("y2", most)):
        yield {
            "type": "bar", "x": list(at), "y": [height] * len(at), "base": 0, "width": 1.0, "yaxis": axis,
            "name": LAYERS, "showlegend": False, "marker": {"color": "rgba(0,0,0,0)", "line": {"width": 0}},
            "hovertext": list(texts), "hovertemplate": "%{hovertext}<extra></extra>",
            "selected": {"marker": {"opacity": 0}}, "unselected": {"marker": {"opacity": 0}},
        }  # fmt: skip


def _outline(place: int) -> list[dict[str, Any]]:
    box = {"type": "rect", "x0": place - 0.5, "x1": place + 0.5, "y0": 0, "y1": 1, "xref": "x", "yref": "paper"}
    return [box | {"line": {"color": color, "width": width}} for color, width in (("white", 4), (theme.ON_TINT, 1.8))]


def _text(row: Any) -> str:
    kept, size, exact, lost = row.kept, row.size, row.exact, row.lost
    told = [
        f"<b>{plotted(row.key)}</b>" + ("" if exact else _(" (approximate)")),
        _("{kept:,} of {size:,} channels kept").format(kept=kept, size=size),
        _("{share_before:.1f} % of the MACs, {share_after:.1f} % after").format(
            share_before=100 * row.share_before, share_after=100 * row.share_after
        ),
        _("alone, half of it removed loses {lost:.1f} points").format(lost=100 * lost)
        if lost == lost
        else _("effect not measured"),
    ]
    return "<br>".join(told)


def _apart(starts: Mapping[str, int], least: float) -> dict[str, int]:
    """Those whose names do not lie on each other."""
    found: dict[str, int] = {}
    for part, place in sorted(starts.items(), key=lambda pair: pair[1]):
        if not found or place - max(found.values()) >= least:
            found[part] = place
    return found


def _short(key: str, most: int = 22) -> str:
    return key if len(key) <= most else f"{key[:6]}…{key[-(most - 7) :]}"


def _alt(frame: pd.DataFrame) -> str:
    kept, size = int(frame["kept"].sum()), int(frame["size"].sum())
    cut = frame[frame["kept"] < frame["size"]]
    text = _("Overview of {n} groups: {kept:,} of {size:,} channels kept, {n_2} groups planned.").format(
        n=len(frame), kept=kept, size=size, n_2=len(cut)
    )
    if len(cut):
        most = cut.loc[(cut["kept"] / cut["size"]).idxmin()]
        text += _(" Most is cut from {most}: {most_2:,} of {most_3:,} kept.").format(
            most=plotted(most["key"]), most_2=most["kept"], most_3=most["size"]
        )
    if frame["lost"].notna().any():
        worst = frame.loc[frame["lost"].idxmax()]
        text += _(" Most is lost in {worst}: {worst_2:.1f} points without half of it.").format(
            worst=plotted(worst["key"]), worst_2=100 * worst["lost"]
        )
    return text
