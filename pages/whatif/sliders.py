"""The sliders: one for all exact groups, one for each group."""

from __future__ import annotations

import streamlit as st

from pages.ui import history, state
from pages.ui.desk import Desk
from pages.ui.literal import code, literal, named
from pages.ui.ranking import Ranking, choose_criterion, ranking_when_there
from pages.whatif import how, plans
from pages.whatif.figures import UNIT, UNITS
from pages.whatif.plans import Cut
from pruning_core.graph import Network

ALL = "whatif.all"
FEW = 20  # groups: so many sliders may stand open at once
PER_ROW = 3


def head(desk: Desk, network: Network) -> Ranking | None:
    """Criterion, global slider, undo and reset. None while a criterion that looks at images is still at work."""
    first, second, third = st.columns([5, 7, 4], gap="medium")
    with first:
        criterion = choose_criterion()
    with st.container():  # always there, so that what follows keeps its place while a run is shown
        ranked = ranking_when_there(desk, network, criterion, "whatif.scores")
    with second:
        if ranked is None:
            st.info(f"The sliders move once the channels are scored by {criterion.card.name}.", icon=":material/tune:")
        else:
            _global(network, ranked)
    with third:
        st.space("xsmall")
        undo, reset = st.columns(2)
        undo.button(
            "Undo", key="whatif.undo", on_click=history.undo, disabled=not history.past(), width="stretch",
            help="Take back the last change of the plan.",
        )  # fmt: skip
        reset.button(
            "Reset", key="whatif.reset", on_click=history.reset, disabled=not state.desk().plan, width="stretch",
            help="Keep every channel.",
        )  # fmt: skip
        st.segmented_control(
            "Count", UNITS, default=UNITS[0], required=True, key=UNIT, label_visibility="collapsed",
            persist_state="session", width="stretch",
        )  # fmt: skip
    if ranked is not None:
        _otherwise(network, ranked)
    return ranked


def _global(network: Network, ranked: Ranking) -> None:
    found = plans.cuts(network, state.desk().plan, history.asked())
    exact = [cut for cut in found if cut.exact and cut.key in ranked.values]
    shares = {cut.asked for cut in exact}
    one = shares.pop() if len(shares) == 1 else None
    if not exact:
        st.info("No group of this network can be cut exactly and be judged by this criterion.")
        return
    # The plan is the truth and the slider shows it, so that presets, undo and other pages move it too.
    removed, total = sum(cut.removed for cut in exact), sum(cut.size for cut in exact)
    st.session_state[ALL] = one if one is not None else round(100 * removed / total)
    st.slider(
        f"All {len(exact)} exact groups: share removed",
        0,
        100,
        format="%d %%",
        key=ALL,
        on_change=_moved_all,
        args=(network, ranked),
        help="Sets every exact group to the same share. The groups below can then be moved one by one.",
    )
    if one is None:
        st.caption(f"The groups differ: {removed:,} of {total:,} channels are removed in all.")
    elif one >= 100:
        st.caption(
            ":orange-badge[one kept] 100 % would remove whole layers, and the network would pass nothing on. Every "
            "group keeps one channel."
        )
    else:
        st.caption(f"{removed:,} of {total:,} channels are removed, whole channels only.")


def _moved_all(network: Network, ranked: Ranking) -> None:
    percent = int(st.session_state[ALL])
    wishes = {group.key: percent for group in network.groups if group.exact}
    plan = plans.everywhere(network, state.desk().plan, percent, ranked.values)
    history.change(plan, wishes, how.by_hand(state.desk(), network, ranked, plan))


def _otherwise(network: Network, ranked: Ranking) -> None:
    """The plan may come from a sweep, another criterion or another page: say so, and change nothing unasked."""
    differing = plans.chosen_otherwise(state.desk().plan, ranked.values)
    if not differing:
        return
    text, button = st.columns([4, 1], vertical_alignment="center")
    text.info(
        f"In {len(differing)} of {len(state.desk().plan)} cut groups the plan removes other channels than "
        f"{ranked.criterion.card.name} would. They stay as they are until their slider moves.",
        icon=":material/info:",
    )
    button.button(
        "Choose them again", key="whatif.again", on_click=_choose_again, args=(network, ranked), width="stretch"
    )


def _choose_again(network: Network, ranked: Ranking) -> None:
    plan = plans.chosen_again(state.desk().plan, ranked.values)
    history.change(plan, how=how.by_hand(state.desk(), network, ranked, plan))


def every_group(network: Network, ranked: Ranking) -> None:
    found = plans.cuts(network, state.desk().plan, history.asked())
    exact = [cut for cut in found if cut.exact]
    by_key = {cut.key: cut for cut in exact}
    if len(exact) <= FEW:
        with st.container(border=True):
            _grid(exact, network, ranked)
    else:
        for number, (stage, keys) in enumerate(plans.stages(list(by_key)).items()):
            _stage(stage, [by_key[key] for key in keys], network, ranked, number == 0)
    approximate = [cut for cut in found if not cut.exact]
    if approximate:
        _stage("approximate", approximate, network, ranked, False)


def _stage(stage: str, mine: list[Cut], network: Network, ranked: Ranking, unfolded: bool) -> None:
    kept, size = sum(cut.kept for cut in mine), sum(cut.size for cut in mine)
    groups = f"{len(mine)} group{'' if len(mine) == 1 else 's'}"
    title = "Approximate groups" if stage == "approximate" else code(stage)
    # The label is the identity of what was folded, so the changing numbers stand inside.
    part = st.expander(f"{title} · {groups}", expanded=unfolded, key=f"whatif.stage.{stage}", on_change="rerun")
    if not part.open:
        return
    with part:
        if stage == "approximate":
            st.caption(
                "Removing these channels is not the same as silencing them (the Model page says why), so the global "
                "slider and the budgets leave them alone."
            )
        st.caption(f"{kept:,} of {size:,} channels kept")
        _grid(mine, network, ranked)


def _grid(mine: list[Cut], network: Network, ranked: Ranking) -> None:
    for start in range(0, len(mine), PER_ROW):
        for place, cut in zip(st.columns(PER_ROW, gap="medium"), mine[start : start + PER_ROW]):
            with place:
                _slider(cut, network, ranked)


def _slider(cut: Cut, network: Network, ranked: Ranking) -> None:
    key = f"whatif.group.{cut.key}"
    st.session_state[key] = cut.asked
    st.slider(
        f"{code(cut.key)} · **{cut.kept}** of {cut.size} kept",
        0,
        100,
        format="%d %%",
        key=key,
        on_change=_moved,
        args=(key, cut.key, network, ranked),
        disabled=cut.key not in ranked.values,
        help=_help(cut, network, ranked),
    )
    if cut.spared:
        st.caption(":orange-badge[one kept] 100 % would remove the whole layer.")


def _help(cut: Cut, network: Network, ranked: Ranking) -> str:
    layers = network.group(cut.key).layers
    together = f"Cut together: {', '.join(map(named, layers[:6]))}" + (
        f" and {len(layers) - 6} more" if len(layers) > 6 else ""
    )
    if cut.key in ranked.missing:
        return f"{ranked.criterion.card.name}: {literal(ranked.missing[cut.key])}. {together}."
    return f"Asked {cut.asked} %, actual {100 * cut.actual:.1f} %. {together}."


def _moved(key: str, group: str, network: Network, ranked: Ranking) -> None:
    percent = int(st.session_state[key])
    scores = ranked.values[group]
    plan = plans.with_percent(state.desk().plan, network.group(group), percent, scores)
    history.change(plan, {group: percent}, how.by_hand(state.desk(), network, ranked, plan))
