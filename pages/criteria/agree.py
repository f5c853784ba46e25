"""Do criteria agree on what matters? Criterion by criterion, and channel by channel."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from pages.criteria import charts
from pages.ui import cards, filters, numbers, plots, state
from pages.ui.desk import Desk
from pages.ui.filters import filter_pictures
from pages.ui.language import N_, _, said
from pages.ui.literal import code, literal
from pages.ui.stored import Verdicts, measured, verdicts
from pages.ui.widgets import knob_widgets
from pruning_core.analysis.agreement import (
    MEASURES,
    Agreement,
    Measure,
    global_agreement,
    layer_agreement,
    mean_agreement,
    spearman,
)
from pruning_core.criteria import Criterion
from pruning_core.graph import Network

MEAN, POOLED = N_("All layers, mean"), N_("All layers, channels pooled")
PAIR, CHANNEL = "criteria.pair", "criteria.channel"


def section(desk: Desk, network: Network, criteria: tuple[Criterion, ...]) -> None:
    found = verdicts(desk, network, criteria, "criteria.agreement")
    if found is None:
        return
    keys = [group.key for group in network.groups]
    first, second, third = st.columns([5, 4, 3], gap="medium")
    with first:
        named = {each.name: each for each in MEASURES}
        chosen = st.segmented_control(
            _("Agreement"),
            list(named),
            default=next(iter(named)),
            required=True,
            format_func=said,
            key="criteria.measure",
            wrap=True,
        )
    with second:
        where = st.selectbox(_("Layer"), [MEAN, POOLED, *keys], format_func=_where, key="criteria.where")
    with third:
        measure = knob_widgets(named[chosen], "criteria.measure")
    agreement = _of(found, where, measure)
    labels = [each.label for each in agreement.criteria]
    pair = _pair(labels)
    left, right = st.columns([3, 2], gap="large")
    with left:
        negative = len(labels) > 1 and bool(np.nanmin(agreement.matrix) < 0)
        figure = charts.agreement(
            labels, agreement.matrix, title=said(measure.name), low=-1.0 if negative else 0.0, selected=pair
        )
        clicked = plots.pick(figure, "criteria.agreement", charts.CELLS)
        st.caption(_("Criteria that agree stand together. Click a cell to see both scores, channel by channel."))
    if clicked is not None:
        st.session_state[PAIR] = charts.cell_at(clicked["point_index"], labels)
        st.rerun()
    with right:
        if pair is None:
            st.info(_("Choose at least two criteria to compare their scores."))
        else:
            layer = where
            if where in (MEAN, POOLED):
                layer = st.selectbox(
                    _("Layer of the scatter"), keys, key="criteria.pairs.layer", persist_state="session"
                )
            by_label = {each.label: each for each in found}
            _scatter(desk, network, found, (by_label[pair[0]], by_label[pair[1]]), layer)
    dearest = max(found.values(), key=lambda scores: scores.seconds)
    note = _("The dearest, {label}, took {duration}.").format(
        label=said(dearest.criterion.label), duration=numbers.duration(dearest.seconds)
    )
    most = max(found.values(), key=lambda scores: scores.images)
    cards.source_line(
        measured(most, _("scores of {n} criteria for {n_2} groups").format(n=len(found), n_2=len(keys)), note)
    )


def _of(found: Verdicts, where: str, measure: Measure) -> Agreement:
    match where:
        case _ if where == MEAN:
            return mean_agreement(found, measure)
        case _ if where == POOLED:
            return global_agreement(found, measure)
    return layer_agreement(found, where, measure)


def _pair(labels: list[str]) -> tuple[str, str] | None:
    kept = st.session_state.get(PAIR)
    if kept is not None and set(kept) <= set(labels):
        return kept
    return (labels[0], labels[1]) if len(labels) > 1 else None


def _scatter(desk: Desk, network: Network, found: Verdicts, pair: tuple[Criterion, Criterion], layer: str) -> None:
    sides = [found[each] for each in pair]
    missing = next((each.missing[layer] for each in sides if layer in each.missing), None)
    if missing is not None:
        st.info(
            _("One of the two cannot judge {layer}: {missing}").format(
                layer=code(layer), missing=literal(said(missing))
            )
        )
        return
    names, values = [said(each.label) for each in pair], [each.values[layer] for each in sides]
    rho = spearman(*values)
    note = _("rank correlation {rho:.2f}").format(rho=rho) if not math.isnan(rho) else _("one of them ranks nothing")
    group = network.group(layer)
    pictures = filters.pictures(state.loaded(desk.model).model, group)
    texts = [
        _("<b>channel {channel}</b><br>{names}: {float:.5g}<br>{names_2}: {float_2:.5g}<br>{drawn}").format(
            channel=channel,
            names=names[0],
            float=float(values[0][channel]),
            names_2=names[1],
            float_2=float(values[1][channel]),
            drawn=filters.drawn(pictures[channel]),
        )
        for channel in range(group.size)
    ]
    chosen = st.session_state.get(CHANNEL)
    chosen = chosen if chosen is not None and chosen < group.size else None
    st.markdown(
        _("**{names}** and **{names_2}** on {layer}: {note}.").format(
            names=names[0], names_2=names[1], layer=code(layer), note=note
        )
    )
    x, y = ((name, value.numpy()) for name, value in zip(names, values))
    figure = charts.pairs(x, y, texts=texts, selected=chosen, layer=layer, note=note)
    clicked = plots.pick(figure, "criteria.pairs", charts.PAIRS)
    if clicked is not None:
        st.session_state[CHANNEL] = clicked["point_index"]
        st.rerun()
    st.caption(_("Hover a point to see its filter in shades, click it to see it in numbers."))
    if chosen is not None:
        plots.show(filter_pictures(pictures, [chosen], layer=layer, columns=1), "criteria.filter")


def _where(chosen: str) -> str:
    return _(chosen) if chosen in (MEAN, POOLED) else chosen
