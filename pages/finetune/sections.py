"""The parts of the page, from top to bottom."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import streamlit as st

from pages.finetune import alt, brought, frames, keeping, settings, zeros
from pages.ui import (
    cards,
    charts,
    jobs,
    layouts,
    links,
    measured,
    numbers,
    plots,
    provenance,
    recovery,
    started,
    trainable,
)
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, ngettext, said
from pages.ui.literal import literal, named
from pruning_core.measuring.measure import Measure
from pruning_core.methods.recoveries import Distilling, JustCut, Mending, Recovery, Tuning
from pruning_core.runs.view import JobView
from pruning_core.studies.fine_tune import PRUNED, FineTuneRun
from pruning_core.training.config import CONTIGUOUS, FineTune
from pruning_core.training.events import Epoch, Step
from pruning_core.zoo import LoadedModel, ModelRef

CHOSEN = "finetune.job"
POLL_S = 1.5  # a training takes minutes, and each look redraws two figures
LOSS_HELP = N_(
    "On the training images, a moving average: cross-entropy (natural logarithm, hence nats), the distance from what "
    "the outputs are compared with, or that from the network that a distillation follows."
)


def introduction(desk: Desk, model: LoadedModel) -> None:
    if desk.model.base is not None:
        st.markdown(
            _(
                "**{title}** lost {lost}; a short training lets the rest make up for them. The control gives "
                "the *unpruned* network the same training, so that what pruning costs is not mistaken for "
                "what training brings."
            ).format(title=named(model.title), lost=zeros.lost(desk))
        )
        return
    st.info(
        _(
            "**{title}** is not pruned. Training it here only trains it longer: there is nothing to make "
            "up for and nothing to compare with. Remove channels first, then come back."
        ).format(title=named(model.title)),
        icon=":material/info:",
    )
    links.to_what_if()


@st.fragment
def start(desk: Desk, model: LoadedModel) -> None:
    """Settings, control, and the button. A fragment: turning a knob redraws no curve."""
    pruned = desk.model.base is not None
    with st.container(border=True):
        stands_in = measured.measure(measured.key_of(desk)).stands_in
        recoveries = _recoveries(Distilling if stands_in else Tuning) if pruned else (Tuning(),)
        if stands_in:
            st.caption(said(stands_in))
        config = _config(desk)
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        control = pruned and left.toggle(
            _("Train the unpruned network as a control"),
            True,
            key="finetune.control",
            help=_(
                "The origin of the pruned network, with the same settings and images. It takes longer than the rest."
            ),
            persist_state="session",
            wrap=True,
        )
        keep = pruned and zeros.stay(desk)
        misfit = trainable.why_not(desk.model, desk.data)
        if misfit:
            st.error(literal(misfit), icon=":material/error:")
        pressed = right.button(
            _("Start"), type="primary", width="stretch", disabled=config is None or bool(misfit), key="finetune.start",
            wrap=True,
        )  # fmt: skip
    if pressed and config is not None:
        spec = FineTuneRun(desk.model, desk.data, config, control, recoveries, keep)
        with plain_errors():
            spec = layouts.settled(spec, settings.KEY)
            started.say_when_done(spec)
            started.submit(spec, CHOSEN)


def _recoveries(usual: type[Recovery]) -> tuple[Recovery, ...]:
    """What the training starts from, and what it follows; ``usual`` is proposed."""
    left, right = st.columns([3, 2], gap="medium")
    with left:
        first = recovery.choose("finetune.first", default=JustCut)
        if first.trains or not isinstance(first, JustCut):
            st.caption(
                _(
                    "{idea} Mending begins with the weights that the network had before it was cut: what was "
                    "trained since is left out."
                ).format(idea=said(first.card.idea))
                if isinstance(first, Mending)
                else said(first.card.idea)
            )
    with right:
        training = recovery.choose("finetune.recovery", trains=True, default=usual)
        if isinstance(training, Distilling):
            st.caption(_("It follows the network that this one was cut from; the control is trained as usual."))
    return (training,) if isinstance(first, JustCut) else (first, training)


def _config(desk: Desk) -> FineTune | None:
    with plain_errors():
        return settings.choose(desk)
    return None


# -- what was started --------------------------------------------------------------------------------------------------


def runs(desk: Desk) -> None:
    found = trainings(desk)
    if not found:
        st.caption(
            _("No training of this network yet. Its curves appear here; it goes on while you look at other pages.")
        )
        return
    chosen, spec = started.choose(found, _("Training"), _label, shown=CHOSEN)
    view = jobs.watch(chosen.id, key="finetune", draw=lambda view: _live(view, spec), poll_s=POLL_S)
    keeping.section(view, spec, desk)


def trainings(desk: Desk) -> list[tuple[JobView, FineTuneRun]]:
    """The visitor's trainings of this network and data, newest first, whatever weights it has meanwhile."""
    model = _without_weights(desk.model)
    return started.mine(FineTuneRun, lambda spec: _without_weights(spec.model) == model and spec.data == desk.data)


def _without_weights(ref: ModelRef) -> ModelRef:
    return ref if ref.base is None else replace(ref, weights="")


def _label(spec: FineTuneRun) -> str:
    config = spec.config
    epochs = ngettext("{n} epoch", "{n} epochs", config.epochs).format(n=config.epochs)
    length = epochs if config.epochs else f"{config.minutes:g} min"
    beside = _(", with control") if spec.control else ""
    ways = _(" then ").join(said(each.card.name) for each in spec.recoveries)
    layout = f", {_(layouts.NAMES[config.layout])}" if config.layout != CONTIGUOUS else ""
    return _("{ways}: {length}, {optimizer}, learning rate {lr:g}, seed {seed}{beside}").format(
        ways=ways, length=length, optimizer=config.optimizer, lr=config.lr, seed=config.seed, beside=layout + beside
    )


def _live(view: JobView, spec: FineTuneRun) -> None:
    """Everything below the status line; drawn again while it runs."""
    _figures(view, spec)
    loss, accuracy = frames.losses(view.events), frames.accuracies(view.events)
    judged = _judged(view)
    places = st.columns(2)
    until = _until(spec, loss)
    title = _("Training loss{nats}").format(nats=" (nats)" if judged.decides else "")
    figure = charts.curves(loss, y="loss", y_title=title, alt=alt.loss(view))
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(range=[0, until])
    figure.update_layout(showlegend=True)  # with one line as with two, so that the plot keeps its place
    plots.show(figure, "finetune.loss", places[0])
    figure = charts.lines(
        accuracy,
        x="epoch",
        y="top1",
        low="low",
        high="high",
        by="run",
        alt=alt.accuracy(view),
        x_title=_("Epoch (0: before training)"),
        y_title=_("On the test images: {lower}{ending}").format(
            lower=measured.named_in(judged.key), ending=" (%)" if judged.unit == "share" else ""
        ),
        y_percent=judged.unit == "share",
        height=280,
    )
    figure.update_xaxes(range=[-0.03 * until, 1.03 * until])
    if accuracy.empty and judged.unit == "share":
        figure.update_yaxes(range=[0, 1])
    plots.show(figure, "finetune.accuracy", places[1])
    results = frames.brought(view.events)
    if results:
        brought.table(results, view, spec)
    if not view.active:
        brought.verdict(results, spec)


def _judged(view: JobView) -> Measure:
    """What the networks are judged by, as far as it is known."""
    return measured.measure(frames.judged_by(view.events))


def _until(spec: FineTuneRun, loss: pd.DataFrame) -> float:
    """Where the epoch axes end: a little ahead of what is drawn, at most at the last epoch."""
    ahead = max(2.0, 1.25 * float(loss["epoch"].max())) if len(loss) else 2.0
    last = 1.02 * spec.config.epochs  # room for the mark of the last one
    return min(ahead, last) if spec.config.epochs else ahead


def _figures(view: JobView, spec: FineTuneRun) -> None:
    """Four cards that are always there, so that nothing below them moves."""
    places = cards.row(4)
    step = _newest(view)
    epochs = [event for event in view.events if isinstance(event, Epoch)]
    device = view.device.upper()
    images = _("{name} (training images)").format(name=spec.data.name)
    on = provenance.measured(images, device=device, seed=spec.config.seed)
    waits = jobs.waiting(view)
    if step is None:
        cards.pending(_("Training loss"), waits, help=_(LOSS_HELP), container=places[0])
        cards.pending(_("Throughput"), waits, container=places[1])
        cards.pending(_("Time left"), waits, container=places[2])
    else:
        who = _(frames.NAMES[step.tag])
        label = _("Training loss") if step.tag == PRUNED or not spec.control else _("Training loss of the control")
        nats = " nats" if _judged(view).decides else ""
        cards.number(label, f"{step.loss:.4f}{nats}", on, detail=who, help=_(LOSS_HELP), container=places[0])
        speed = _("{n} images/s").format(n=numbers.count(step.images_per_s))
        cards.number(_("Throughput"), speed, on, detail=f"{device}, {who}", container=places[1])
        _time(view, spec, step, places[2])
    best_of = _("Best on the test images")
    if epochs:
        best_of = _("Best test {lower}").format(lower=measured.named_in(epochs[0].measure))
    else:
        cards.pending(best_of, waits, help=_(brought.CHOICE_HELP), container=places[3])
        return
    # While it runs the network in training, at the end the one this is about.
    newest = epochs[-1].tag if view.active else epochs[0].tag
    best = next(each for each in reversed(epochs) if each.tag == newest and each.improved)
    images = _("{name}, test images").format(name=spec.data.name)
    tested = provenance.measured(images, images=best.images, device=device, seed=spec.config.seed)
    cards.number(
        best_of,
        measured.value(best),
        tested,
        detail=f"{measured.bounds(best)}, {_(frames.NAMES[newest])}",
        help=_(brought.CHOICE_HELP),
        container=places[3],
    )


def _newest(view: JobView) -> Step | None:
    """While it runs the network in training, at the end the one this is about."""
    steps = [event for event in view.events if isinstance(event, Step)]
    own = [step for step in steps if step.tag == PRUNED]
    return next(iter(reversed(steps if view.active or not own else own)), None)


def _time(view: JobView, spec: FineTuneRun, step: Step, place: st.delta_generator.DeltaGenerator) -> None:
    if not view.active:
        took = provenance.measured(_("the clock of this run, all attempts together"), device=view.device.upper())
        cards.number(_("Time"), numbers.duration(view.seconds), took, detail=_("in all"), container=place)
        return
    then = _("with the control") if spec.control and step.tag == PRUNED else _("at this pace")
    beside = _("; the control takes longer in proportion to its MACs") if spec.control and step.tag == PRUNED else ""
    paced = provenance.estimated(_("the present pace, carried on to the end{beside}").format(beside=beside))
    text = numbers.duration(step.seconds_left)
    cards.number(_("Time left"), text, paced, detail=then, container=place)
