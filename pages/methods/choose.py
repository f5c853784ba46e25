"""What is to run: the method with its knobs, the budget, the training, and the timeline that follows from them."""

from __future__ import annotations

import streamlit as st

from pages.methods import beside_paper, frames, refused, several
from pages.ui import layouts, numbers, shortcuts, started, state, trainable
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.held_out import usual_batch
from pages.ui.language import N_, _, ngettext, said
from pages.ui.literal import literal
from pages.ui.widgets import knob_widget, knob_widgets
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.shortcuts import Coupled
from pruning_core.graph import Network
from pruning_core.knobs import knobs_of
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.phases import settings
from pruning_core.methods.registry import METHODS
from pruning_core.studies.method import MethodRun
from pruning_core.training.config import FineTune

KEY = "methods"
SHOWN = "methods.job"
COUNTED = {N_("MACs"): "macs", N_("Parameters"): "parameters"}


ENDS = {
    N_("fewer channels"): Outcome.SMALLER,
    N_("zeros"): Outcome.SPARSE,
    N_("grouped kernels"): Outcome.REGROUPED,
    N_("fewer layers"): Outcome.SHALLOWER,
    N_("gates"): Outcome.DYNAMIC,
}


@st.fragment
def section(desk: Desk) -> None:
    """A fragment: turning a knob redraws no curve."""
    with plain_errors():
        network = state.network(desk.model)
        with st.container(border=True):
            left, right = st.columns(2, gap="medium")
            with left:
                method = _method()
                _card(method)
            with right:
                budget = _budget(network)
                chosen = shortcuts.choose(network, desk.model, f"{KEY}.shortcuts") if method.of_channels else Coupled()
                config = _training(desk)
            with left:
                beside_paper.section(method, config)
            with right:
                goal = Goal(chosen.narrowed(network), budget)
                obstacle = chosen.why_not(network) or refused.why_not(desk, method, goal, config)
                _timeline(method, goal, config, obstacle)
            _buttons(MethodRun(desk.model, desk.data, method, budget, config, chosen), obstacle)
            with st.expander(_("Run several beside each other"), icon=":material/table_rows:"):
                several.section(desk, network, budget, config, chosen, KEY, SHOWN)


def _method() -> Method:
    ends = st.pills(
        _("It ends in"),
        list(ENDS),
        format_func=_,
        key=f"{KEY}.outcome",
        persist_state="session",
        help=_("Nothing chosen: all methods."),
        wrap=True,
    )
    classes = {each.card.key: each for each in METHODS if ends is None or each.outcome is ENDS[ends]}
    wanted = st.selectbox(
        _("Method"),
        list(classes),
        format_func=lambda key: f"{said(classes[key].card.name)} · {said(classes[key].card.family)}",
        key=f"{KEY}.method",
        persist_state="session",
    )
    chosen = classes[wanted or next(iter(classes))]
    return knob_widgets(chosen, KEY) if knobs_of(chosen) else chosen()


def _card(method: Method) -> None:
    card = method.card
    st.markdown(_("{idea} It ends in **{outcome}**.").format(idea=said(card.idea), outcome=said(method.outcome)))
    st.latex(card.formula)
    st.caption(_("When it fails: {fails}").format(fails=said(card.fails)))
    if card.paper:
        where = f"{card.paper.authors}: {card.paper.title}. {card.paper.venue} {card.paper.year}"
        st.caption(f"[{where}]({card.paper.url})" if card.paper.url else where)
    if not method.budgeted:
        st.caption(_(":material/tune: It keeps to no budget: its own settings say how much is left."))
    if method.scaled_down:
        st.caption(
            _(":material/compress: **Smaller than in the paper:** {scaled_down}").format(
                scaled_down=said(method.scaled_down)
            )
        )


def _budget(network: Network) -> Budget:
    kind = st.segmented_control(
        _("Budget in"),
        list(COUNTED),
        format_func=_,
        default="MACs",
        required=True,
        key=f"{KEY}.kind",
        persist_state="session",
        wrap=True,
    )
    share = st.slider(
        _("What may be left"), 5, 95, 50, 5, format="%d %%", key=f"{KEY}.share", persist_state="session",
        help=_("Of the network on the desk. The method removes as little as keeps to it."),
    )  # fmt: skip
    cost = network.cost()
    full = cost.macs if COUNTED[kind or "MACs"] == "macs" else cost.parameters
    st.caption(
        _("At most {count} of {full} {kind}.").format(
            count=numbers.count(full * share / 100), full=numbers.count(full), kind=kind
        )
    )
    return Budget("macs" if COUNTED[kind or "MACs"] == "macs" else "parameters", fraction=share / 100)


def _training(desk: Desk) -> FineTune:
    left, right = st.columns(2, vertical_alignment="bottom")
    epochs = left.number_input(
        _("Epochs in all"), 1, 1000, 6, key=f"{KEY}.epochs", persist_state="session",
        help=_("Shared out among the trainings of the method, at least one each."),
    )  # fmt: skip
    names = ("lr", "optimizer", "schedule", *(("augment",) if trainable.moves(desk) else ()))
    with right.popover(_("Training"), icon=":material/tune:", width="stretch", wrap=True):
        values = {name: knob_widget(FineTune, name, KEY) for name in names}
        seed = st.number_input(_("Seed"), 0, 2**31 - 1, 0, key=f"{KEY}.seed", persist_state="session")
        layouts.choose(KEY)
    config = FineTune(epochs=int(epochs), seed=int(seed), batch_size=usual_batch(desk.data), **values)
    layouts.caption(desk.model, desk.data, config)
    return config


def _timeline(method: Method, goal: Goal, config: FineTune, obstacle: str) -> None:
    """What will be done, before anything runs."""
    if obstacle:
        st.warning(literal(said(obstacle)), icon=":material/block:")
        return
    phases = tuple(method.phases(goal))
    configs = settings(phases, config)
    lines = []
    for number, phase in enumerate(phases):
        own = configs[number].epochs if number in configs else 0
        epochs = ngettext(", {n} epoch", ", {n} epochs", own).format(n=own) if own else ""
        what = frames.what(phase)
        name = said(phase.name)
        told = _("**{name}**: {what}").format(name=name, what=what) if what != name else f"**{name}**"
        lines.append(f"{number + 1}. {told}{epochs}")
    st.markdown(_("What will be done:\n") + "\n".join(lines))
    if not method.budgeted:
        st.caption(_("How much is left is what its own knobs say; it does not look at the budget."))


def _buttons(spec: MethodRun, obstacle: str) -> None:
    """``obstacle``: it stands in the timeline."""
    misfit = trainable.why_not(spec.model, spec.data)
    if misfit:
        st.error(literal(misfit), icon=":material/error:")
    if st.button(
        _("Run {name}").format(name=said(spec.method.card.name)),
        type="primary",
        key=f"{KEY}.start",
        icon=":material/play_arrow:",
        disabled=bool(obstacle or misfit),
        wrap=True,
    ):
        spec = layouts.settled(spec, KEY)
        started.say_when_done(spec)
        started.submit(spec, SHOWN)
