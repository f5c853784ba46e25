"""The parts of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from pages.compare import apart, charts, details, groups, measured, opening, parallel, table
from pages.compare.measured import Row
from pages.compare.tree import MOST, Node
from pages.ui import jobs, plots, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import _, ngettext
from pages.ui.literal import literal
from pruning_core.errors import UserError
from pruning_core.runs.view import JobView
from pruning_core.studies.judging import check_right_or_wrong
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
        check_right_or_wrong(state.loaded(nodes[0].model), state.splits(desk.data)[1])
    except UserError as error:
        st.info(literal(str(error)))
        return
    with plain_errors():
        rows = _measured(desk, nodes, pinned)
        summary, layers, classes, images = st.tabs(
            [_("Front and table"), _("Layers"), _("Classes"), _("Images that flipped")]
        )
        one = next(row for row in rows if row.node.model == pinned)
        two = next(row for row in rows if row.node.model == other)
        with summary:
            _front(rows, pinned, other)
            table.section(rows, desk)
        with layers:
            details.layers(one, two)
            apart.section(desk, one, two)
        with classes:
            details.classes(desk, one, two)
            groups.section(desk, one, two)
        with images:
            details.images(desk, one, two)


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


def _measured(desk: Desk, nodes: Sequence[Node], pinned: ModelRef) -> list[Row]:
    specs = measured.runs(nodes, desk)
    waiting = measured.missing(specs)
    images = len(state.splits(desk.data)[1])
    if waiting and not measured.small(nodes, images):
        words = _("Measure {n} missing values").format(n=len(waiting))
        if not st.button(words, type="primary", icon=":material/speed:", key=ASKED, wrap=True):
            return measured.rows(nodes, desk, pinned)
    ids = [state.jobs().submit(spec, state.owner()) for spec in specs if waiting or state.jobs().find(spec)]

    def tell(views: tuple[JobView, ...]) -> None:
        done = sum(not view.active for view in views)
        if done < len(views):
            st.progress(done / len(views), _("Measured {done} of {n}").format(done=done, n=len(views)))
        jobs.faults(views, key="compare.runs")

    jobs.follow(ids, tell, key="compare.runs")
    return measured.rows(nodes, desk, pinned)


def _front(rows: Sequence[Row], pinned: ModelRef, other: ModelRef) -> None:
    axis = st.segmented_control(
        _("Against"), tuple(charts.AXES), default="macs", required=True, key=AXIS, persist_state="session",
        format_func=lambda each: _(charts.AXES[each]), wrap=True,
    )  # fmt: skip
    plots.show(charts.front(rows, axis, measured.front(rows, axis), pinned, other), "compare.front")
    known = parallel.complete(rows)
    if len(known) > 1:
        st.markdown(f"**{_('All of them at once')}**")
        st.caption(_("A line is a network; the two that are compared have colours. Each axis has a scale of its own."))
        plots.show(parallel.figure(known, pinned, other), "compare.parallel")
