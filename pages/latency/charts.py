"""Measured time against channels, and against batch and threads. No streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from pages.ui import charts, theme
from pages.ui.language import _, ngettext
from pages.ui.latencies import loose
from pages.ui.literal import plotted
from pruning_core.analysis.widths import Cliff
from pruning_core.studies.conditions import Condition
from pruning_core.studies.widths import Width


def widths(found: Sequence[Width], cliffs: Sequence[Cliff], *, layer: str, whole: bool) -> go.Figure:
    """Medians with the interval of their difference to all channels, MACs as a line, and a mark at every cliff."""
    full = found[-1]
    channels, median = [each.channels for each in found], full.latency.median_ms
    what = _("the network with channels of {layer}").format(layer=layer) if whole else layer
    figure = charts.blank(
        _(
            "Time of a pass of {what} at {n} numbers of channels: {median_ms:.3g} ms with {channels}, "
            "{median:.3g} ms with all {channels_2}; {n_2} steps are outside the noise."
        ).format(
            what=what,
            n=len(found),
            median_ms=found[0].latency.median_ms,
            channels=found[0].channels,
            median=median,
            channels_2=full.channels,
            n_2=len(cliffs),
        ),
        height=380,
        x_title=_("Channels of {layer} that are left").format(layer=plotted(layer)),
        y_title=_("Time of a pass, ms"),
    )
    figure.add_scatter(
        x=[*channels, *channels[::-1]],
        y=[*(median - each.saved_low_ms for each in found), *(median - each.saved_high_ms for each in found[::-1])],
        fill="toself", fillcolor=theme.faded(theme.ACCENT, 0.18), line={"width": 0}, mode="lines", hoverinfo="skip",
        name=_("95 % interval against all channels"),
    )  # fmt: skip
    figure.add_scatter(
        x=channels, y=[median * each.macs / max(1, full.macs) for each in found], mode="lines", hoverinfo="skip",
        line={"color": theme.NEUTRAL, "width": 1.5, "dash": "dot"}, name=_("if time fell as the MACs do"),
    )  # fmt: skip
    figure.add_scatter(
        x=channels,
        y=[each.latency.median_ms for each in found],
        mode="lines+markers",
        name=_("measured, median"),
        line={"color": theme.ACCENT, "width": 2},
        marker={"color": theme.ACCENT, "size": 6},
        customdata=[
            _("{channels} channels: {median_ms:.3g} ms, {macs:,} MACs").format(
                channels=each.channels, median_ms=each.latency.median_ms, macs=each.macs
            )
            for each in found
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    if cliffs:
        at = {each.channels: each.latency.median_ms for each in found}
        figure.add_scatter(
            x=[each.more for each in cliffs],
            y=[at[each.more] for each in cliffs],
            mode="markers",
            name=_("step"),
            marker={"color": theme.CUT, "size": 13, "symbol": "diamond-open", "line": {"width": 2}},
            customdata=[
                _("{fewer} to {more} channels: {low_ms:+.3g} to {high_ms:+.3g} ms").format(
                    fewer=each.fewer, more=each.more, low_ms=each.low_ms, high_ms=each.high_ms
                )
                for each in cliffs
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_yaxes(rangemode="tozero")
    return figure


def way(compiled: bool) -> str:
    return "compiled" if compiled else _("as PyTorch runs it")


def conditions(timed: Sequence[Condition]) -> go.Figure:
    """Time of one image against the images in a pass, a line for each number of threads and way; before is dashed."""
    held = any(each.other is not None for each in timed)
    figure = charts.blank(
        _("Time of one image under {n} conditions").format(n=len(timed))
        + (_(", beside the network before.") if held else "."),
        height=380,
        x_title=_("Images in a pass"),
        y_title=_("Time of one image, ms"),
    )
    lines: dict[tuple[int, bool], list[Condition]] = {}
    for each in timed:
        lines.setdefault((each.threads, each.compile), []).append(each)
    for index, ((threads, compiled), own) in enumerate(lines.items()):
        name = _("{threads}, {way}").format(
            threads=ngettext("{n} thread", "{n} threads", threads).format(n=threads), way=way(compiled)
        )
        for latencies, dash, suffix in (
            ([(each.batch_size, each.latency) for each in own], "solid", ""),
            ([(each.batch_size, each.other) for each in own], "dot", _(", before")),
        ):
            known = [(batch, latency) for batch, latency in latencies if latency is not None]
            if not known:
                continue
            figure.add_scatter(
                x=[batch for batch, _ in known],
                y=[latency.median_ms / batch for batch, latency in known],
                error_y={
                    "type": "data",
                    "array": [(latency.p90_ms - latency.median_ms) / batch for batch, latency in known],
                    "arrayminus": [(latency.median_ms - latency.p10_ms) / batch for batch, latency in known],
                    "thickness": 1,
                    "width": 3,
                },
                name=name + suffix,
                mode="lines+markers",
                line={"color": theme.color(index), "width": 2, "dash": dash},
                marker={
                    "color": theme.color(index),
                    "size": 8,
                    "symbol": [
                        theme.SYMBOLS[index % len(theme.SYMBOLS)] + ("-open" if loose(latency) else "")
                        for _batch, latency in known
                    ],
                },
                hovertemplate="%{x} images: %{y:.3g} ms each<extra>" + name + suffix + "</extra>",
            )
    batches = sorted({each.batch_size for each in timed})
    figure.update_xaxes(type="log", tickvals=batches, ticktext=[str(batch) for batch in batches])
    figure.update_yaxes(type="log", dtick="D2")  # 1, 2, 5 of each power: more would collide
    return figure
