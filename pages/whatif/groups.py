"""Every group: an overview of all, and the sliders that move them."""

from __future__ import annotations

import streamlit as st

from pages.ui import cards, history, measured, numbers, plots, state
from pages.ui.language import N_, _, ngettext, said
from pages.ui.literal import literal, named
from pages.ui.ranking import Ranking
from pages.ui.sweeps import label, usable
from pages.whatif import agreed, charts, figures, frames, plans
from pages.whatif.plans import Cut
from pruning_core.graph import Network
from pruning_core.measuring.measures import TOP1, Cell

FEW = 20  # groups: so many sliders may stand open at once
PER_ROW = 3
CHOSEN = "whatif.layer"


def section(network: Network, ranked: Ranking) -> None:
    """Few groups have a slider each; of many one is chosen, in the overview or by name, and has the slider."""
    found = plans.cuts(network, state.desk().plan, history.asked(), figures.multiple())
    many = len(found) > FEW
    if many and st.session_state.get(CHOSEN) not in {cut.key for cut in found}:
        st.session_state[CHOSEN] = found[0].key
    _overview(found, network, ranked, many)
    if many:
        _one(found, network, ranked)
        return
    exact = [cut for cut in found if cut.exact]
    if exact:
        with st.container(border=True):
            _grid(exact, network, ranked)
    approximate = [cut for cut in found if not cut.exact]
    if approximate:
        with st.expander(
            ngettext("{n} approximate group", "{n} approximate groups", len(approximate)).format(n=len(approximate))
        ):
            st.caption(_(APPROXIMATE))
            _grid(approximate, network, ranked)


APPROXIMATE = N_(
    "Removing these channels is not the same as silencing them (the Model page says why), so the global slider and the "
    "budgets leave them alone."
)


def _overview(found: list[Cut], network: Network, ranked: Ranking, many: bool) -> None:
    sweep = usable(state.desk(), ranked.criterion)
    cells = state.jobs().snapshot(sweep[0].id).all(Cell) if sweep else ()
    frame = frames.overview(network, state.desk().plan, found, cells)
    judged = cells[0].measure if cells else TOP1
    figure = charts.overview(
        frame, starts=frames.starts(found), selected=st.session_state[CHOSEN] if many else None,
        lost_title=_("{lost} (half removed)").format(lost=measured.lost(judged)),
    )  # fmt: skip
    if not many:
        plots.show(figure, "whatif.overview")
    else:
        clicked = plots.pick(figure, "whatif.overview", charts.LAYERS)
        if clicked is not None:
            st.session_state[CHOSEN] = found[int(clicked["point_index"])].key
            st.rerun()
    known = int(frame["lost"].notna().sum())
    told = [_("Columns: the groups from input to output, and the share of their channels that is kept.")]
    if many:
        told.append(_("Click one to move it, or choose it by name below."))
    told.append(
        _(
            "Colour: {lower} when a group alone loses about half of its channels, measured for {known} "
            "of {n} groups ({label})."
        ).format(lower=measured.lost_in(judged), known=known, n=len(frame), label=literal(label(sweep[1])))
        if sweep and known
        else _("What a group is worth is coloured in once a sweep on the Sensitivity page has measured it.")
    )
    st.caption(" ".join(told))
    cards.source_line(figures.COUNTED)


def _one(found: list[Cut], network: Network, ranked: Ranking) -> None:
    """The chosen group."""
    by_key = {cut.key: cut for cut in found}
    with st.container(border=True):
        left, right = st.columns([2, 3], gap="medium")
        with left:
            st.selectbox(_("Layer"), list(by_key), key=CHOSEN, help=_("Groups are called by the first layer in them."))
        cut = by_key[st.session_state[CHOSEN]]
        with right:
            _slider(cut, network, ranked, "whatif.chosen")
        if not cut.exact:
            st.caption(_(APPROXIMATE))


def _grid(mine: list[Cut], network: Network, ranked: Ranking) -> None:
    for start in range(0, len(mine), PER_ROW):
        for place, cut in zip(st.columns(PER_ROW, gap="medium"), mine[start : start + PER_ROW]):
            with place:
                _slider(cut, network, ranked, f"whatif.group.{cut.key}")


def _slider(cut: Cut, network: Network, ranked: Ranking, key: str) -> None:
    agreed.show(key, cut.key, cut.asked)
    st.slider(
        _("{key}: {kept} of {size} kept").format(
            key=named(cut.key), kept=cut.kept, size=cut.size
        ),  # words only: it is what a screen reader says
        0,
        100,
        format="%d %%",
        key=key,
        disabled=cut.key not in ranked.values,
        help=_help(cut, network, ranked),
    )
    with st.container():
        if cut.spared:
            st.caption(_(":orange-badge[one kept] 100 % would remove the whole layer."))


def _help(cut: Cut, network: Network, ranked: Ranking) -> str:
    layers = network.group(cut.key).layers
    more = _(" and {n} more").format(n=len(layers) - 6) if len(layers) > 6 else ""
    together = _("Cut together: {join}{more}").format(join=", ".join(map(named, layers[:6])), more=more)
    if cut.key in ranked.missing:
        return f"{said(ranked.criterion.card.name)}: {literal(said(ranked.missing[cut.key]))}. {together}."
    return _("Asked {asked} %, actual {actual}. {together}.").format(
        asked=cut.asked, actual=numbers.percent(cut.actual), together=together
    )
