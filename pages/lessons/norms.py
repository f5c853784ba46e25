"""Lesson 2: when the size of a filter says how much it matters, and when not."""

from __future__ import annotations

from scipy.stats import spearmanr

from pages.lessons.lesson import Lesson, Step
from pages.ui import bars, numbers
from pages.ui.demo import COUNTED, Demo, Shown
from pages.ui.language import N_, _
from pruning_core.analysis.agreement import norm_conditions, removed_overlap
from pruning_core.analysis.similarity import weight_rows
from pruning_core.criteria import GeometricMedian, L2Norm
from pruning_core.graph import Plan

ALONE = 32  # channels that are silenced one after the other


def _conditions(demo: Demo) -> dict[str, tuple[float, float]]:
    found = {group.key: norm_conditions(weight_rows(demo.model, group)) for group in demo.groups}
    return {key: (each.spread, each.smallest) for key, each in found.items()}


def spread(demo: Demo) -> Shown:
    found = {key: pair[0] for key, pair in _conditions(demo).items()}
    figure = bars.bars(
        list(found), list(found.values()), alt=_("Spread of the filter norms of each layer."),
        x_title=_("Standard deviation of the norms / their mean"),
    )  # fmt: skip
    return Shown(figure, _ends(found), (COUNTED,))


def smallest(demo: Demo) -> Shown:
    found = {key: pair[1] for key, pair in _conditions(demo).items()}
    figure = bars.bars(
        list(found), list(found.values()), alt=_("Smallest filter norm of each layer, as a part of the mean norm."),
        x_title=_("Smallest norm / mean norm (0 = an empty filter)"),
    )  # fmt: skip
    return Shown(figure, _ends(found), (COUNTED,))


def _ends(found: dict[str, float]) -> dict[str, str]:
    low, high = min(found, key=lambda key: found[key]), max(found, key=lambda key: found[key])
    return {"low": f"{found[low]:.2f}", "at_low": low, "high": f"{found[high]:.2f}", "at_high": high}


def one_by_one(demo: Demo) -> Shown:
    group = next((g for g in demo.groups if 8 <= g.size <= ALONE), demo.groups[0])
    norms = demo.ranks(L2Norm())[group.key].tolist()[:ALONE]
    before = demo.measured(Plan()).accuracy.loss
    rise = [demo.measured(Plan({group.key: [unit]})).accuracy.loss - before for unit in range(len(norms))]
    figure = bars.points(
        norms, rise, [_("channel {number}").format(number=unit) for unit in range(len(norms))],
        alt=_("For each channel of {key}: its filter's norm against how much the loss rises without "
"it.").format(key=group.key),
        x_title=_("L2 norm of the filter"), y_title=_("Loss gained without it, nats"),
    )  # fmt: skip
    values = {
        "layer": group.key, "agreement": f"{float(spearmanr(norms, rise).statistic):.2f}",
        "first": str(min(range(len(norms)), key=lambda unit: norms[unit])),
        "harmless": str(min(range(len(norms)), key=lambda unit: rise[unit])),
    }  # fmt: skip
    return Shown(figure, values, (demo.source(_("Each channel alone, the others as they were.")),))


def other_rule(demo: Demo) -> Shown:
    rules = {N_("L2 norm"): demo.ranks(L2Norm()), N_("Geometric median"): demo.ranks(GeometricMedian())}
    found = {name: demo.measured(demo.cut(ranks, 0.5, demo.inner)).accuracy for name, ranks in rules.items()}
    one, other = rules.values()
    same = [removed_overlap(one[key], other[key], 0.5) for key in demo.inner]
    figure = bars.bars(
        [_(name) for name in found],
        [each.top1 for each in found.values()],
        low=[each.low for each in found.values()],
        high=[each.high for each in found.values()],
        alt=_("Accuracy without half of the channels inside the blocks, by two rules."),
        x_title=_("Accuracy"),
        percent=True,
    )
    values = {
        "same": numbers.percent(sum(same) / len(same), 0),
        "norm": numbers.percent(found["L2 norm"].top1),
        "median": numbers.percent(found["Geometric median"].top1),
    }
    return Shown(figure, values, (demo.source(_("Right after the cut, without training.")),))


LESSON = Lesson(
    "norms",
    N_("Why norms can mislead"),
    N_(
        "Small filters are cut first, and that often works. The paper of the geometric median "
        "(FPGM) names two conditions."
    ),
    (
        Step(
            N_("First condition: do the norms differ enough to be put in order?"),
            spread,
            N_("The spread is smallest in {at_low} with {low} and largest in {at_high} with {high}."),
            N_(
                "Where all filters are about as large, their order is mostly chance: a threshold "
                "that falls among them decides by the third digit."
            ),
        ),
        Step(
            N_("Second condition: is the smallest filter near zero?"),
            smallest,
            N_("The smallest filter has {low} of the mean norm in {at_low}, and {high} in {at_high}."),
            N_(
                "A filter with most of the mean norm is no empty filter. It is the smallest one, "
                "and the network may still need what it computes."
            ),
        ),
        Step(
            N_("Is a small filter one that is missed less?"),
            one_by_one,
            N_(
                "In {layer}, norm and loss are in the same order to {agreement} (1 would be the "
                "same order, 0 none). The smallest filter is that of channel {first}; the channel "
                "that is missed least is {harmless}."
            ),
            N_(
                "The norm is a hint that costs nothing. What a channel is worth also depends on "
                "what the next layer makes of it."
            ),
        ),
        Step(
            N_("Does a rule that looks at likeness take other filters?"),
            other_rule,
            N_(
                "Half of the channels inside the blocks go; {same} is the same by both rules. The "
                "norm leaves an accuracy of {norm}, the geometric median {median}."
            ),
            N_(
                "In many dimensions filters stand nearly at right angles, and then the sum of "
                "distances to the others follows the norm: both rules take much the same. They "
                "part where filters really are alike."
            ),
        ),
    ),
)
