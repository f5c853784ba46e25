"""Lesson 4: does it matter by which criterion channels are chosen?"""

from __future__ import annotations

import plotly.graph_objects as go

from pages.lessons.lesson import Lesson, Step
from pages.ui import bars, numbers
from pages.ui.demo import Demo, Shown
from pages.ui.language import N_, _, said
from pruning_core.analysis.agreement import removed_overlap
from pruning_core.criteria import ActivationMean, Criterion, GeometricMedian, L1Norm, Random, TaylorGate
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods.recoveries import Mending
from pruning_core.studies.recovering import keeping
from pruning_core.work import finished

RATIO = 0.5  # of the channels inside the blocks
DRAWS = 5
FIT, HELD_OUT = 256, 512  # images
JUDGES: tuple[Criterion, ...] = (L1Norm(), GeometricMedian(), ActivationMean(), TaylorGate())


def _cut(demo: Demo) -> dict[str, Accuracy]:
    found = {each.card.name: demo.measured(demo.cut(demo.ranks(each), RATIO, demo.inner)).accuracy for each in JUDGES}
    for seed in range(DRAWS):
        found[f"random, draw {seed + 1}"] = demo.measured(
            demo.cut(demo.ranks(Random(seed)), RATIO, demo.inner)
        ).accuracy
    return found


def _drawn(found: dict[str, Accuracy], alt: str) -> tuple[go.Figure, dict[str, str]]:
    chance = [each.top1 for name, each in found.items() if name.startswith("random")]
    judged = {name: each.top1 for name, each in found.items() if not name.startswith("random")}
    names = [
        _("random, draw {n}").format(n=name.rpartition(" ")[2]) if name.startswith("random") else said(name)
        for name in found
    ]
    best = max(judged, key=lambda name: judged[name])
    figure = bars.bars(
        names, [each.top1 for each in found.values()], low=[each.low for each in found.values()],
        high=[each.high for each in found.values()], alt=alt, x_title=_("Accuracy"), percent=True,
        marked=[name.startswith("random") for name in found],
    )  # fmt: skip
    values = {
        "best": said(best), "top": numbers.percent(judged[best]), "low": numbers.percent(min(chance)),
        "high": numbers.percent(max(chance)), "beaten": str(sum(value <= max(chance) for value in judged.values())),
        "judges": str(len(judged)), "apart": f"{100 * (max(judged.values()) - min(judged.values())):.1f}",
    }  # fmt: skip
    return figure, values


def against_chance(demo: Demo) -> Shown:
    figure, values = _drawn(
        _cut(demo),
        _("Accuracy with half of the channels inside the blocks gone, by criterion and by chance (striped)."),
    )
    return Shown(figure, values, (demo.source(_("Right after the cut, without training.")),))


def agree(demo: Demo) -> Shown:
    first = demo.ranks(L1Norm())
    same = {}
    for each in (*JUDGES[1:], Random(0)):
        other = demo.ranks(each)
        shared = [removed_overlap(first[key], other[key], RATIO) for key in demo.inner if key in other]
        same[each.card.name] = sum(shared) / len(shared)
    figure = bars.bars(
        [said(name) for name in same],
        list(same.values()),
        alt=_("Share of the removed channels that the L1 norm would remove too."),
        x_title=_("Of what the L1 norm removes, also removed"),
        percent=True,
        marked=[name == "Random" for name in same],
    )
    judged = [value for name, value in same.items() if name != "Random"]
    values = {"low": numbers.percent(min(judged), 0), "high": numbers.percent(max(judged), 0)}
    return Shown(figure, values, (demo.source(),))


def after_mending(demo: Demo) -> Shown:
    fit, held_out = demo.parts()
    fit, held_out = fit.subset(min(FIT, len(fit))), held_out.subset(min(HELD_OUT, len(held_out)))
    before, found = _cut(demo), {}
    for each in JUDGES:
        plan = demo.cut(demo.ranks(each), RATIO, demo.inner)
        found[each.card.name] = finished(keeping(demo.model, demo.network, plan, Mending(), fit, held_out)).accuracy
    for seed in range(2):
        plan = demo.cut(demo.ranks(Random(seed)), RATIO, demo.inner)
        kept = finished(keeping(demo.model, demo.network, plan, Mending(), fit, held_out))
        found[f"random, draw {seed + 1}"] = kept.accuracy
    figure, values = _drawn(
        found, _("Accuracy after the layers that read the cut were refitted, by criterion and by chance.")
    )
    judged = [before[each.card.name].top1 for each in JUDGES]
    values = {**values, "before": f"{100 * (max(judged) - min(judged)):.1f}", "images": str(len(fit))}
    note = _("Half of the channels inside the blocks gone, what reads them refitted on {n} other images.").format(
        n=len(fit)
    )
    return Shown(figure, values, (demo.source(note),))


LESSON = Lesson(
    "criteria",
    N_("Does the criterion matter?"),
    N_("There are dozens of criteria. The first thing to ask of one is whether it beats chance."),
    (
        Step(
            N_("Half of the channels inside the blocks go. Does a criterion beat five random draws?"),
            against_chance,
            N_(
                "The best of {judges} criteria is {best} with {top}. The five draws lie between "
                "{low} and {high}; {beaten} of the {judges} criteria did no better than the "
                "luckiest draw."
            ),
            N_(
                "Chance has a spread, so one draw proves nothing. A criterion that does not clear "
                "the whole spread has shown nothing on this network."
            ),
        ),
        Step(
            N_("Do criteria choose the same channels?"),
            agree,
            N_("Of what the L1 norm removes, the others remove between {low} and {high}. By chance it would be half."),
            N_(
                "Criteria that read the same thing agree; a norm and an answer to images see "
                "different things. Where they part and end up equally accurate, the choice was "
                "free."
            ),
        ),
        Step(
            N_("And once the layers behind the cut are refitted?"),
            after_mending,
            N_(
                "Before, the criteria lay {before} points apart; after refitting on {images} "
                "images without labels they lie {apart} apart, between the best and the worst. The "
                "best is {best} with {top}; chance is between {low} and {high}."
            ),
            N_(
                "What is left carries most of what was lost, and refitting finds it. The better "
                "the recovery, the less it matters which criterion chose."
            ),
        ),
    ),
)
