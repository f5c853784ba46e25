"""What to search: the widgets, and the run they describe."""

from __future__ import annotations

import dataclasses

import streamlit as st
import torch

from pages.ui import budgets, recovery, shortcuts, state, tables
from pages.ui.desk import Desk
from pages.ui.held_out import choose_images
from pages.ui.language import N_, _, said
from pages.ui.ranking import choose_criterion
from pages.ui.sweeps import drops, source, usable
from pages.ui.widgets import knob_widget, knob_widgets
from pruning_core.allocation.budget import Budget, told
from pruning_core.allocation.candidates import Candidates
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.search import BASELINE, EXPLORERS, Search, reach
from pruning_core.allocation.space import Explorer
from pruning_core.criteria import Criterion
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.methods.recoveries import NewStatistics
from pruning_core.studies.search import SearchRun

KEY = "search"
FRONT = N_(
    "Every trial is scaled to use the budgets up. Without any, the search looks for the whole front: the best network "
    "at every size."
)
TRIALS = (10, 20, 40, 60, 100, 150, 200, 300, 500, 1000)
USUAL = 60


def ask(desk: Desk, network: Network, available: int) -> SearchRun | None:
    """The widgets; None when what they describe cannot run, which they then say."""
    first, second, third = st.columns([5, 5, 5], gap="medium")
    with first:
        explorer = _explorer()
    with second:
        wanted = budgets.ask(KEY, more=_(FRONT))
        trials = 1 + explorer.candidates if isinstance(explorer, Candidates) else _trials(explorer)
    with third:
        criterion = choose_criterion()
        explorer = _completed(explorer, criterion, desk, network)
        control = _control(explorer)
        kept = shortcuts.choose(network, desk.model, f"{KEY}.shortcuts")
        with st.popover(_("Limits and settings"), icon=":material/straighten:", width="stretch", wrap=True):
            limits = dataclasses.replace(_limits(network), shortcuts=kept)
            least = knob_widget(Search, "least", KEY)
            images = choose_images(available, KEY)
            chosen = recovery.choose("search.recovery", default=NewStatistics).sized(network.cost().macs)
            seed = int(st.number_input(_("Seed"), 0, 2**31 - 2, 0, key=f"{KEY}.seed", persist_state="session"))
    search = Search(explorer, trials, least, seed)
    if not _reachable(search, network, limits, wanted):
        return None
    return SearchRun(
        desk.model,
        desk.data,
        criterion,
        search,
        limits,
        control,
        None if images >= available else images,
        chosen,
        budgets=wanted,
    )


def _explorer() -> Explorer:
    classes = {each.card.key: each for each in EXPLORERS}
    wanted = st.selectbox(
        _("Search by"),
        list(classes),
        format_func=lambda key: said(classes[key].card.name),
        key=f"{KEY}.explorer",
        help=_("What proposes the next widths after it has seen how the last ones did."),
        persist_state="session",
    )
    chosen = classes[wanted or next(iter(classes))]
    st.caption(f"{said(chosen.card.idea)} {said(chosen.card.fails)}")
    return knob_widgets(chosen, KEY)


def _completed(explorer: Explorer, criterion: Criterion, desk: Desk, network: Network) -> Explorer:
    """With the stored drops, where it is made from them. Raises UserError when there are none."""
    if not isinstance(explorer, Candidates):
        return explorer
    if brought := tables.ask(network, desk):
        return dataclasses.replace(explorer, table=brought.table)
    sweep = usable(desk, criterion)
    if sweep is None:
        raise UserError(
            _("{name} needs a sensitivity sweep of this network. Run one on the Sensitivity page first.").format(
                name=said(explorer.card.name)
            )
        )
    st.caption(f":material/grid_on: {source(sweep, criterion)}")
    found = drops(state.jobs().snapshot(sweep[0].id))
    return dataclasses.replace(explorer, table=tuple((key, tuple(curve)) for key, curve in found.items()))


def _control(explorer: Explorer) -> bool:
    if isinstance(explorer, BASELINE):
        return False
    return bool(
        st.toggle(
            _("{name} beside it, as the control").format(name=said(BASELINE.card.name)),
            True,
            key=f"{KEY}.control",
            help=_(
                "As many networks of random widths under the same budget, measured in the same way. A search that "
                "does not beat them has found nothing. It doubles the time."
            ),
            persist_state="session",
            wrap=True,
        )
    )


def _trials(explorer: Explorer) -> int:
    return int(
        st.select_slider(
            _("Trials"),
            TRIALS,
            USUAL,
            key=f"{KEY}.trials",
            persist_state="session",
            help=_("Networks that are really made and measured. {name}: {cost}.").format(
                name=said(explorer.card.name), cost=said(explorer.card.cost)
            ),
        )
    )


def _limits(network: Network) -> Limits:
    limits = knob_widgets(Limits, f"{KEY}.limits")
    protected = st.multiselect(
        _("Protected layers"),
        [group.key for group in network.groups],
        key=f"{KEY}.protected.{len(network.groups)}",
        help=_("They keep all their channels."),
        persist_state="session",
        wrap=True,
    )
    return dataclasses.replace(limits, protected=tuple(protected))


def _reachable(search: Search, network: Network, limits: Limits, wanted: tuple[Budget, ...]) -> bool:
    """Says what the budgets allow and whether they can be had, before anything runs."""
    # Which channels go does not matter to the cost, so nothing needs to be scored for this.
    level = {group.key: torch.zeros(group.size, dtype=torch.float64) for group in network.groups}
    pool = Pool.of(network, level, limits)
    if not wanted:
        if not search.explorer.pareto:
            st.warning(
                _("{name} needs a budget. Set one, or choose another search.").format(
                    name=said(search.explorer.card.name)
                ),
                icon=":material/block:",
            )
        return search.explorer.pareto
    timed = [each for each in wanted if each.timed]
    if timed:
        compiled = any(each.kind == "compiled" for each in timed)
        st.caption(
            _(
                ":material/timer: {told} of the unpruned network: what can be reached is timed before the "
                "first trial, and a budget out of reach is refused then, with the range."
            ).format(told=told(timed))
            + (_(" Every plan that is timed is compiled first, some seconds each.") if compiled else "")
        )
    return budgets.feasible([(each, reach(search, pool, each.kind)) for each in wanted if not each.timed])
