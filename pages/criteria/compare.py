"""What networks are judged by against MACs for each criterion, at several moments, with chance beside them."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
import torch

from pages.criteria import charts, frames, table
from pages.ui import (
    cards,
    jobs,
    layouts,
    measured,
    plots,
    provenance,
    recovery,
    started,
    state,
    trainable,
)
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.held_out import choose_images, held_out_size
from pages.ui.language import N_, _, ngettext, said, together
from pages.ui.literal import literal
from pages.ui.sweeps import judged_on
from pruning_core.allocation.budget import Reach, reachable
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import Criterion
from pruning_core.graph import Network
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.view import JobView
from pruning_core.studies.compare import BUDGETS, CompareRun
from pruning_core.studies.points import ORIGIN, OutOfReach, Point, Scored, When
from pruning_core.studies.scores import is_random
from pruning_core.training.config import FineTune

OFFERED = tuple(round(share / 100, 2) for share in range(95, 5, -5))
JOB, LAYOUT = "criteria.job", "criteria"
BARS = {True: N_("95 % Wilson intervals"), False: N_("95 % intervals, from bootstrap samples of these images")}


def section(desk: Desk, network: Network, criteria: tuple[Criterion, ...]) -> None:
    with plain_errors():
        _compared(desk, network, criteria)


def _compared(desk: Desk, network: Network, criteria: tuple[Criterion, ...]) -> None:
    spec = _ask(desk, network, criteria)
    known = state.jobs().find(spec) if spec is not None else None
    if spec is not None and known is None:
        text = ngettext("Compare {n} criterion", "Compare {n} criteria", len(criteria)).format(n=len(criteria))
        if st.button(text, type="primary", icon=":material/play_arrow:", key="criteria.start", wrap=True):
            if spec.tune is not None:
                spec = replace(spec, tune=layouts.settle(desk.model, desk.data, spec.tune, LAYOUT))
            started.submit(spec, JOB)
        st.caption(
            _("{points} measurements on really smaller networks; what is done is kept when you stop it.").format(
                points=spec.points
            )
        )
    if known is not None:
        st.session_state[JOB] = known.id
    job = st.session_state.get(JOB)
    if job is None:
        return
    run = state.jobs().spec(job)
    if not isinstance(run, CompareRun) or run.model != desk.model:
        return
    if known is None:
        st.caption(_("Below: your last comparison. The settings above describe another one."))
    jobs.watch(job, key="criteria.run", draw=lambda view: _results(view, network, run))


def _ask(desk: Desk, network: Network, criteria: tuple[Criterion, ...]) -> CompareRun | None:
    """The settings; None when nothing can run with them."""
    first, second, third = st.columns([5, 4, 5], gap="medium")
    with first:
        budgets = st.multiselect(
            _("Budgets: share of the MACs that may stay"),
            OFFERED,
            default=[share for share in OFFERED if share in BUDGETS],
            format_func=lambda share: f"{100 * share:.0f} %",
            key="criteria.budgets",
            persist_state="session",
            help=_(
                "For each of them every layer loses the same share of its channels, just enough to keep the budget."
            ),
            wrap=True,
        )
    with second:
        available = held_out_size(desk.data)
        images = choose_images(available, "criteria")
        draws = 5
        if any(is_random(each) for each in criteria):
            draws = int(
                st.slider(
                    _("Repeats of random choices"), 5, 20, 5, key="criteria.draws", persist_state="session",
                    help=_("Of criteria that pick channels at random: so many seeds are tried, and the "
                    "band spans them."),
                )
            )  # fmt: skip
    with third:
        recalibrate = st.toggle(
            said(When.RECALIBRATED).capitalize(), True, key="criteria.recalibrate", persist_state="session",
            help=_("New batch-norm statistics from images of the training part; the weights stay."), wrap=True,
        )  # fmt: skip
        mend = st.toggle(
            said(When.MENDED).capitalize(),
            True,
            key="criteria.mend",
            persist_state="session",
            help=_("{idea} From images of the training part, without labels. {lesson}").format(
                idea=said(Mending.card.idea), lesson=_(recovery.LESSON)
            ),
            wrap=True,
        )
        tune = _tune(desk)
    reach = _reach(network)
    if reach is None:
        st.warning(_("No group of this network can be cut exactly, so no budget can be kept."))
        return None
    least = reach.low / reach.high
    low = [share for share in budgets if share < least]
    if low:
        shares = ", ".join(f"{100 * share:.0f} %" for share in low)
        st.warning(
            _("{shares} cannot be reached: this network can have {text}.").format(shares=shares, text=reach.text)
        )
    wanted = tuple(sorted(set(budgets) - set(low), reverse=True))
    if not wanted:
        st.info(_("Choose at least one budget within reach."))
        return None
    return CompareRun(
        desk.model,
        judged_on(desk.data),
        criteria,
        wanted,
        random_seeds=draws,
        images=None if images >= available else images,
        recalibrate=recalibrate,
        mend=Mending() if mend else None,
        tune=tune,
    )


def _tune(desk: Desk) -> FineTune | None:
    misfit = trainable.why_not(desk.model, desk.data)
    wanted = st.toggle(
        _("{capitalize}, the same for all").format(capitalize=said(When.TUNED).capitalize()),
        False,
        key="criteria.tune",
        persist_state="session",
        disabled=bool(misfit),
        help=_(
            "Every pruned network, and the unpruned one as the control, gets the same training. This takes longest."
        ),
        wrap=True,
    )
    if misfit:
        st.caption(literal(misfit))
    if misfit or not wanted:
        return None
    left, right = st.columns(2)
    epochs = left.slider(_("Epochs"), 1, 20, 2, key="criteria.epochs", persist_state="session")
    rate = right.select_slider(
        _("Learning rate"), (0.001, 0.003, 0.01, 0.03, 0.1), 0.01, key="criteria.rate", persist_state="session"
    )
    config = layouts.so_far(desk.model, desk.data, FineTune(epochs=int(epochs), lr=float(rate)), LAYOUT)
    layouts.caption(desk.model, desk.data, config)
    return config


def _reach(network: Network) -> Reach | None:
    """What uniform removal can reach; the scores do not matter for that. None when nothing can be cut exactly."""
    if not any(group.exact for group in network.groups):
        return None
    level = {group.key: torch.zeros(group.size, dtype=torch.float64) for group in network.groups}
    return reachable(Uniform(), Pool.of(network, level))


def _origin(when: str) -> str:
    return _("unpruned, {when}").format(when=said(when)) if when == When.TUNED else _("unpruned")


# -- results -----------------------------------------------------------------------------------------------------------


def _results(view: JobView, network: Network, run: CompareRun) -> None:
    frame = frames.summary(view.all(Point), view.all(Scored))
    cut = frame[frame["criterion"] != ORIGIN]
    if cut.empty:
        st.caption(_("The first points appear when the channels are scored."))
        return
    moments = [str(when) for when in When if str(when) in set(cut["when"])]
    shown = st.pills(
        _("Shown in the figure"),
        moments,
        selection_mode="multi",
        default=moments[-1:],
        format_func=said,
        key=f"criteria.moments.{len(moments)}",
        help=_("When the networks were measured: right after cutting, or after what was done to them since."),
        wrap=True,
    )
    shown = [when for when in moments if when in (shown or moments[-1:])]
    part, judged = cut[cut["when"].isin(shown)], frames.measure_of(cut)
    origins = {_origin(when): frames.origin(frame, when) for when in shown}
    names = list(dict.fromkeys(each.label for each in run.criteria))
    figure = charts.tradeoff(
        part,
        names=names,
        origins={label: value for label, value in origins.items() if value is not None},
        full_macs=network.cost().macs,
    )
    plots.show(figure, "criteria.tradeoff")
    images = int(cut["images"].iloc[0])
    on = provenance.measured(
        (_("{name}, held-out images") if run.data.split == "held-out" else _("{name}, test images")).format(
            name=run.data.name
        ),
        images=images,
        device=view.device.upper(),
        seed=run.seed,
        note=_("{sentence} Bars: {how}. A band spans the worst and the best repeat of a random choice.").format(
            sentence=measured.sentence(judged), how=_(BARS[measured.measure(judged).decides])
        )
        + (_(" The epoch that a training keeps was chosen on these images too.") if run.tune else ""),
    )
    cards.source_line(on)
    table.table(frame, run)
    refused: dict[tuple[str, str], list[float]] = {}
    for told in view.all(OutOfReach):
        refused.setdefault((told.criterion, told.sentence), []).append(told.budget)
    for (criterion, sentence), budgets in list(refused.items())[:3]:
        st.caption(
            _(":orange-badge[left out] {criterion}, {budgets}: {sentence}").format(
                criterion=said(criterion), sentence=literal(said(sentence)),
                budgets=together([f"{100 * budget:.0f} %" for budget in dict.fromkeys(budgets)]),
            )
        )  # fmt: skip
