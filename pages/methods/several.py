"""Several methods under one budget, one after the other, and what chance reaches beside them."""

from __future__ import annotations

import streamlit as st

from pages.methods import chance, refused
from pages.ui import layouts, numbers, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.literal import literal, named
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.shortcuts import Coupled, Shortcuts
from pruning_core.graph import Network
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.registry import METHODS
from pruning_core.studies.method import MethodRun
from pruning_core.training.config import FineTune


def section(
    desk: Desk, network: Network, budget: Budget, config: FineTune, kept: Shortcuts, key: str, shown: str
) -> None:
    """``kept``: for those that remove channels."""
    with st.spinner(_("Asking which methods can run here")):
        why = {each: _why_not(desk, each(), network, budget, config, kept) for each in METHODS}
    able = {each.card.key: each for each, said in why.items() if not said}
    chosen = st.multiselect(
        _("Methods"),
        list(able),
        default=list(able),
        format_func=lambda name: said(able[name].card.name),
        key=f"{key}.several",
        wrap=True,
    )
    _others({said(each.card.name): reason for each, reason in why.items() if reason})
    beside = st.toggle(
        _("Cuts by chance beside them, {seeds} seeds").format(seeds=chance.SEEDS),
        True,
        key=f"{key}.chance",
        persist_state="session",
        help=_("The same share of every layer, chosen at random, and the same training: what a method must beat."),
        wrap=True,
    )
    controls = [each for each in chance.controls() if not _why_not(desk, each, network, budget, config, kept)]
    methods = [able[name]() for name in chosen] + (controls if beside else [])
    runs = [
        layouts.known(
            MethodRun(desk.model, desk.data, each, budget, config, kept if each.of_channels else Coupled()), key
        )
        for each in methods
    ]
    new = [run for run in runs if state.jobs().find(run) is None]
    st.caption(
        _(
            "Each with its usual knobs, the same budget, {epochs} epochs in all and the same images; one "
            "after the other. **{title}** on {name}. {length}"
        ).format(
            epochs=config.epochs,
            title=named(state.loaded(desk.model).title),
            name=named(desk.data.name),
            length=_length(desk, new, config),
        )
    )
    if st.button(_("Put them in the queue"), key=f"{key}.queue", disabled=not runs, icon=":material/queue:", wrap=True):
        for run in [layouts.settled(run, key) for run in runs]:
            st.session_state.setdefault(shown, state.jobs().submit(run, state.owner()))
        st.rerun()


def _why_not(desk: Desk, method: Method, network: Network, budget: Budget, config: FineTune, kept: Shortcuts) -> str:
    """The sentence that a run of ``method`` would end with at once, "" for none."""
    if not method.of_channels:
        return refused.why_not(desk, method, Goal(network, budget), config)
    narrow = kept.narrowed(network)
    return kept.why_not(narrow) or refused.why_not(desk, method, Goal(narrow, budget), config)


def _others(why: dict[str, str]) -> None:
    """Those that are not offered, and what each would end with."""
    if why:
        count = _("1 method cannot") if len(why) == 1 else _("{n} methods cannot").format(n=len(why))
        with st.popover(_("{count} run here: why").format(count=count), icon=":material/block:", wrap=True):
            for name, reason in why.items():
                st.markdown(f"**{name}**: {literal(said(reason))}")


def _length(desk: Desk, runs: list[MethodRun], config: FineTune) -> str:
    """How long it will take, by what earlier runs on this network took."""
    if not runs:
        return _("All of them have run.")
    seconds = chance.seconds_per_epoch(desk)
    if seconds is None:
        return _("{n} runs; how long one takes is known after the first.").format(n=len(runs))
    whole = numbers.duration(seconds * config.epochs * len(runs))
    return _("{n} runs, about {whole} together by what an epoch took in earlier runs, measuring included.").format(
        n=len(runs), whole=whole
    )
