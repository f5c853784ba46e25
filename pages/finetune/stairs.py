"""What came of pruning in steps: accuracy falls at every cut and climbs in between."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from pages.ui import cards, changes, charts, links, measured, plots, provenance, state
from pages.ui.desk import Desk
from pruning_core.measuring.measures import Accuracy, Drop
from pruning_core.methods.recoveries import JustCut
from pruning_core.runs.events import Event
from pruning_core.runs.view import JobView
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.reached import AT_ONCE, SCHEDULED, Reached, Shrunk, way_of
from pruning_core.training.events import Epoch

COLUMNS = ["epoch", "run", "top1", "low", "high"]


def label(spec: GradualRun) -> str:
    after = "" if isinstance(spec.recovery, JustCut) else f" · each cut: {spec.recovery.card.name}"
    return (
        f"{spec.schedule.card.name} · {spec.steps} steps · {spec.config.epochs} epochs · {spec.criterion.label} · "
        f"seed {spec.config.seed}{after}"
    )


def before(spec: GradualRun) -> str:
    """What a step's first accuracy is measured after."""
    return "After the cut" + ("" if isinstance(spec.recovery, JustCut) else f" and: {spec.recovery.card.name}")


def names(spec: GradualRun) -> dict[str, str]:
    """What people call the two ways."""
    return {SCHEDULED: spec.schedule.card.name, AT_ONCE: "At once (control)"}


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
                "step": f"{cut.step} of {cut.steps}",
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
        st.caption("The first cut is being made.")
        return
    frame = accuracies(view.events, called)
    said = "; ".join(f"{row['way']}, step {row['step']}: {row['before']} to {row['after']}" for row in rows)
    figure = charts.lines(
        frame, x="epoch", y="top1", by="run", low="low", high="high", height=330, y_percent=True,
        x_title="Epochs of training", y_title="Test accuracy, top-1",
        alt=f"Test accuracy over the epochs, falling at each cut. {said}.",
    )  # fmt: skip
    figure.update_layout(showlegend=True)
    plots.show(figure, "gradual.stairs")
    st.dataframe(
        rows,
        hide_index=True,
        key="gradual.table",
        column_config={
            "way": st.column_config.TextColumn("Way", pinned=True),
            "step": "Step",
            "ratio": st.column_config.NumberColumn(
                "Removed", format="percent", help="Share of the channels of the planned groups that is gone."
            ),
            "macs": st.column_config.NumberColumn("MACs", format="localized"),
            "epochs": "Epochs",
            "before": st.column_config.TextColumn(
                before(spec), help="Test accuracy with its 95 % interval, before training."
            ),
            "after": st.column_config.TextColumn("After training", help="Of the weights best on held-out images."),
        },
    )
    ends = view.all(Reached)
    if ends:
        cards.source_line(
            provenance.measured(
                ends[-1].after.dataset, images=ends[-1].after.images, device=view.device.upper(), seed=spec.config.seed,
                note=f"Bands are 95 % intervals.{_recovered(spec)} Each step begins with the full learning rate.",
            )
        )  # fmt: skip


def _recovered(spec: GradualRun) -> str:
    if isinstance(spec.recovery, JustCut):
        return ""
    images = spec.recovery.looks_at
    return f" Every cut is followed by: {spec.recovery.card.name}, on {images} images of the training part."


def finish(view: JobView, spec: GradualRun, desk: Desk) -> None:
    """The verdict, and the networks to go on with."""
    if view.active:
        return
    drop, called = view.last(Drop), names(spec)
    if drop is not None:
        change = changes.paired(drop)
        st.markdown(
            f"**{called[SCHEDULED]} against the same at once: {change.delta}** on the same "
            f"{drop.images:,} test images, {change.interval}, {change.verdict}. Both ended at the same widths after as "
            "many epochs."
        )
    places = st.columns(2)
    for place, way in zip(places, spec.ways):
        cuts = {each.step: each for each in view.all(Shrunk) if each.way == way}
        ends = {each.step: each for each in view.all(Reached) if each.way == way}
        if not ends:
            continue
        step = max(ends)
        model = spec.reference(cuts[step], ends[step])
        reached = "" if step == cuts[step].steps else f", as it was after step {step} of {cuts[step].steps}"
        with place:
            if desk.model == model:
                st.success(f"{called[way]}: this network is on the desk.", icon=":material/check:")
                links.to_download()
            elif st.button(
                f"Keep the network: {called[way]}{reached}", key=f"gradual.keep.{way}", icon=":material/check:",
                width="stretch", wrap=True,
            ):  # fmt: skip
                state.choose_model(model)
                st.rerun()
