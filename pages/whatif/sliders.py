"""What stands above the groups: criterion, one slider for all exact groups, undo and reset."""

from __future__ import annotations

import streamlit as st

from pages.ui import history, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pages.ui.ranking import Ranking, choose_criterion, ranking_when_there
from pages.whatif import agreed, how, plans
from pages.whatif.figures import MULTIPLE, UNIT, UNITS, multiple
from pruning_core.graph import Network

ALL = "whatif.all"
MULTIPLES = (1, 4, 8, 16)


def head(desk: Desk, network: Network) -> Ranking | None:
    """Criterion, global slider, undo and reset. None while a criterion that looks at images is still at work."""
    first, second, third = st.columns([5, 7, 4], gap="medium")
    with first:
        criterion = choose_criterion()
    with st.container():  # always there, so that what follows keeps its place while a run is shown
        ranked = ranking_when_there(desk, network, criterion, "whatif.scores")
    if ranked is not None:
        _take_moves(network, ranked)
    with second:
        if ranked is None:
            st.info(
                _("The sliders move once the channels are scored by {name}.").format(name=said(criterion.card.name)),
                icon=":material/tune:",
            )
        else:
            _global(network, ranked)
    with third:
        st.space("xsmall")
        undo, reset = st.columns(2)
        undo.button(
            _("Undo"), key="whatif.undo", on_click=history.undo, disabled=not history.past(), width="stretch",
            help=_("Take back the last change of the plan."), wrap=True,
        )  # fmt: skip
        reset.button(
            _("Reset"), key="whatif.reset", on_click=history.reset, disabled=not state.desk().plan, width="stretch",
            help=_("Keep every channel."), wrap=True,
        )  # fmt: skip
        st.segmented_control(
            _("Count"), UNITS, default=UNITS[0], required=True, key=UNIT, label_visibility="collapsed",
            persist_state="session", width="stretch", wrap=True,
        )  # fmt: skip
        st.segmented_control(
            _("Keep multiples of"), MULTIPLES, default=1, required=True, key=MULTIPLE, persist_state="session",
            wrap=True,
            help=_(
                "What a slider keeps is rounded up to it from the next move on: many devices compute 8 or 16 channels "
                "at a time, and 17 cost them as much as 32. For budgets it stands under Limits."
            ),
        )  # fmt: skip
    with st.container():  # always there: a slider that moves to another place in the page loses the keyboard
        if ranked is not None:
            _otherwise(network, ranked)
    return ranked


def _global(network: Network, ranked: Ranking) -> None:
    found = plans.cuts(network, state.desk().plan, history.asked(), multiple())
    exact = [cut for cut in found if cut.exact and cut.key in ranked.values]
    shares = {cut.asked for cut in exact}
    one = shares.pop() if len(shares) == 1 else None
    if not exact:
        st.info(_("No group of this network can be cut exactly and be judged by this criterion."))
        return
    removed, total = sum(cut.removed for cut in exact), sum(cut.size for cut in exact)
    agreed.show(ALL, None, one if one is not None else round(100 * removed / total))
    st.slider(
        _("All {n} exact groups: share removed").format(n=len(exact)),
        0,
        100,
        format="%d %%",
        key=ALL,
        help=_("Sets every exact group to the same share. The groups below can then be moved one by one."),
    )
    if one is None:
        st.caption(
            _("The groups differ: {removed:,} of {total:,} channels are removed in all.").format(
                removed=removed, total=total
            )
        )
    elif one >= 100:
        st.caption(
            _(
                ":orange-badge[one kept] 100 % would remove whole layers, and the network would pass nothing on. Every "
                "group keeps one channel."
            )
        )
    else:
        steps = (
            _("kept in multiples of {multiple}").format(multiple=multiple())
            if multiple() > 1
            else _("whole channels only")
        )
        st.caption(
            _("{removed:,} of {total:,} channels are removed, {steps}.").format(
                removed=removed, total=total, steps=steps
            )
        )


def _take_moves(network: Network, ranked: Ranking) -> None:
    for target, percent in agreed.moves():
        plan = state.desk().plan
        if target is None:
            wishes = {group.key: percent for group in network.groups if group.exact}
            plan = plans.everywhere(network, plan, percent, ranked.values, multiple())
        elif target in ranked.values:
            wishes = {target: percent}
            plan = plans.with_percent(plan, network.group(target), percent, ranked.values[target], multiple())
        else:
            continue
        history.change(plan, wishes, how.by_hand(state.desk(), network, ranked, plan))


def _otherwise(network: Network, ranked: Ranking) -> None:
    """The plan may come from a sweep, another criterion or another page: say so, and change nothing unasked."""
    differing = plans.chosen_otherwise(state.desk().plan, ranked.values)
    if not differing:
        return
    text, button = st.columns([4, 1], vertical_alignment="center")
    text.info(
        _(
            "In {n} of {n_2} cut groups the plan removes other channels than {name} would. They stay as "
            "they are until their slider moves."
        ).format(n=len(differing), n_2=len(state.desk().plan), name=said(ranked.criterion.card.name)),
        icon=":material/info:",
    )
    button.button(
        _("Choose them again"),
        key="whatif.again",
        on_click=_choose_again,
        args=(network, ranked),
        width="stretch",
        wrap=True,
    )


def _choose_again(network: Network, ranked: Ranking) -> None:
    plan = plans.chosen_again(state.desk().plan, ranked.values)
    history.change(plan, how=how.by_hand(state.desk(), network, ranked, plan))
