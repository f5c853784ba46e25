"""What stays in view on every page: where one can go, what is loaded, what is planned, what is running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui import language, notes, oidc, sharing, standing, state
from pages.ui.errors import plain_errors
from pages.ui.language import _, about, ngettext
from pages.ui.literal import literal, named
from pruning_core.errors import quoted

if TYPE_CHECKING:
    from pruning_core.runs.view import JobView

ASSETS = "assets"
POLL_S = 1.5
RUNS_SHOWN = 4
NEWEST = 20  # events among which the latest progress is looked for


@dataclass(frozen=True)
class Entry:
    """A page in the navigation. The icon stands here and not in `st.Page`, which would fetch it from the net."""

    page: st.Page
    icon: str


def draw_navigation(sections: Mapping[str, Sequence[Entry]]) -> None:
    """The part that needs nothing to be loaded."""
    # Unknown (None) in tests and before the browser has said it.
    look = "dark" if st.context.theme.type == "dark" else "light"
    st.logo(f"{ASSETS}/logo-{look}.svg", icon_image=f"{ASSETS}/logo-mark.svg", size="large")
    with st.sidebar:
        language.switch()
        for heading, entries in sections.items():
            if heading:
                st.caption(heading)
            with st.container(gap="xxsmall"):
                for entry in entries:
                    st.page_link(entry.page, label=entry.page.title, icon=entry.icon, width="stretch")


def draw_desk() -> Plan:
    """What the visitor works on; needs the core. The plan is drawn once more when the page has changed it."""
    with st.sidebar:
        with plain_errors():
            st.space("xsmall")
            with st.container(gap="xsmall"):
                _loaded()
        with st.container(gap="xsmall"):
            place = Plan(st.empty(), st.container())
            with plain_errors():
                place.draw()
                _runs()
        oidc.draw_visitor()
    return place


@dataclass
class Plan:
    """The place of the plan, and of the link to it, which knows no other plan than the one that the page left."""

    text: DeltaGenerator
    ways: DeltaGenerator
    drawn: str = ""

    def draw(self) -> None:
        said = f":small[:gray[{_('Plan')}]]  \n{standing.plan(state.desk())}"
        if said != self.drawn:
            self.text.markdown(said)
            self.drawn = said

    def finish(self) -> None:
        """After the page: sliders change the plan while it runs."""
        with plain_errors():
            self.draw()
            with self.ways:
                sharing.draw()


def _loaded() -> None:
    desk = state.desk()
    if lost := state.lost():
        st.warning(
            _(
                "The server ended while it opened {file}, so another network is here instead. Send the file again on "
                "the Load page if you trust it."
            ).format(file=literal(quoted(lost))),
            icon=":material/warning:",
        )
    model = state.loaded(desk.model)
    trained = "" if model.trained else f" :orange-badge[{_('untrained')}]"
    st.markdown(f":small[:gray[{_('Model')}]]  \n**{named(model.title)}**{trained} {standing.badge(desk.model)}")
    test = state.splits(desk.data)[1]
    with about(test.called):
        images = ngettext("{n:,} test image", "{n:,} test images", len(test)).format(n=len(test))
    st.markdown(
        f":small[:gray[{_('Data')}]]  \n**{named(test.name)}** :gray[· {images}] {notes.badge(test)}",
        help=notes.tooltip(test),
    )


def _runs() -> None:
    from pages.ui.jobs import advance, badge, title

    def running() -> list[JobView]:
        return list(state.jobs().of(state.owner(), active=True))

    def draw() -> None:
        active = first.pop() if first else running()
        if bool(active) != was_active:
            st.rerun()  # never in the page's own run, which may be answering a click
        if active:
            st.markdown(f":small[:gray[{_('Running')}]]")
        for view in active[:RUNS_SHOWN]:
            now = advance(state.jobs().snapshot(view.id, since=max(0, view.count - NEWEST)))
            st.markdown(f"{title(view)}  \n:small[{badge(view)} {literal(now.text)}]")
            if now.share is not None:
                st.progress(now.share)
        if len(active) > RUNS_SHOWN:
            st.caption(_("and {n} more").format(n=len(active) - RUNS_SHOWN))

    first = [running()]
    was_active = bool(first[0])
    st.fragment(draw, run_every=POLL_S if was_active else None, key="sidebar.runs")()
