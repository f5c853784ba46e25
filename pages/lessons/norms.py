"""Lesson 2: when the size of a filter says how much it matters, and when not."""

from __future__ import annotations

from scipy.stats import spearmanr

from pages.lessons.lesson import Lesson, Step
from pages.ui import bars, numbers
from pages.ui.demo import COUNTED, Demo, Shown
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
        list(found), list(found.values()), alt="Spread of the filter norms of each layer.",
        x_title="Standard deviation of the norms / their mean",
    )  # fmt: skip
    return Shown(figure, _ends(found), (COUNTED,))


def smallest(demo: Demo) -> Shown:
    found = {key: pair[1] for key, pair in _conditions(demo).items()}
    figure = bars.bars(
        list(found), list(found.values()), alt="Smallest filter norm of each layer, as a part of the mean norm.",
        x_title="Smallest norm / mean norm (0 = an empty filter)",
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
        norms, rise, [f"channel {unit}" for unit in range(len(norms))],
        alt=f"For each channel of {group.key}: its filter's norm against how much the loss rises without it.",
        x_title="L2 norm of the filter", y_title="Loss gained without it, nats",
    )  # fmt: skip
    values = {
        "layer": group.key, "agreement": f"{float(spearmanr(norms, rise).statistic):.2f}",
        "first": str(min(range(len(norms)), key=lambda unit: norms[unit])),
        "harmless": str(min(range(len(norms)), key=lambda unit: rise[unit])),
    }  # fmt: skip
    return Shown(figure, values, (demo.source("Each channel alone, the others as they were."),))


def other_rule(demo: Demo) -> Shown:
    rules = {"L2 norm": demo.ranks(L2Norm()), "Geometric median": demo.ranks(GeometricMedian())}
    found = {name: demo.measured(demo.cut(ranks, 0.5, demo.inner)).accuracy for name, ranks in rules.items()}
    one, other = rules.values()
    same = [removed_overlap(one[key], other[key], 0.5) for key in demo.inner]
    figure = bars.bars(
        list(found), [each.top1 for each in found.values()], low=[each.low for each in found.values()],
        high=[each.high for each in found.values()],
        alt="Accuracy without half of the channels inside the blocks, by two rules.",
        x_title="Accuracy", percent=True,
    )  # fmt: skip
    values = {
        "same": numbers.percent(sum(same) / len(same), 0),
        "norm": numbers.percent(found["L2 norm"].top1), "median": numbers.percent(found["Geometric median"].top1),
    }  # fmt: skip
    return Shown(figure, values, (demo.source("Right after the cut, without training."),))


LESSON = Lesson(
    "norms",
    "Why norms can mislead",
    "Small filters are cut first, and that often works. The paper of the geometric median (FPGM) names two conditions.",
    (
        Step(
            "First condition: do the norms differ enough to be put in order?",
            spread,
            "The spread is smallest in {at_low} with {low} and largest in {at_high} with {high}.",
            "Where all filters are about as large, their order is mostly chance: a threshold that falls among them "
            "decides by the third digit.",
        ),
        Step(
            "Second condition: is the smallest filter near zero?",
            smallest,
            "The smallest filter has {low} of the mean norm in {at_low}, and {high} in {at_high}.",
            "A filter with half of the mean norm is no empty filter. It is the smallest one, and the network may still "
            "need what it computes.",
        ),
        Step(
            "Is a small filter one that is missed less?",
            one_by_one,
            "In {layer}, norm and loss are in the same order to {agreement} (1 would be the same order, 0 none). The "
            "smallest filter is that of channel {first}; the channel that is missed least is {harmless}.",
            "The norm is a hint that costs nothing. What a channel is worth also depends on what the next layer makes "
            "of it.",
        ),
        Step(
            "Does a rule that looks at likeness take other filters?",
            other_rule,
            "Half of the channels inside the blocks go; {same} is the same by both rules. The norm leaves an "
            "accuracy of {norm}, the "
            "geometric median {median}.",
            "In many dimensions filters stand nearly at right angles, and then the sum of distances to the others "
            "follows the norm: both rules take much the same. They part where filters really are alike.",
        ),
    ),
)
