"""Lesson 1: a trained network holds more than it needs."""

from __future__ import annotations

import pandas as pd
from torch import Tensor

from pages.lessons.lesson import Lesson, Step
from pages.ui import bars, changes, numbers
from pages.ui import charts as shared
from pages.ui.demo import COUNTED, HALF, Demo, Shown
from pages.ui.language import N_, _
from pruning_core.analysis.similarity import response_rows, weight_rows
from pruning_core.criteria import GeometricMedian, L1Norm
from pruning_core.graph import Plan

IMAGES = 64
RATIOS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)


def _nearest(rows: Tensor) -> Tensor:
    """(C,) the likeness of each row to the one most like it, falling."""
    unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return (unit @ unit.T).fill_diagonal_(-1).max(1).values.sort(descending=True).values


def alike(demo: Demo) -> Shown:
    fit = demo.parts()[0]
    answers = response_rows(demo.model, demo.widest, fit, images=IMAGES)
    by = {
        _("weights"): _nearest(weight_rows(demo.model, demo.widest)),
        _("answers to images"): _nearest(answers - answers.mean(1, keepdim=True)),
    }
    rows = [(name, place + 1, value) for name, found in by.items() for place, value in enumerate(found.tolist())]
    figure = shared.lines(
        pd.DataFrame(rows, columns=["of", "place", "likeness"]), x="place", y="likeness", by="of",
        alt=_("Likeness of each channel to the one most like it, by weights and by answers."),
        x_title=_("Channels, the most alike first"), y_title=_("Likeness to the nearest other one (1 = the same)"),
    )  # fmt: skip
    weights, seen = (float(found.median()) for found in by.values())
    values = {
        "layer": demo.widest.key, "count": str(demo.widest.size), "weights": f"{weights:.2f}", "seen": f"{seen:.2f}",
        "most": f"{float(by[_('answers to images')][0]):.2f}",
    }  # fmt: skip
    measured = demo.source(
        _("Answers of {size} channels to {images} images of the fitted part.").format(
            size=demo.widest.size, images=IMAGES
        )
    )
    return Shown(figure, values, (COUNTED, measured))


def _sweep(demo: Demo, keys: tuple[str, ...], alt: str) -> tuple[pd.DataFrame, Shown]:
    ranks = demo.ranks(L1Norm())
    rows = []
    for ratio in RATIOS:
        plan = demo.cut(ranks, ratio, keys)
        found = demo.measured(plan)
        seen, noise = found.accuracy, changes.paired(found.drop).within_noise
        rows.append((ratio, seen.top1, seen.low, seen.high, noise, demo.left(plan)))
    frame = pd.DataFrame(rows, columns=["ratio", "top1", "low", "high", "noise", "left"])
    figure = shared.lines(
        frame,
        x="ratio",
        y="top1",
        low="low",
        high="high",
        alt=alt,
        x_title=_("Channels removed"),
        y_title=_("Accuracy"),
        x_percent=True,
        y_percent=True,
    )
    free = frame[frame["noise"]].iloc[-1]
    half = frame[frame["ratio"] == HALF].iloc[0]
    values = {
        "layer": keys[0] if keys else "", "full": numbers.percent(frame["top1"].iloc[0]),
        "free": numbers.percent(free["ratio"], 0), "left": numbers.percent(half["left"], 0),
        "eighth": numbers.percent(frame["top1"].iloc[1]),
        "half": numbers.percent(half["top1"]), "last": numbers.percent(frame["top1"].iloc[-1]),
    }  # fmt: skip
    return frame, Shown(figure, values, (demo.source(_("Right after each cut, without training.")),))


def one_layer(demo: Demo) -> Shown:
    return _sweep(demo, (demo.widest.key,), _("Accuracy as one layer loses more and more of its channels."))[1]


def all_layers(demo: Demo) -> Shown:
    return _sweep(demo, (), _("Accuracy as every layer loses the same share of its channels."))[1]


def stand_in(demo: Demo) -> Shown:
    key = demo.widest.key
    ranks = demo.ranks(GeometricMedian())
    low = demo.cut(ranks, 0.5, (key,))
    high = Plan({key: sorted(set(range(demo.widest.size)) - set(low[key]))})
    found = [demo.measured(plan).accuracy for plan in (low, high)]
    figure = bars.bars(
        [_("the replaceable half goes"), _("the distinct half goes")], [each.top1 for each in found],
        low=[each.low for each in found], high=[each.high for each in found],
        alt=_("Accuracy without either half of one layer's filters."), x_title=_("Accuracy"), percent=True,
    )  # fmt: skip
    values = {"replaceable": numbers.percent(found[0].top1), "distinct": numbers.percent(found[1].top1), "layer": key}
    return Shown(figure, values, (demo.source(_("Right after the cut, without training.")),))


LESSON = Lesson(
    "redundancy",
    N_("Redundancy"),
    N_("Why can a trained network lose a good part of itself at all?"),
    (
        Step(
            N_("How alike are the channels of one layer?"),
            alike,
            N_(
                "By their weights, half of the {count} filters of {layer} have no other one nearer "
                "than {weights}. By what they answer to images the nearest is at {seen} for half "
                "of them, and at {most} for the most alike pair."
            ),
            N_(
                "Different weights can say nearly the same about real images. Channels whose "
                "answers others repeat can go, if what reads them is content with the others."
            ),
        ),
        Step(
            N_("How many channels can one layer lose before it shows?"),
            one_layer,
            N_(
                "Up to {free} of the channels of {layer} could go with a change that lies inside "
                "the noise. With half of them gone the network is right on {half}, with {last} in "
                "the end; it began with {full}."
            ),
            N_(
                "The layer was wider than the task needs. What is redundant differs from layer to "
                "layer; that is another lesson."
            ),
        ),
        Step(
            N_("And if every layer loses as much at once?"),
            all_layers,
            N_(
                "With an eighth of every layer gone the network is right on {eighth}; with half, "
                "which leaves {left} of the MACs, on {half}."
            ),
            N_(
                "Losses add up and feed each other: what one layer could spare when the others "
                "were whole is missed when they are not. A network is then mended or trained; "
                "the last lesson trains what this very cut leaves."
            ),
        ),
        Step(
            N_("Is it the replaceable filters that can go?"),
            stand_in,
            N_(
                "Without the half of {layer} that lies nearest to the others the network is right "
                "on {replaceable}; without the other half on {distinct}."
            ),
            N_("Both halves have as many filters. What counts is whether others can stand in for what goes."),
        ),
    ),
)
