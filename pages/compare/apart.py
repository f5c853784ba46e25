"""How far two networks are apart in each layer, in weights and in what the layer answers."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from pages.compare.measured import SAME, Row
from pages.ui import cards, charts, jobs, plots, provenance, state, theme
from pages.ui.language import _
from pages.ui.literal import distinct
from pruning_core.analysis.differing import LayerDifference
from pruning_core.datasets import DataRef
from pruning_core.runs.view import State
from pruning_core.studies.differences import IMAGES, DifferencesRun

QUICK_MACS = 1e10  # of both networks on all images: seconds, so that nobody has to ask


def section(data: DataRef, one: Row, two: Row) -> None:
    st.markdown(f"**{_('Weights and activations')}**")
    if one.node.model == two.node.model:
        st.caption(_(SAME))
        return
    run = DifferencesRun(one.node.model, two.node.model, data)
    known = state.jobs().find(run)
    if known is None:
        quick = (one.cost.macs + two.cost.macs) * IMAGES < QUICK_MACS
        if not quick and not st.button(_("Compare layer by layer"), key="compare.apart", icon=":material/difference:",
                                       wrap=True):  # fmt: skip
            return
        known = state.jobs().snapshot(state.jobs().submit(run, state.owner()))
    if known.state is not State.DONE:
        known = jobs.watch(known.id, key="compare.apart.run")
    if known.state is State.DONE:
        _result(run, state.jobs().snapshot(known.id).all(LayerDifference), known.device)


def _result(run: DifferencesRun, found: Sequence[LayerDifference], device: str) -> None:
    plots.show(figure(found), "compare.apart.chart")
    st.caption(
        _(
            "Relative norms over the channels that both have, so that removing alone is no difference of weights: "
            "0 % is the same, 100 % as large as what the pinned network has there."
        )
    )
    silent = [each.layer for each in found if each.weights is None and each.activations is None]
    if silent:
        st.caption(_("Layers that cannot be held together: {n}.").format(n=len(silent)))
    tested = len(state.splits(run.data)[1])
    cards.source_line(
        provenance.derived(_("weights, channels matched by the plans")),
        provenance.measured(run.data.name, images=min(run.images, tested), device=device.upper(), seed=run.seed),
    )


def figure(found: Sequence[LayerDifference]) -> go.Figure:
    """A row for each layer with both relative norms."""
    known = [each for each in found if each.weights is not None or each.activations is not None]
    names = distinct(each.layer for each in known)
    most = max(known, key=lambda each: each.activations or 0.0, default=None)
    alt = _("Relative differences of {n} layers; activations differ most in {layer}.").format(
        n=len(known), layer=most.layer if most else ""
    )
    drawn = charts.blank(alt, height=90 + charts.ROW_PX * len(known), x_title=_("Relative difference"), y_title="")
    for title, values, colour, symbol in (
        (_("weights"), [each.weights for each in known], theme.NEUTRAL, "square"),
        (_("activations"), [each.activations for each in known], theme.ACCENT, "circle"),
    ):
        drawn.add_scatter(
            x=values,
            y=names,
            mode="markers",
            name=title,
            cliponaxis=False,
            marker={"color": colour, "size": 9, "symbol": symbol},
            customdata=[_("{common} of {first} channels in both").format(common=each.common, first=each.first)
                        for each in known],
            hovertemplate=f"%{{y}}, {title}: %{{x:.1%}}<br>%{{customdata}}<extra></extra>",
        )  # fmt: skip
    drawn.update_xaxes(tickformat=theme.PERCENT, rangemode="tozero")
    charts.rows(drawn, names)
    return drawn
