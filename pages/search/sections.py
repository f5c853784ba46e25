"""The parts of the page, from top to bottom."""

from __future__ import annotations

import streamlit as st

from pages.search import chosen, final, frames, settings
from pages.search.figures import draw
from pages.ui import jobs, measured, started
from pages.ui.bench import Bench
from pages.ui.desk import Desk
from pages.ui.language import _
from pages.ui.literal import named
from pruning_core.measuring.measures import TOP1
from pruning_core.runs.view import JobView
from pruning_core.studies.search import SearchRun

SHOWN = "search.run"
POLL_S = 1.0
Found = tuple[JobView, SearchRun]


def introduction(bench: Bench) -> None:
    judged = measured.key_of(bench.desk)
    st.markdown(
        _(
            "How wide should each layer of **{title}** stay? Every trial is a really smaller network: "
            "its channels are removed, the recovery chosen below follows, and its {named_in} is measured "
            "on the **{available:,} held-out images** of {name}. Nothing is trained."
        ).format(
            title=named(bench.model.title),
            named_in=measured.named_in(judged),
            available=bench.available,
            name=named(bench.desk.data.name),
        )
        + ("" if judged == TOP1 else f" {measured.sentence(judged)}")
    )


def start(bench: Bench) -> None:
    spec = settings.ask(bench.desk, bench.network, bench.available)
    if spec is not None:
        started.button(spec, _("search"), key="search.start", shown=SHOWN, forget=chosen.CHOSEN)


def results(bench: Bench) -> None:
    found = searches(bench.desk)
    if not found:
        st.info(
            _(
                "Nothing is searched yet. Every trial becomes a point while one watches; a search can be "
                "stopped and goes "
                "on where it stopped."
            ),
            icon=":material/query_stats:",
        )
        return
    view, spec = started.choose(found, _("Search shown"), frames.label, shown=SHOWN)
    network = bench.network
    ended = jobs.watch(view.id, key="search", draw=lambda now: draw(now, spec, network), poll_s=POLL_S)
    final.show(ended, spec)
    final.table(ended, spec, network)


def searches(desk: Desk) -> list[Found]:
    """The visitor's searches of the network and data on the desk, newest first, without their events."""
    return started.mine(SearchRun, lambda spec: spec.model == desk.model and spec.data == desk.data)
