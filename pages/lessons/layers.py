"""Lesson 3: layers differ in what they can spare and in what that saves."""

from __future__ import annotations

import pandas as pd

from pages.lessons.lesson import Lesson, Step
from pages.ui import bars, numbers
from pages.ui import charts as shared
from pages.ui.demo import COUNTED, Demo, Shown
from pages.ui.language import N_, _
from pruning_core.criteria import L1Norm
from pruning_core.graph import Plan

RATIOS = (0.0, 0.25, 0.5, 0.75)
EVEN = 0.125
MOST = 7  # eighths of a layer that may go


def _lost(demo: Demo, ratio: float) -> dict[str, float]:
    """Accuracy lost when each group alone loses so many channels."""
    ranks = demo.ranks(L1Norm())
    return {group.key: demo.measured(demo.cut(ranks, ratio, (group.key,))).drop.drop for group in demo.groups}


def half(demo: Demo) -> Shown:
    lost = _lost(demo, 0.5)
    figure = bars.bars(
        list(lost), list(lost.values()), alt=_("Accuracy lost when one layer alone loses half of its channels."),
        x_title=_("Accuracy lost"), percent=True, marked=[value == max(lost.values()) for value in lost.values()],
    )  # fmt: skip
    worst, best = max(lost, key=lambda key: lost[key]), min(lost, key=lambda key: lost[key])
    values = {
        "worst": worst, "most": numbers.points(-lost[worst]), "best": best, "least": numbers.points(-lost[best]),
    }  # fmt: skip
    return Shown(figure, values, (demo.source(_("One layer at a time, by the L1 norm, without training.")),))


def curves(demo: Demo) -> Shown:
    ranks = demo.ranks(L1Norm())
    rows = []
    for group in demo.groups:
        for ratio in RATIOS:
            seen = demo.measured(demo.cut(ranks, ratio, (group.key,))).accuracy
            rows.append((group.key, ratio, seen.top1))
    frame = pd.DataFrame(rows, columns=["layer", "ratio", "top1"])
    figure = shared.lines(
        frame, x="ratio", y="top1", by="layer", alt=_("Accuracy against the ratio removed, a line for each layer."),
        x_title=_("Channels removed"), y_title=_("Accuracy"), x_percent=True, y_percent=True,
    )  # fmt: skip
    last = frame[frame["ratio"] == RATIOS[-1]]
    values = {"best": numbers.percent(last["top1"].max()), "worst": numbers.percent(last["top1"].min())}
    return Shown(figure, values, (demo.source(_("One layer at a time, by the L1 norm, without training.")),))


def price(demo: Demo) -> Shown:
    ranks, whole, lost = demo.ranks(L1Norm()), demo.network.cost().macs, _lost(demo, 0.5)
    saved = {key: 1 - demo.network.cost(demo.cut(ranks, 0.5, (key,))).macs / whole for key in lost}
    figure = bars.points(
        list(saved.values()), list(lost.values()), list(saved), named=True,
        alt=_("For each layer: MACs saved against accuracy lost when half of its channels go."),
        x_title=_("MACs saved"), y_title=_("Accuracy lost"), x_percent=True, y_percent=True,
    )  # fmt: skip
    most = max(saved, key=lambda key: saved[key])
    cheap = min(saved, key=lambda key: max(lost[key], 0) / saved[key])
    values = {"most": most, "saves": numbers.percent(saved[most]), "costs": numbers.points(-lost[most]), "cheap": cheap}
    return Shown(figure, values, (COUNTED, demo.source(_("One layer at a time, by the L1 norm, without training."))))


def _cheapest_first(demo: Demo, target: int) -> Plan:
    """Always the step that raises the loss least for each MAC saved, until at most ``target`` MACs are left."""
    ranks, plan = demo.ranks(L1Norm()), Plan()
    eighths = dict.fromkeys((group.key for group in demo.groups), 0)
    while demo.network.cost(plan).macs > target:
        here, macs = demo.measured(plan).accuracy.loss, demo.network.cost(plan).macs
        offers = {}
        for key, done in eighths.items():
            if done < MOST:
                tried = Plan({**plan, **demo.cut(ranks, (done + 1) / 8, (key,))})
                saved = macs - demo.network.cost(tried).macs
                offers[key] = ((demo.measured(tried).accuracy.loss - here) / saved, tried)
        best = min(offers, key=lambda key: offers[key][0])
        plan, eighths[best] = offers[best][1], eighths[best] + 1
    return plan


def spared(demo: Demo) -> Shown:
    even = demo.cut(demo.ranks(L1Norm()), EVEN)
    aware = _cheapest_first(demo, demo.network.cost(even).macs)
    found = [demo.measured(plan).accuracy for plan in (even, aware)]
    macs = [demo.network.cost(plan).macs for plan in (even, aware)]
    figure = bars.bars(
        [_("every layer loses an eighth"), _("the cheapest step first")], [each.top1 for each in found],
        low=[each.low for each in found], high=[each.high for each in found],
        alt=_("Accuracy of two ways to save as many MACs."), x_title=_("Accuracy"), percent=True,
    )  # fmt: skip
    values = {
        "even": numbers.percent(found[0].top1), "aware": numbers.percent(found[1].top1),
        "macs_even": numbers.count(macs[0]), "macs_aware": numbers.count(macs[1]),
    }  # fmt: skip
    return Shown(figure, values, (COUNTED, demo.source(_("Right after the cut, without training."))))


LESSON = Lesson(
    "layers",
    N_("Why layers differ"),
    N_("One ratio for all layers is simple. Is it fair?"),
    (
        Step(
            N_("Half of one layer's channels go. Does it matter which layer?"),
            half,
            N_("It costs most in {worst} ({most}) and least in {best} ({least})."),
            N_(
                "Layers that many others read, such as those of a residual stream, mostly lose "
                "more. That early layers always do is a rule of thumb and no law: measure."
            ),
        ),
        Step(
            N_("Is a layer that bears a little able to bear a lot?"),
            curves,
            N_("With three quarters of one layer gone, the accuracy lies between {worst} and {best}, by the layer."),
            N_(
                "The lines do not keep their order: some fall early and slowly, some late and at "
                "once. One number for each layer is not enough; the Sensitivity page measures the "
                "whole map."
            ),
        ),
        Step(
            N_("Where does a loss buy the most?"),
            price,
            N_(
                "Half of {most} saves {saves} of the MACs and changes the accuracy by {costs}. The "
                "best price is that of {cheap}."
            ),
            N_(
                "A layer that bears its cut may save next to nothing. What matters is the accuracy "
                "lost for each MAC saved."
            ),
        ),
        Step(
            N_("Does it help to measure that while cutting?"),
            spared,
            N_(
                "As many MACs (at most {macs_even}): with one ratio for all layers the network is "
                "right on {even}; with always the step that costs least for each MAC, at "
                "{macs_aware}, on {aware}."
            ),
            N_("That is what sensitivity is for. Allocations and searches do the same with more care."),
        ),
    ),
)
