"""The row of the report: what it still needs is measured when somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.download import files, report
from pages.download.files import Built
from pages.ui import jobs, made, numbers, standing, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, ngettext
from pages.ui.literal import code
from pages.ui.sizes import Size
from pruning_core.export.lineage import Cut
from pruning_core.measuring.answers import Answers
from pruning_core.runs.view import JobView
from pruning_core.studies.judging import check_right_or_wrong

ASKED, KEPT = "download.report.asked", "download.report.kept"
TEXT = N_(
    "One page for people who were not here: what was cut, gained and lost, the images whose answer changed, and where "
    "every number comes from. It opens in any browser, offline, and prints."
)


def told(desk: Desk, cut: Cut) -> list[str]:
    """How a network was cut, in sentences."""
    how, channels = files.made(desk.made_by(cut.base.ref, cut.plan)), sum(map(len, cut.plan.values()))
    proof = cut.removal.proof
    apart = (
        _("largest relative difference {max_rel:.0e}").format(max_rel=proof.max_rel)
        if proof.max_rel
        else _("no difference at all")
    )
    seen = ngettext("{n} image ({dtype})", "{n} images ({dtype})", proof.images).format(
        n=proof.images, dtype=proof.dtype
    )
    return [
        _("{channels:,} channels were removed from {n} of {n_2} groups.").format(
            channels=channels, n=len(cut.plan), n_2=len(cut.network.groups)
        ),
        _("How they were chosen: {told}.").format(told=files.told(how))
        if how
        else _("How they were chosen is not known here."),
        proof.unproven
        or _("The removal was compared with the original whose channels were silenced, on {seen}: {apart}.").format(
            seen=seen, apart=apart
        ),
    ]


def section(desk: Desk, told: Sequence[str] = ()) -> None:
    """``told``: how the network was made, beside what its runs say."""
    with st.container(border=True):
        words, button = st.columns([5, 1], vertical_alignment="center")
        words.markdown(f"**{_('Report')}**  \n{_(TEXT)}")
        if st.session_state.get(ASKED) != desk.model.key:
            if button.button(_("Prepare"), key="download.report.make", width="stretch", wrap=True):
                st.session_state[ASKED] = desk.model.key
                st.rerun()
            return
        with plain_errors():
            check_right_or_wrong(state.loaded(desk.model), state.splits(desk.data)[1])
            _offer(desk, told, words, button)


def _offer(desk: Desk, told: Sequence[str], words: DeltaGenerator, button: DeltaGenerator) -> None:
    """Written once, then kept as a file: it holds a drawing library of some megabytes."""
    place = f"{desk.model.key} {desk.data.key}"
    kept: tuple[str, str, int, str] | None = st.session_state.get(KEPT)
    if kept is None or kept[0] != place:
        built = _built(desk, told)
        if built is None:
            return
        kept = (place, state.workspace().artifacts.put(built.data), len(built.data), built.name)
        st.session_state[KEPT] = kept
    digest, size, name = kept[1:]
    words.caption(f"{code(name)} · {numbers.size_bytes(size)}")
    button.download_button(
        _("Download"), lambda: state.workspace().artifacts.read(digest), name, "text/html", key="download.report",
        on_click="ignore", icon=":material/download:", width="stretch", wrap=True,
    )  # fmt: skip


def _built(desk: Desk, told: Sequence[str]) -> Built | None:
    """None while something is still measured."""

    def waits(views: tuple[JobView, ...]) -> None:
        if text := made.waiting(views):
            st.markdown(_("Measuring both networks: {text}").format(text=text))
        jobs.faults(views, key="download.report.runs")

    found = made.own(desk, jobs.follow(made.runs_of_own(desk), waits, key="download.report.runs"))
    if found is None:
        return None
    test = state.splits(desk.data)[1]
    whole, small = found.sizes
    labels = test.labels.int().numpy()
    networks = (state.network(desk.model.origin), state.network(desk.model))
    sentences = [_("What was done: {made}.").format(made=standing.made(desk.model)), *told]
    return report.built(desk.model, found, test, (_said(whole, labels), _said(small, labels)), networks, sentences)


def _said(size: Size, labels: np.ndarray) -> Answers:
    return Answers(np.asarray(size.predicted, np.int32), np.asarray(size.confidence, np.float32), labels)
