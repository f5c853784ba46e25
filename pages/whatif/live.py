"""The accuracy beside the sliders: an estimate at once, overwritten by what is measured as soon as the page stands.

All in the run of the page itself: a slider that moves in the meantime ends this run between two batches.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.ui import cards, changes, engine, measured, numbers, provenance, standing
from pages.ui.desk import Desk
from pages.ui.language import N_, _, said
from pages.ui.literal import literal
from pages.whatif import outcome, record
from pruning_core.analysis.slider import Estimate, Measured, Slider
from pruning_core.apart.sliding import FarSlider
from pruning_core.errors import UserError
from pruning_core.graph import Network

READY = "whatif.slider"
FIRST_ORDER = N_(
    "class scores taken as linear in the gates of the channels around the plan measured last (first-order Taylor, "
    "{images} held-out images). Far from that plan it is too high."
)


def show(network: Network, desk: Desk, slot: DeltaGenerator) -> bool:
    """What is known of the plan's accuracy without measuring. Returns whether the visitor asks to measure it."""
    if applied := standing.applied(desk):
        view, pruned = applied
        after = pruned.after.accuracy
        cards.number(
            said(measured.measure(after.measure).name),
            measured.value(after),
            outcome.source(view, after),
            detail=measured.bounds(after),
            change=changes.paired(pruned.drop),
            help=_("Of the smaller network on the test images, as it was cut; below: the 95 % interval."),
            container=slot.container(height="stretch"),
        )
        return False
    slider = engine.of(desk, network) if _key(desk) in _ready() else None
    if slider is not None and (known := slider.measured(desk.plan)):
        _measured(slider, known, slot)
        return False
    estimate = slider.estimate(desk.plan) if slider else None
    if estimate:
        _estimated(estimate, desk, slot)
    else:
        cards.pending(
            _label(desk),
            _("measuring …") if engine.unasked(network) else _("not measured yet"),
            container=slot.container(height="stretch"),
        )
    return not engine.unasked(network)


def just_cut(network: Network, desk: Desk) -> Measured | None:
    """The accuracy on the held-out images without any recovery, where it was measured."""
    slider = engine.of(desk, network) if _key(desk) in _ready() else None
    return slider.measured(desk.plan) if slider else None


def ask(network: Network) -> bool:
    """For a network that is too large to be measured after every move."""
    text, button = st.columns([4, 1], vertical_alignment="center")
    text.caption(
        _(
            ":material/hourglass_empty: One image takes {macs} MACs, so it is measured when "
            "you ask, on {few} held-out images; estimates for the next moves follow from it."
        ).format(macs=numbers.count(network.cost().macs), few=engine.FEW)
    )
    return button.button(
        _("Measure this plan"), key="whatif.measure", icon=":material/speed:", width="stretch", wrap=True
    )


def follow(network: Network, desk: Desk, slot: DeltaGenerator, about: DeltaGenerator) -> None:
    """Measure the plan, batch after batch, and take first-order terms there; `about` tells how far that is.

    Nothing to do for a plan that was applied: it was measured on the test images.
    """
    if standing.applied(desk):
        return
    try:
        waited = _key(desk) not in _ready()
        with about.container():
            slider = engine.of(desk, network)
        _ready().add(_key(desk))
        plan = desk.plan
        known = slider.measured(plan)
        if known and waited:  # by another visitor, or before this one's page was loaded anew: it is not on the card yet
            _measured(slider, known, slot)
        if known is None:
            estimate = slider.estimate(plan)
            for found in slider.measuring(plan):
                _measured(slider, found, slot)
            if plan and estimate:
                record.add(desk, network, estimate, found)
        for images in slider.expanding(plan):
            about.caption(
                _(":gray[:material/timeline: first-order terms for the next move: {images} images]").format(
                    images=images
                )
            )
        about.empty()
    except UserError as error:
        about.empty()
        cards.pending(_label(desk), literal(said(str(error))), container=slot.container(height="stretch"))


def _label(desk: Desk) -> str:
    try:
        return said(measured.of_desk(desk).name)
    except UserError:  # the card says why nothing is measured
        return _("Accuracy")


def _measured(slider: Slider | FarSlider, found: Measured, slot: DeltaGenerator) -> None:
    accuracy, change = found.accuracy, changes.paired(found.drop)
    source = provenance.measured(
        accuracy.dataset,
        images=accuracy.images,
        device=slider.title,
        note=_("{what} Paired change: {text}.").format(what=outcome.what(accuracy), text=change.text),
    )
    cards.number(
        said(measured.measure(accuracy.measure).name),
        measured.value(accuracy),
        source,
        detail=_("{bounds}, {images} images").format(bounds=measured.bounds(accuracy), images=accuracy.images),
        change=change,
        help=(
            _(
                "On held-out images, before applying, with the batch-norm statistics of the unpruned "
                "network; applying measures it after the chosen recovery too. {interval_help}"
            ).format(interval_help=measured.interval_help(accuracy.measure))
        ),
        container=slot.container(height="stretch"),
    )


def _estimated(estimate: Estimate, desk: Desk, slot: DeltaGenerator) -> None:
    off = record.mean_error(desk)
    source = provenance.estimated(
        _(FIRST_ORDER).format(images=estimate.images), None if off is None else _("{n:.1f} points").format(n=100 * off)
    )
    cards.number(
        said(measured.measure(estimate.measure).name),
        f"≈ {measured.written(estimate.measure, estimate.top1)}",
        source,
        detail=_("first order"),
        container=slot.container(height="stretch"),
    )


def _key(desk: Desk) -> str:
    return f"{desk.model.to_json()} {desk.data.to_json()}"


def _ready() -> set[str]:
    """What this visitor has waited for."""
    found: set[str] = st.session_state.setdefault(READY, set())
    return found
