"""Try it here: what it would cut on one layer of the loaded network, and what that does, measured."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from pages.taxonomy import charts, preview, registry
from pages.taxonomy.registry import Home
from pages.ui import cards, changes, engine, numbers, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, said
from pages.ui.literal import code, literal
from pages.ui.measured import bounds, measure, value
from pages.ui.ranking import ranking_when_there
from pages.ui.registry import by_key
from pages.ui.widgets import knob_widgets
from pruning_core.allocation.lowest import lowest
from pruning_core.analysis.slider import Measured
from pruning_core.criteria import Criterion
from pruning_core.graph import Network, Plan
from pruning_core.taxonomy import Card

COUNTED = provenance.derived(N_("counted in the captured network, exactly."))


def show(card: Card, desk: Desk) -> None:
    network = state.network(desk.model)
    if not network.groups:
        st.info(_("Nothing in the loaded network can be cut. Load another network."))
        return
    criterion = knob_widgets(by_key()[card.key], "taxonomy.knobs") if card.key in by_key() else None
    found = criterion or preview.of(card.key, network)
    if isinstance(found, Criterion):
        with plain_errors():
            _layer(found, desk, network, learns=criterion is None)
    else:
        st.markdown(found.sentence)
        if found.grain and st.button(
            _("See it on Granularity"), key="taxonomy.grain", icon=":material/grain:", wrap=True
        ):
            st.session_state["granularity.grain"] = found.grain
            st.switch_page("pages/granularity/page.py")
    where = registry.home(card.key)
    if where is not None:
        _go(card, where)


def _layer(criterion: Criterion, desk: Desk, network: Network, *, learns: bool) -> None:
    if learns:
        st.caption(
            _("The method judges by {name}. This is what it would cut now, before it trains.").format(
                name=said(criterion.card.name)
            )
        )
    keys = [group.key for group in network.groups]
    first = keys[min(1, len(keys) - 1)]
    layer = st.selectbox(_("Layer"), keys, keys.index(first), key="taxonomy.layer", persist_state="session") or first
    ratio = st.slider(_("Ratio removed"), 0.0, 0.95, 0.5, 0.05, key="taxonomy.ratio", persist_state="session")
    ranked = ranking_when_there(desk, network, criterion, "taxonomy.try")
    if ranked is None:
        return
    if layer in ranked.missing:
        st.info(
            _("{criterion} cannot judge {layer}: {why}").format(
                criterion=said(criterion.card.name), layer=code(layer), why=literal(said(ranked.missing[layer]))
            )
        )
        return
    scores, group = ranked.values[layer], network.group(layer)
    gone = lowest(scores, min(int(ratio * group.size), group.size - 1))
    frame = pd.DataFrame({"channel": range(group.size), "score": scores.numpy()})
    frame["cut"] = frame["channel"].isin(gone)
    plots.show(charts.scores(frame, title=said(criterion.card.name), layer=layer), "taxonomy.scores")
    plan = Plan({layer: gone})
    first_card, second_card = cards.pair(400)
    before, after = network.cost().macs, network.cost(plan).macs
    cards.number(
        _("MACs"),
        numbers.count(after),
        COUNTED,
        detail=_("{after} fewer, whole network").format(after=numbers.percent(1 - after / before)),
        container=first_card,
    )
    if not engine.unasked(network) and not st.button(
        _("Measure it"), key="taxonomy.measure", icon=":material/speed:", wrap=True
    ):
        cards.pending(_("Accuracy"), _("a large network is measured when you ask"), container=second_card)
        return
    with st.spinner(_("Measuring …"), show_time=True):
        measured, device = engine.measure(desk, network, plan)
    accuracy(measured, device, second_card)
    st.caption(_("Measured right after the cut, without any training. Nothing on the desk has changed."))


def accuracy(found: Measured, device: str, place: st.delta_generator.DeltaGenerator) -> None:
    seen, change = found.accuracy, changes.paired(found.drop)
    cards.number(
        said(measure(seen.measure).name),
        value(seen),
        provenance.measured(
            seen.dataset, images=seen.images, device=device, note=_("Paired change: {text}.").format(text=change.text)
        ),
        detail=_("{seen}, {images} images").format(seen=bounds(seen), images=seen.images),
        change=change,
        container=place,
    )


def _go(card: Card, where: Home) -> None:
    """What is no criterion also has a page made for it, already chosen there."""
    if st.button(_(where.label), type="primary", key="taxonomy.go", icon=":material/arrow_forward:", wrap=True):
        st.session_state.update({**where.besides, where.choice: card.key})
        st.switch_page(where.script)
