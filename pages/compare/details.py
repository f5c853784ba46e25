"""Two networks beside each other: layers, classes, and the images whose prediction flipped."""

from __future__ import annotations

import streamlit as st

from pages.compare import charts
from pages.compare.measured import SAME, Row
from pages.ui import cards, differences, pictures, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pages.ui.literal import literal
from pages.ui.pictures import Caption
from pruning_core.measuring.answers import Answers, confusion, damage, flips
from pruning_core.measuring.classifying import TopOne
from pruning_core.measuring.measures import TOP1
from pruning_core.studies.judging import refusal

COUNTED = provenance.derived(N_("counted in the captured networks, exactly"))
MOST_CLASSES = 40  # of a picture of confusions that can be read
COUNTS = {"channels": N_("Channels"), "macs": N_("MACs"), "parameters": N_("Parameters")}
KINDS = {"lost": N_("Right to wrong"), "gained": N_("Wrong to right"), "other": N_("Wrong to another wrong")}
SHOWN = 40
UNMEASURED = N_("Their answers are not measured yet.")


def layers(one: Row, two: Row) -> None:
    frame = differences.layers(state.network(one.node.model), state.network(two.node.model))
    changed = frame[frame["changed"]]
    st.markdown(_("{n} of {n_2} layers differ.").format(n=len(changed), n_2=len(frame)))
    if changed.empty:
        return
    what = st.segmented_control(
        _("Of each layer"), ("channels", "macs", "parameters"), default="channels", required=True, key="compare.what",
        format_func=lambda each: _(COUNTS[each]),
        persist_state="session", wrap=True,
    )  # fmt: skip
    title = _(COUNTS[what])
    left, right = st.columns(2, gap="medium")
    with left:
        plots.show(differences.widths(changed, what, title), "compare.widths")
    with right:
        headings = {key: _(words) for key, words in differences.HEADINGS.items()}
        st.dataframe(changed.drop(columns="changed").rename(columns=headings), hide_index=True)
    cards.source_line(COUNTED)


def classes(desk: Desk, one: Row, two: Row) -> None:
    if why := _without_classes(desk, one):
        st.caption(why)
        return
    both = _both(one, two)
    if both is None:
        return
    test = state.splits(desk.data)[1]
    lost = damage(*both, test.classes)
    st.markdown(
        _("Accuracy lost in each class, from the pinned network to the other; open circles are inside the noise.")
    )
    plots.show(differences.damage(lost, TOP1), "compare.damage")
    if len(test.classes) <= MOST_CLASSES:
        for place, row, answers in zip(st.columns(2, gap="medium"), (one, two), both, strict=True):
            with place:
                st.markdown(f"**{literal(row.node.label)}**")
                counts = confusion(answers, len(test.classes))
                plots.show(charts.confusion(counts, test.classes, row.node.label), f"compare.confusion.{row is one}")
    _source(two)


def _without_classes(desk: Desk, one: Row) -> str:
    """Why nothing can be said class by class; "" where it can."""
    if why := refusal(TopOne(), state.loaded(one.node.model), state.splits(desk.data)[1]):
        return literal(_("Nothing can be told class by class: {why}").format(why=said(why)))
    if one.accuracy is not None and one.accuracy.measure != TOP1:
        name = said(TopOne().title)
        return _("Classes are told apart by right and wrong answers: choose {name} above.").format(name=name)
    return ""


def images(desk: Desk, one: Row, two: Row) -> None:
    both = _both(one, two)
    if both is None:
        return
    test = state.splits(desk.data)[1]
    if len(test) != len(both[0].labels):
        st.caption(_("The images on the desk are others than those that were measured."))
        return
    found = flips(*both)
    by_kind = {"lost": found.lost, "gained": found.gained, "other": found.other}
    st.markdown(_("{count:,} of {n:,} test images get another answer.").format(count=found.count, n=len(test)))
    if not found.count:
        return
    kind = st.segmented_control(
        _("Which"), tuple(KINDS), default="lost", required=True, key="compare.kind", persist_state="session",
        format_func=lambda each: f"{_(KINDS[each])} ({len(by_kind[each])})", wrap=True,
    )  # fmt: skip
    shown = by_kind[kind][:SHOWN]
    if not shown:
        st.caption(_("None of this kind."))
    else:
        captions = [
            [Caption(f"{pictures.class_name(test, int(each.predicted[at]))} ({100 * each.confidence[at]:.0f} %)",
                     bool(each.right[at])) for each in both]
            for at in shown
        ]  # fmt: skip
        st.html(pictures.gallery(test, shown, captions, 84))
    st.caption(
        _("Above: what the pinned network says; below: the other. In brackets how sure it is.")
        + (_(" The first {shown} are shown.").format(shown=SHOWN) if len(by_kind[kind]) > SHOWN else "")
    )
    _source(two)


def _both(one: Row, two: Row) -> tuple[Answers, Answers] | None:
    if one.node.model == two.node.model:
        st.caption(_(SAME))
        return None
    if one.answers is None or two.answers is None:
        st.caption(_(UNMEASURED))
        return None
    return one.answers, two.answers


def _source(row: Row) -> None:
    if row.accuracy is not None:
        cards.source_line(provenance.measured(row.accuracy.dataset, images=row.accuracy.images))
