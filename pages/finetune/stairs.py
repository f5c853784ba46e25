"""What came of pruning in steps: what is measured falls at every cut and climbs in between."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from pages.finetune import frames
from pages.ui import cards, changes, charts, links, measured, plots, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import _, said
from pruning_core.measuring.measures import Accuracy, Drop
from pruning_core.methods.recoveries import JustCut
from pruning_core.runs.events import Event
from pruning_core.runs.view import JobView
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.reached import AT_ONCE, SCHEDULED, Reached, Shrunk, way_of
from pruning_core.training.events import Epoch

COLUMNS = ["epoch", "run", "top1", "low", "high"]


def label(spec: GradualRun) -> str:
    after = (
        ""
        if isinstance(spec.recovery, JustCut)
        else _(" · each cut: {name}").format(name=said(spec.recovery.card.name))
    )
    return _("{name} · {steps} steps · {epochs} epochs · {label} · seed {seed}{after}").format(
        name=said(spec.schedule.card.name),
        steps=spec.steps,
        epochs=spec.config.epochs,
        label=said(spec.criterion.label),
        seed=spec.config.seed,
        after=after,
    )


def before(spec: GradualRun) -> str:
    """What a step's first accuracy is measured after."""
    return _("After the cut") + (
        "" if isinstance(spec.recovery, JustCut) else _(" and: {name}").format(name=said(spec.recovery.card.name))
    )


def names(spec: GradualRun) -> dict[str, str]:
    """What people call the two ways."""
    return {SCHEDULED: said(spec.schedule.card.name), AT_ONCE: _("At once (control)")}


def accuracies(events: Iterable[Event], called: dict[str, str]) -> pd.DataFrame:
    """`epoch` over all steps, `run`, `top1`, `low`, `high`: two rows where one step ends and the next cut falls."""
    known = list(events)
    lengths = {(each.way, each.step): each.epochs for each in known if isinstance(each, Shrunk)}
    rows = []
    for each in known:
        if isinstance(each, Epoch):
            way, step = way_of(each.tag)
            before = sum(lengths.get((way, earlier), 0) for earlier in range(1, step))
            rows.append((before + each.epoch, called[way], each.top1, each.low, each.high))
    return pd.DataFrame(rows, columns=COLUMNS)


def table(events: Iterable[Event], called: dict[str, str]) -> list[dict[str, object]]:
    """One row per cut; the accuracies of a step that is still in training are missing."""
    known = list(events)
    reached = {(each.way, each.step): each for each in known if isinstance(each, Reached)}
    rows: list[dict[str, object]] = []
    for cut in (each for each in known if isinstance(each, Shrunk)):
        end = reached.get((cut.way, cut.step))
        rows.append(
            {
                "way": called[cut.way],
                "step": _("{n} of {total}").format(n=cut.step, total=cut.steps),
                "ratio": cut.ratio,
                "macs": cut.macs,
                "epochs": cut.epochs,
                "before": _text(end.before) if end else "–",
                "after": _text(end.after) if end else "–",
            }
        )
    return rows


def _text(accuracy: Accuracy) -> str:
    return measured.text(accuracy)


def draw(view: JobView, spec: GradualRun) -> None:
    """Drawn again while it runs."""
    called = names(spec)
    rows = table(view.events, called)
    if not rows:
        st.caption(_("The first cut is being made."))
        return
    frame = accuracies(view.events, called)
    key = frames.judged_by(view.events)
    said = "; ".join(_("{way}, step {step}: {before} to {after}").format(**row) for row in rows)
    figure = charts.lines(
        frame, x="epoch", y="top1", by="run", low="low", high="high", height=330,
        y_percent=measured.measure(key).unit == "share",
        x_title=_("Epochs of training"),
        y_title=_("{axis_title}, test images").format(axis_title=measured.axis_title(key)),
        alt=_("Test {named_in} over the epochs, cut after cut. {said}.").format(
            named_in=measured.named_in(key), said=said
        ),
    )  # fmt: skip
    figure.update_layout(showlegend=True)
    plots.show(figure, "gradual.stairs")
    st.dataframe(
        rows,
        hide_index=True,
        key="gradual.table",
        column_config={
            "way": st.column_config.TextColumn(_("Way"), pinned=True),
            "step": _("Step"),
            "ratio": st.column_config.NumberColumn(
                _("Removed"), format="percent", help=_("Share of the channels of the planned groups that is gone.")
            ),
            "macs": st.column_config.NumberColumn(_("MACs"), format="localized"),
            "epochs": _("Epochs"),
            "before": st.column_config.TextColumn(
                before(spec), help=_("On the test images, with its 95 % interval, before training.")
            ),
            "after": st.column_config.TextColumn(
                _("After training"), help=_("Of the weights best on held-out images.")
            ),
        },
    )
    ends = view.all(Reached)
    if ends:
        cards.source_line(
            provenance.measured(
                ends[-1].after.dataset, images=ends[-1].after.images, device=view.device.upper(), seed=spec.config.seed,
                note=_(
"Bands are 95 % intervals.{recovered} Each step begins with the full learning rate."
).format(recovered=_recovered(spec)),
            )
        )  # fmt: skip


def _recovered(spec: GradualRun) -> str:
    if isinstance(spec.recovery, JustCut):
        return ""
    images = spec.recovery.looks_at
    return _(" Every cut is followed by: {name}, on {images} images of the training part.").format(
        name=said(spec.recovery.card.name), images=images
    )


def finish(view: JobView, spec: GradualRun, desk: Desk) -> None:
    """The verdict, and the networks to go on with."""
    if view.active:
        return
    drop, called = view.last(Drop), names(spec)
    if drop is not None:
        change = changes.paired(drop)
        st.markdown(
            _(
                "**{called} against the same at once: {delta}** on the same {images:,} test images, "
                "{interval}, {verdict}. Both ended at the same widths after as many epochs."
            ).format(
                called=called[SCHEDULED],
                delta=change.delta,
                images=drop.images,
                interval=change.interval,
                verdict=change.verdict,
            )
        )
    places = st.columns(2)
    for place, way in zip(places, spec.ways):
        cuts = {each.step: each for each in view.all(Shrunk) if each.way == way}
        ends = {each.step: each for each in view.all(Reached) if each.way == way}
        if not ends:
            continue
        step = max(ends)
        model = spec.reference(cuts[step], ends[step])
        reached = (
            ""
            if step == cuts[step].steps
            else _(", as it was after step {step} of {steps}").format(step=step, steps=cuts[step].steps)
        )
        with place:
            if desk.model == model:
                st.success(
                    _("{called}: this network is on the desk.").format(called=called[way]), icon=":material/check:"
                )
                links.to_download()
            elif st.button(
                _("Keep the network: {called}{reached}").format(called=called[way], reached=reached),
                key=f"gradual.keep.{way}", icon=":material/check:",
                width="stretch", wrap=True,
            ):  # fmt: skip
                state.choose_model(model)
                st.rerun()
