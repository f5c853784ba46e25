"""The parts of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from pages.compare import apart, boxes, charts, details, examples, groups, judging, measured, opening, parallel, table
from pages.compare.measured import SAME, Row
from pages.compare.tree import MOST, Node
from pages.ui import jobs, plots, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import _, ngettext, said
from pages.ui.literal import literal
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.measuring.measures import TOP1
from pruning_core.runs.view import JobView
from pruning_core.zoo import ModelRef

FAMILY, PINNED, OTHER = "compare.family", "compare.pinned", "compare.other"
AXIS, ASKED, CLICKED = "compare.axis", "compare.asked", "compare.clicked"


def family(families: Mapping[ModelRef, tuple[Node, ...]]) -> tuple[Node, ...]:
    """The tree in view; that of the desk's network first."""
    origins = list(families)
    at = 0
    if len(origins) > 1:
        names = [f"{nodes[0].label} ({len(nodes)})" for nodes in families.values()]
        at = st.selectbox(_("Made from"), range(len(origins)), format_func=lambda each: names[each], key=FAMILY)
    return families[origins[at]]


def everything(desk: Desk, nodes: tuple[Node, ...]) -> None:
    st.markdown(
        ngettext("{n} network was made from this one.", "{n} networks were made from this one.", len(nodes) - 1).format(
            n=len(nodes) - 1
        )
        + " "
        + _(
            "All are measured on the same test images and timed with the same batch. Differences are paired, image by "
            "image, against the pinned one."
        )
    )
    if len(nodes) == MOST:
        st.caption(_("The first {most} are shown.").format(most=MOST))
    pinned, other = _choices(desk, nodes)
    _tree(nodes, pinned, other)
    opening.buttons(desk, nodes, other)
    try:
        data = judging.chosen(desk, nodes[0].model)
    except UserError as error:
        st.info(literal(said(str(error))))
        return
    with plain_errors():
        rows = _measured(data, len(state.splits(desk.data)[1]), nodes, pinned)
        one = next(row for row in rows if row.node.model == pinned)
        two = next(row for row in rows if row.node.model == other)
        judged = next((row.accuracy.measure for row in rows if row.accuracy), TOP1)
        last = _("Images that flipped") if judged == TOP1 else _("Examples that lost most")
        summary, layers, parts, images = st.tabs([_("Front and table"), _("Layers"), _("Classes and groups"), last])
        with summary:
            _front(rows, judged, pinned, other)
            table.section(rows, judged, data.name)
        with layers:
            details.layers(one, two)
            apart.section(data, one, two)
        with parts:
            boxes.classes(desk, one, two) if boxes.judged(one) else details.classes(desk, one, two)
            groups.section(desk, one, two)
        with images:
            if judged == TOP1:
                details.images(desk, one, two)
            elif pinned == other:
                st.caption(_(SAME))
            else:
                boxes.section(desk, one, two) if boxes.judged(one) else examples.section(desk, one, two)


def _choices(desk: Desk, nodes: Sequence[Node]) -> tuple[ModelRef, ModelRef]:
    """The pinned baseline, and what is held against it."""
    places = {node.model: at for at, node in enumerate(nodes)}
    usual = places.get(desk.model, 0) or len(nodes) - 1
    for key, first in ((PINNED, 0), (OTHER, usual)):
        if st.session_state.get(key, -1) not in range(len(nodes)):
            st.session_state[key] = first
    left, right = st.columns(2)
    pinned = left.selectbox(_("Pinned"), range(len(nodes)), format_func=lambda at: nodes[at].label, key=PINNED)
    other = right.selectbox(_("Compared with it"), range(len(nodes)), format_func=lambda at: nodes[at].label, key=OTHER)
    return nodes[pinned].model, nodes[other].model


def _tree(nodes: Sequence[Node], pinned: ModelRef, other: ModelRef) -> None:
    clicked = plots.pick(charts.tree(nodes, pinned, other), "compare.tree", charts.POINTS)
    if clicked is not None:
        st.session_state[CLICKED] = clicked.get("point_index", clicked.get("point_number"))
        st.rerun()


def take_click() -> None:
    """Before the boxes are drawn: a widget's value cannot be set after it."""
    if (at := st.session_state.pop(CLICKED, None)) is not None:
        st.session_state[OTHER] = at


def _measured(data: DataRef, images: int, nodes: Sequence[Node], pinned: ModelRef) -> list[Row]:
    specs = measured.runs(nodes, data)
    waiting = measured.missing(specs)
    if waiting and not measured.small(nodes, images):
        words = _("Measure {n} missing values").format(n=len(waiting))
        if not st.button(words, type="primary", icon=":material/speed:", key=ASKED, wrap=True):
            return measured.rows(nodes, data, pinned)
    ids = [state.jobs().submit(spec, state.owner()) for spec in specs if waiting or state.jobs().find(spec)]

    def tell(views: tuple[JobView, ...]) -> None:
        done = sum(not view.active for view in views)
        if done < len(views):
            st.progress(done / len(views), _("Measured {done} of {n}").format(done=done, n=len(views)))
        jobs.faults(views, key="compare.runs")

    jobs.follow(ids, tell, key="compare.runs")
    return measured.rows(nodes, data, pinned)


def _front(rows: Sequence[Row], key: str, pinned: ModelRef, other: ModelRef) -> None:
    axis = st.segmented_control(
        _("Against"), tuple(charts.AXES), default="macs", required=True, key=AXIS, persist_state="session",
        format_func=lambda each: _(charts.AXES[each]), wrap=True,
    )  # fmt: skip
    plots.show(charts.front(rows, axis, key, measured.front(rows, axis), pinned, other), "compare.front")
    known = parallel.complete(rows)
    if len(known) > 1:
        st.markdown(f"**{_('All of them at once')}**")
        st.caption(_("A line is a network; the two that are compared have colours. Each axis has a scale of its own."))
        plots.show(parallel.figure(known, key, pinned, other), "compare.parallel")
