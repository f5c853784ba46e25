"""One layer by one criterion: how its scores spread, where the cut falls, and which channels a person would take."""

from __future__ import annotations

import numpy as np
import streamlit as st

from pages.criteria import frames, layer_charts
from pages.ui import cards, history, links, numbers, plots, provenance, state
from pages.ui.charts import alt_text
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.literal import code, literal, named
from pages.ui.stored import measured, verdicts
from pruning_core.analysis.agreement import norm_conditions, separation
from pruning_core.analysis.similarity import weight_rows
from pruning_core.criteria import Criterion
from pruning_core.graph import Group, Network

PICKING = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "autoScale2d"]}


def section(desk: Desk, network: Network, criteria: tuple[Criterion, ...]) -> None:
    found = verdicts(desk, network, criteria, "criteria.layer")
    if found is None:
        return
    first, second, third = st.columns(3, gap="medium")
    by_label = {each.label: scores for each, scores in found.items()}
    name = first.selectbox(_("Criterion"), list(by_label), format_func=said, key="criteria.layer.criterion")
    layer = second.selectbox(
        _("Layer"), [g.key for g in network.groups], key="criteria.layer.layer", persist_state="session"
    )
    ratio = third.slider(_("Ratio removed"), 0.0, 0.95, 0.5, 0.05, key="criteria.layer.ratio", persist_state="session")
    scores, name = by_label[name], said(name)
    group = network.group(layer)
    if layer in scores.missing:
        st.info(
            _("{name} cannot judge {layer}: {missing}").format(
                name=name, layer=code(layer), missing=literal(said(scores.missing[layer]))
            )
        )
        return
    frame = frames.channels(scores.values[layer].numpy(), ratio, desk.plan.get(layer, ()))
    left, right = st.columns([3, 2], gap="large")
    with left:
        figure = layer_charts.ranked(frame, name=name, layer=layer, ratio=ratio)
        event = st.plotly_chart(
            figure, key="criteria.ranked", config=PICKING, alt=alt_text(figure), on_select="rerun",
            selection_mode=("points", "box"),
        )  # fmt: skip
        picked = sorted({int(point["customdata"]) for point in event["selection"]["points"] if "customdata" in point})
        _pick(group, picked, [int(channel) for channel in frame["channel"][frame["cut"]]])
    with right:
        count = int(frame["cut"].sum())
        edge = None
        if 0 < count < len(frame):
            edge = float((frame["score"].iloc[count - 1] + frame["score"].iloc[count]) / 2)
        alt = _("Distribution of the scores of {layer}; {count} of {n} channels lie below the cut.").format(
            layer=layer, count=count, n=len(frame)
        )
        histogram = layer_charts.distribution(
            frame["score"].to_numpy(), title=_("Score: {name}").format(name=name), cut=edge, alt=alt
        )
        plots.show(histogram, "criteria.histogram")
        apart = separation(scores.values[layer])
        st.caption(
            _(
                "Spread of the scores (deviation / mean size): **{variation:.2f}**. Pairs of channels closer "
                "than 1 % of the range: **{ties}**; their order says little."
            ).format(variation=apart.variation, ties=numbers.percent(apart.ties, 0))
        )
        cards.source_line(measured(scores, _("scores of {size} channels").format(size=group.size)))
    _conditions(desk, group)


def _pick(group: Group, picked: list[int], below: list[int]) -> None:
    """Add channels to the plan: those chosen in the plot, or all below the cut."""
    planned = state.desk().plan.get(group.key, ())
    first, second, third = st.columns(3)
    first.button(
        _("Add the {n} chosen to the plan").format(n=len(picked)) if picked else _("Choose points in the plot"),
        disabled=not picked,
        type="primary",
        key="criteria.add",
        width="stretch",
        on_click=history.add,
        args=(group, picked),
        help=_("Click a point, hold shift for more, or draw a box around them with the tool above the plot."),
        wrap=True,
    )
    second.button(
        _("Add the {n} below the cut").format(n=len(below)),
        disabled=not below,
        key="criteria.add_cut",
        width="stretch",
        on_click=history.add,
        args=(group, below),
        wrap=True,
    )
    third.button(
        _("Take {key} out of the plan").format(key=named(group.key)),
        disabled=not planned,
        key="criteria.clear",
        width="stretch",
        on_click=_clear,
        args=(group,),
        wrap=True,
    )
    if planned:
        st.markdown(
            _("The plan removes **{n} of {size}** channels of {key}.").format(
                n=len(planned), size=group.size, key=code(group.key)
            )
        )
        links.to_what_if()


def _clear(group: Group) -> None:
    history.change(state.desk().plan.with_group(group.key, ()))


def _conditions(desk: Desk, group: Group) -> None:
    """When a norm can rank filters at all."""
    st.subheader(_("Can a norm tell these filters apart?"))
    found = norm_conditions(weight_rows(state.loaded(desk.model).model, group))
    left, right = st.columns([3, 2], gap="large")
    with left:
        plots.show(layer_charts.norms(np.array(found.norms), layer=group.key), "criteria.norms")
    with right:
        st.markdown(
            _(
                "Ranking by size rests on two conditions (He et al., CVPR 2019): the norms must "
                "**spread**, or the order "
                "is mostly noise; and the **smallest norm must be near zero**, or even the smallest filter contributes."
            )
        )
        counted = provenance.derived(_("from the layer's weights"))
        a, b = st.columns(2)
        cards.number(
            _("Spread"), f"{found.spread:.2f}", counted, detail=_("deviation / mean"), container=a,
            help=_("Below about 0.1 the filters are nearly of one size."),
        )  # fmt: skip
        cards.number(
            _("Smallest norm"), f"{found.smallest:.2f}", counted, detail=_("of the mean norm"), container=b,
            help=_("0 means that the smallest filter is empty; near 1 it is as large as the others."),
        )  # fmt: skip
