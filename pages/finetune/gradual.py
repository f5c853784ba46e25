"""The other way: the widths of a plan reached in steps, with training in between."""

from __future__ import annotations

import streamlit as st

from pages.finetune import courses, stairs
from pages.ui import jobs, layouts, links, plots, recovery, shortcuts, started, state, trainable
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.held_out import looked_at, usual_batch
from pages.ui.language import _, ngettext, said
from pages.ui.literal import literal
from pages.ui.ranking import choose_criterion
from pages.ui.widgets import knob_widget, knob_widgets
from pruning_core.allocation.course import steps_of
from pruning_core.allocation.schedule import SCHEDULES, Schedule
from pruning_core.graph import Network, Plan
from pruning_core.methods.phases import shared_out
from pruning_core.methods.recoveries import JustCut
from pruning_core.runs.view import JobView
from pruning_core.studies.gradual import GradualRun
from pruning_core.training.config import FineTune
from pruning_core.zoo import ModelRef

KEY = "gradual"
SHOWN = "gradual.job"
POLL_S = 1.5


def section(desk: Desk) -> None:
    st.markdown(
        _(
            "Cut a little, train a little: the network meets each loss while it can still make up for it. Whether that "
            "is worth its time only shows beside the same cut **at once** with **as many epochs in all**."
        )
    )
    target = aim(desk)
    if target is None:
        st.info(_("There is no plan to reach yet. Make one on What-if or Search; its widths are the target."))
        links.to_what_if(_("Make a plan on What-if"))
        return
    model, plan = target
    with plain_errors():
        _start(desk, model, plan, state.network(model))
    _results(desk, model)


def aim(desk: Desk) -> tuple[ModelRef, Plan] | None:
    """Which network to begin with, and the plan to reach: the one on the desk, else the one it was cut by."""
    if desk.plan:
        return desk.model, desk.plan
    if desk.model.base is not None and desk.model.source == "pruned":
        return desk.model.base, Plan.from_json(desk.model.plan)
    return None


def _start(desk: Desk, model: ModelRef, whole: Plan, network: Network) -> None:
    with st.container(border=True):
        left, right = st.columns([3, 2], gap="medium")
        with left:
            plan = shortcuts.choose(network, model, f"{KEY}.shortcuts").of_plan(whole, network)
            if not plan:
                st.warning(
                    _("The plan removes coupled channels only. Choose to cut them too."), icon=":material/block:"
                )
                return
            schedule = _schedule()
            places = st.columns(2)
            with places[0]:
                wanted = st.slider(_("Steps"), 2, 20, 5, key=f"{KEY}.steps", persist_state="session")
            steps = steps_of(schedule, network, plan, int(wanted))
            with places[1]:
                epochs = st.number_input(
                    _("Epochs in all"), 1, 1000, 10, key=f"{KEY}.epochs", persist_state="session",
                    help=_("Shared out evenly among the steps; the control trains as many after its one cut."),
                )  # fmt: skip
            with st.popover(_("Training"), icon=":material/tune:", width="stretch", wrap=True):
                config = FineTune(
                    epochs=int(epochs),
                    lr=knob_widget(FineTune, "lr", KEY),
                    optimizer=knob_widget(FineTune, "optimizer", KEY),
                    schedule=knob_widget(FineTune, "schedule", KEY),
                    batch_size=usual_batch(desk.data),
                    augment=knob_widget(FineTune, "augment", KEY) if trainable.moves(desk) else FineTune.augment,
                    seed=int(st.number_input(_("Seed"), 0, 2**31 - 1, 0, key=f"{KEY}.seed", persist_state="session")),
                )
                layouts.choose(KEY)
            layouts.caption(model, desk.data, config)
            criterion = choose_criterion()
            after = recovery.choose(f"{KEY}.recovery", default=JustCut).sized(network.cost(plan).macs)
            if not isinstance(after, JustCut):
                st.caption(
                    _(
                        "After every cut, before its training, in the control too: {idea} From {looks_at} images of "
                        "the training part."
                    ).format(idea=said(after.card.idea), looks_at=looked_at(after, desk.data))
                )
        with right:
            target = max(network.ratio(plan, key) for key in plan)
            frame = courses.frame(schedule, steps, target)
            plots.show(courses.chart(frame, chosen=said(schedule.card.name), steps=steps), "gradual.courses")
            st.caption(
                _(
                    "Share of its channels that the group with the highest ratio ({target:.0f} %) has lost. "
                    "Marks: the chosen schedule. A band: from the first layer to the last."
                ).format(target=100 * target)
            )
        several = len(GradualRun(model, desk.data, "", schedule=schedule).ways) > 1
        control = several and st.toggle(
            _("The same at once as the control"), True, key=f"{KEY}.control", persist_state="session",
            help=_("One cut to the same widths by the same criterion, then as many epochs in all."), wrap=True,
        )  # fmt: skip
        spec = GradualRun(model, desk.data, plan.to_json(), criterion, schedule, int(wanted), config, control, after)
        pace = ngettext("{n} step", "{n} steps", steps).format(n=steps)
        shares = shared_out(config, [1.0] * steps)
        each = (
            f"{min(shares)}"
            if min(shares) == max(shares)
            else _("{low} to {high}").format(low=min(shares), high=max(shares))
        )
        groups = _("1 group loses") if len(plan) == 1 else _("{n} groups lose").format(n=len(plan))
        st.caption(
            _("{pace} of {each} epochs to the widths of the plan: {groups} channels.").format(
                pace=pace, each=each, groups=groups
            )
        )
        if misfit := trainable.why_not(model, desk.data):
            st.error(literal(misfit), icon=":material/error:")
        if st.button(
            _("Prune in steps"),
            type="primary",
            key="gradual.start",
            icon=":material/stairs:",
            disabled=bool(misfit),
            wrap=True,
        ):
            spec = layouts.settled(spec, KEY)
            started.say_when_done(spec)
            started.submit(spec, SHOWN)


def _schedule() -> Schedule:
    classes = {each.card.key: each for each in SCHEDULES}
    wanted = st.selectbox(
        _("Schedule"),
        list(classes),
        index=1,  # the first is everything at once, which stands beside it anyway
        format_func=lambda key: said(classes[key].card.name),
        key=f"{KEY}.schedule",
        help=_("How much of the target is gone after each step."),
        persist_state="session",
    )
    chosen = classes[wanted or next(iter(classes))]
    st.caption(f"{said(chosen.card.idea)} {said(chosen.card.fails)}")
    st.latex(chosen.card.formula)
    return knob_widgets(chosen, KEY)


# -- what was started --------------------------------------------------------------------------------------------------


def runs(desk: Desk) -> list[JobView]:
    """The visitor's runs that set out from the network on the desk, newest first."""
    target = aim(desk)
    return [view for view, _ in _of(desk, target[0])] if target else []


def _results(desk: Desk, model: ModelRef) -> None:
    found = _of(desk, model)
    if not found:
        return
    chosen, spec = started.choose(found, _("Run"), stairs.label, shown=SHOWN)
    view = jobs.watch(chosen.id, key="gradual", draw=lambda view: stairs.draw(view, spec), poll_s=POLL_S)
    stairs.finish(view, spec, desk)


def _of(desk: Desk, model: ModelRef) -> list[tuple[JobView, GradualRun]]:
    """The visitor's runs from this network with this data, newest first."""
    return started.mine(GradualRun, lambda spec: spec.model == model and spec.data == desk.data)
