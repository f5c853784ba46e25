"""What a cut costs in groups of images that somebody names in a table."""

from __future__ import annotations

import streamlit as st

from pages.compare.measured import Row
from pages.ui import cards, differences, outbox, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.literal import literal
from pruning_core.errors import UserError
from pruning_core.export.table import csv_of
from pruning_core.measuring import subgroups
from pruning_core.measuring.parts import fewest, losses_in
from pruning_core.measuring.subgroups import NUMBER

LARGEST_MB = subgroups.LARGEST // 1_000_000


def section(desk: Desk, one: Row, two: Row) -> None:
    """Both networks have answered, and are not the same."""
    before, after, accuracy = one.marks, two.marks, one.accuracy
    if before is None or after is None or accuracy is None or one.node.model == two.node.model:
        return
    st.markdown(f"**{_('Groups of your own')}**")
    st.caption(
        _(
            "A value of all images can hide a group that loses much more. Take the list of test images, add a column "
            "that says which group each belongs to, and send it back."
        )
    )
    left, right = st.columns([1, 2], gap="medium")
    offered = outbox.stored(listed(desk, one, two).encode(), "test-images.csv", "text/csv")
    outbox.button(offered, key="compare.groups.list", label=_("List of test images"), container=left)
    sent = right.file_uploader(
        _("The list with groups (CSV)"), type="csv", key="compare.groups.file", max_upload_size=LARGEST_MB
    )
    if sent is None:
        return
    try:
        found = subgroups.read(sent.getvalue(), len(before))
    except UserError as error:
        st.error(literal(said(str(error))))
        return
    column = st.selectbox(_("Groups by"), list(found), len(found) - 1, key="compare.groups.column")
    groups = found[column if column in found else next(iter(found))]
    losses = losses_in(before, after, groups)
    if losses:
        plots.show(differences.damage(losses, accuracy.measure), "compare.groups.damage")
    if untold := len(set(groups) - {""}) - len(losses):
        words = _(
            "{n} groups are left out: they have fewer than {fewest} images, or the measure tells nothing of them."
        )
        st.caption(words.format(n=untold, fewest=fewest(before.measure)))
    without = sum(not each for each in groups)
    if without:
        st.caption(_("{n} images are in no group.").format(n=without))
    st.caption(_("Open circles are inside the noise. Each interval holds by itself with 95 %: of many, some miss."))
    cards.source_line(provenance.measured(accuracy.dataset, images=len(groups) - without))


def listed(desk: Desk, one: Row, two: Row) -> str:
    """CSV with a row for each test image: its number, and what is known of it.

    That is its class and what both networks say, or what each of them is worth on it, where that can be told.
    """
    if one.answers is not None and two.answers is not None:
        names = state.splits(desk.data)[1].classes
        said_of = (one.answers.labels, one.answers.predicted, two.answers.predicted)
        rows = [(at, *(names[each] for each in three)) for at, three in enumerate(zip(*said_of, strict=True))]
        return csv_of((NUMBER, "class", _("pinned says"), _("other says")), rows)
    assert one.marks is not None and two.marks is not None
    each = [marks.measure.each(marks.rows) for marks in (one.marks, two.marks)]
    known = [scores.tolist() for scores in each if scores is not None]
    title = said(one.marks.measure.name)
    titles = [_("{measure}, pinned").format(measure=title), _("{measure}, other").format(measure=title)]
    rows = [(at, *(scores[at] for scores in known)) for at in range(len(one.marks))]
    return csv_of((NUMBER, *titles[: len(known)]), rows)
