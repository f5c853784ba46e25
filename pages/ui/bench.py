"""The frame of a page that measures a network on held-out images: what it is about, how to start, what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages.ui import state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.held_out import held_out_size, say_when_few
from pages.ui.language import _
from pruning_core.graph import Network
from pruning_core.zoo import LoadedModel


@dataclass(frozen=True, eq=False)
class Bench:
    """``available``: how many images are held out."""

    desk: Desk
    model: LoadedModel
    network: Network
    available: int


Part = Callable[[Bench], None]


def page(title: str, *, verb: str, pointless: str, introduction: Part, start: Part, results: Part) -> None:
    """``verb``: what is done with groups; ``pointless``: why it tells nothing of an untrained network."""
    desk = state.worked_on()
    model, network = state.loaded(desk.model), state.network(desk.model)
    st.title(title)
    bench = Bench(desk, model, network, held_out_size(desk.data))
    introduction(bench)
    say_when_few(bench.available)
    if not model.trained:
        st.warning(
            _("This network is untrained: what it gives is chance, so {pointless}.").format(pointless=pointless),
            icon=":material/warning:",
        )
    if not network.groups:
        st.info(
            _(
                "Nothing in this network can be cut, so there is nothing to {verb}. The Model page says what "
                "is in the way."
            ).format(verb=verb)
        )
        return
    with plain_errors():  # what cannot be started must not hide what was found
        start(bench)
    results(bench)
