"""What a cut costs in groups of images that somebody names in a table."""

from __future__ import annotations

import streamlit as st

from pages.compare.measured import Row
from pages.ui import cards, differences, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _
from pages.ui.literal import literal
from pruning_core.errors import UserError
from pruning_core.export.table import csv_of
from pruning_core.measuring import subgroups
from pruning_core.measuring.answers import Answers, damage_in
from pruning_core.measuring.subgroups import NUMBER

LARGEST_MB = subgroups.LARGEST // 1_000_000


def section(desk: Desk, one: Row, two: Row) -> None:
    """Both networks have answered, and are not the same."""
    before, after = one.answers, two.answers
    if before is None or after is None or one.node.model == two.node.model:
        return
    st.markdown(f"**{_('Groups of your own')}**")
    st.caption(
        _(
            "Accuracy as a whole can hide a group that loses much more. Take the list of test images, add a column "
            "that says which group each belongs to, and send it back."
        )
    )
    left, right = st.columns([1, 2], gap="medium")
    left.download_button(
        _("List of test images"), lambda: listed(desk, before, after), "test-images.csv", "text/csv",
        key="compare.groups.list", on_click="ignore", icon=":material/download:", wrap=True,
    )  # fmt: skip
    sent = right.file_uploader(
        _("The list with groups (CSV)"), type="csv", key="compare.groups.file", max_upload_size=LARGEST_MB
    )
    if sent is None:
        return
    try:
        found = subgroups.read(sent.getvalue(), len(before.labels))
    except UserError as error:
        st.error(literal(str(error)))
        return
    column = st.selectbox(_("Groups by"), list(found), len(found) - 1, key="compare.groups.column")
    groups = found[column if column in found else next(iter(found))]
    plots.show(differences.damage(damage_in(before, after, groups)), "compare.groups.damage")
    without = sum(not each for each in groups)
    if without:
        st.caption(_("{n} images are in no group.").format(n=without))
    st.caption(_("Open circles are inside the noise. Each interval holds by itself with 95 %: of many, some miss."))
    if one.accuracy is not None:
        cards.source_line(provenance.measured(one.accuracy.dataset, images=len(groups) - without))


def listed(desk: Desk, before: Answers, after: Answers) -> str:
    """CSV with a row for each test image: its number, its class, and what both networks say."""
    names = state.splits(desk.data)[1].classes
    rows = [
        (at, names[label], names[first], names[second])
        for at, (label, first, second) in enumerate(
            zip(before.labels, before.predicted, after.predicted, strict=True)
        )
    ]  # fmt: skip
    return csv_of((NUMBER, "class", _("pinned says"), _("other says")), rows)
