"""The row of the report: what it still needs is measured when somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.download import files, report
from pages.download.files import Built
from pages.ui import jobs, made, numbers, outbox, standing, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, current, ngettext, said
from pages.ui.literal import code
from pruning_core.export.lineage import Cut
from pruning_core.measuring.measure import Against
from pruning_core.runs.view import JobView
from pruning_core.studies.judging import judge
from pruning_core.studies.pictures import Pictured, Pictures, PicturesRun, makes_pictures, read_pictures
from pruning_core.zoo.interface import Input

ASKED, KEPT = "download.report.asked", "download.report.kept"
TEXT = N_(
    "One page for people who were not here: what was cut, gained and lost, the images that changed most, and where "
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
        said(proof.unproven)
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
            _offer(desk, told, words, button)


def _offer(desk: Desk, told: Sequence[str], words: DeltaGenerator, button: DeltaGenerator) -> None:
    """Written once, then kept as a file: it holds a drawing library of some megabytes."""
    place = f"{desk.model.key} {desk.data.key} {current()}"
    kept: tuple[str, str, int, str] | None = st.session_state.get(KEPT)
    if kept is None or kept[0] != place or not state.workspace().artifacts.has(kept[1]):
        built = _built(desk, told)
        if built is None:
            return
        kept = (place, state.workspace().artifacts.put(built.data), len(built.data), built.name)
        st.session_state[KEPT] = kept
    digest, size, name = kept[1:]
    words.caption(f"{code(name)} · {numbers.size_bytes(size)}")
    outbox.button(outbox.of(digest, name, "text/html"), key="download.report", container=button)


def _built(desk: Desk, told: Sequence[str]) -> Built | None:
    """None while something is still measured."""

    def waits(views: tuple[JobView, ...]) -> None:
        if text := made.waiting(views):
            st.markdown(_("Measuring both networks: {text}").format(text=text))
        jobs.faults(views, key="download.report.runs")

    measuring, painting = made.runs_of_own(desk), _painting(desk)
    views = jobs.follow([*measuring, *painting], waits, key="download.report.runs")
    found = made.own(desk, views[: len(measuring)])
    if found is None or any(view.active for view in views):
        return None
    test = state.splits(desk.data)[1]
    networks = (state.network(desk.model.origin), state.network(desk.model))
    sentences = [_("What was done: {made}.").format(made=_(standing.made(desk.model))), *told]
    pictured = _pictured(views[-1]) if painting else None
    interface = state.loaded(desk.model).interface
    inputs = interface.inputs if interface is not None else (Input("images", state.loaded(desk.model).input_size),)
    return report.built(desk.model, found, test, networks, sentences, inputs, pictured)


def _painting(desk: Desk) -> list[str]:
    """The run that looks for the pictures that changed most, started where the network makes any."""
    if not _paints(desk):
        return []
    run = PicturesRun(desk.model.origin, desk.model, made.tested(desk.model, desk.data))
    return [state.jobs().submit(run, state.owner())]


def _paints(desk: Desk) -> bool:
    loaded, test = state.loaded(desk.model), state.splits(desk.data)[1]
    against = judge(loaded, test, desk.data.measure).against
    return makes_pictures(loaded) and test.pictures and against is not Against.PLACES


def _pictured(view: JobView) -> Pictures | None:
    found = view.last(Pictured)
    return read_pictures(state.workspace(), found.digest) if found else None
