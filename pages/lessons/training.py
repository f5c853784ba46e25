"""Lesson 6: prune and fine-tune, or train the small network from scratch? And does the criterion still matter then?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import plotly.graph_objects as go

from pages.lessons import training_runs
from pages.lessons.lesson import Lesson, Step
from pages.lessons.training_runs import EPOCHS, SEEDS, Trained
from pages.ui import bars, changes, measured, numbers, provenance
from pages.ui.changes import Change
from pages.ui.demo import HALF, Demo, Shown
from pages.ui.language import N_, _, said
from pruning_core.criteria import GeometricMedian, L1Norm, Random, TaylorGate
from pruning_core.graph import Plan
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods.base import Method
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.scratch import ScratchB, ScratchE

CUT, TUNED, CHANCE = N_("cut only"), N_("cut and fine-tuned"), N_("by chance")
Ways = Mapping[str, tuple[Method, ...]]  # what is written for it -> the method for each seed
BY_NORM = (CutAndTrain(),) * SEEDS
CRITERIA: Ways = {
    **{each.card.name: (CutAndTrain(criterion=each),) * SEEDS for each in (L1Norm(), GeometricMedian(), TaylorGate())},
    CHANCE: tuple(CutAndTrain(criterion=Random(seed)) for seed in range(SEEDS)),
}
FROM_SCRATCH: Ways = {TUNED: BY_NORM, ScratchE.card.name: (ScratchE(),) * SEEDS}
AT_LENGTH: Ways = {**FROM_SCRATCH, ScratchB.card.name: (ScratchB(),) * SEEDS}


def just_cut(demo: Demo) -> Shown:
    plan = demo.half()
    found = {N_("whole"): demo.measured(Plan()).accuracy, CUT: demo.measured(plan).accuracy}
    figure = _bars(found, _("Accuracy of the whole network and right after the cut."))
    values = {
        "ratio": numbers.percent(HALF, 0), "whole": numbers.percent(found["whole"].top1),
        "cut": numbers.percent(found[CUT].top1), "left": numbers.percent(demo.left(plan), 0),
    }  # fmt: skip
    return Shown(figure, values, (demo.source(_("Right after the cut, without training.")),))


def tuned(demo: Demo) -> Shown | None:
    found = training_runs.of(demo, {TUNED: BY_NORM})
    if found is None:
        return None
    own = found[TUNED]
    figure = _bars({CUT: own.cut, TUNED: own.mean}, _("Accuracy after the cut, and after fine-tuning."))
    values = {"cut": numbers.percent(own.cut.top1), "tuned": _with_interval(own.mean), **_settings()}
    return Shown(figure, values, (_source(own),))


def by_criterion(demo: Demo) -> Shown | None:
    found = training_runs.of(demo, CRITERIA)
    if found is None:
        return None
    best, change = _best_against_chance(found)
    cuts = [each.cut.top1 for name, each in found.items() if name != CHANCE]
    figure = _means(found, _("Accuracy after fine-tuning, by criterion."), CHANCE)
    values = {
        "low": numbers.percent(min(cuts)), "high": numbers.percent(max(cuts)), "best": said(best),
        "top": numbers.percent(found[best].mean.top1), "chance": numbers.percent(found[CHANCE].mean.top1),
        "change": change.delta, "span": change.span, "verdict": change.verdict, **_settings(),
    }  # fmt: skip
    return Shown(figure, values, (_source(found[best]),))


def _best_against_chance(found: Mapping[str, Trained]) -> tuple[str, Change]:
    best = max((name for name in found if name != CHANCE), key=lambda name: found[name].mean.top1)
    return best, changes.unpaired(found[CHANCE].mean, found[best].mean)


def from_scratch(demo: Demo) -> Shown | None:
    return _against_scratch(demo, FROM_SCRATCH, ScratchE.card.name)


def at_length(demo: Demo) -> Shown | None:
    """The last one, which also sums up."""
    shown = _against_scratch(demo, AT_LENGTH, ScratchB.card.name)
    criteria = training_runs.of(demo, CRITERIA) if shown is not None else None
    if shown is None or criteria is None:
        return None
    told = _(UNTOLD) if _best_against_chance(criteria)[1].within_noise else _(TOLD)
    return replace(shown, values={**shown.values, "criterion": told})


UNTOLD = N_("cannot be told from chance")
TOLD = N_("can be told from chance")
AHEAD, LEVEL, BEHIND = N_("is ahead"), N_("has no lead that these images could show"), N_("is behind")


def _against_scratch(demo: Demo, ways: Ways, scratch: str) -> Shown | None:
    found = training_runs.of(demo, ways)
    if found is None:
        return None
    change = changes.unpaired(found[scratch].mean, found[TUNED].mean)
    alt = _("Accuracy on the test images of the small network, by how it came about.")
    figure = _means(found, alt, TUNED)
    lead = LEVEL if change.within_noise else AHEAD if change.difference > 0 else BEHIND
    values = {
        "own": _with_interval(found[scratch].mean), "tuned": _with_interval(found[TUNED].mean),
        "change": change.delta, "span": change.span, "verdict": change.verdict, "lead": _(lead),
        "longer": f"{1 / demo.left(demo.half()):.1f}", **_settings(),
    }  # fmt: skip
    return Shown(figure, values, (_source(found[TUNED]),))


def _settings() -> dict[str, str]:
    return {"epochs": str(EPOCHS), "seeds": str(SEEDS)}


def _with_interval(found: Accuracy) -> str:
    return measured.text(found)


def _bars(found: Mapping[str, Accuracy], alt: str) -> go.Figure:
    return bars.bars(
        [said(name) for name in found],
        [each.top1 for each in found.values()],
        low=[each.low for each in found.values()],
        high=[each.high for each in found.values()],
        alt=alt,
        x_title=_("Accuracy"),
        percent=True,
        marked=[name == CUT for name in found],
    )


def _means(found: Mapping[str, Trained], alt: str, marked: str) -> go.Figure:
    """`marked`: the one that others must beat."""
    means = [each.mean for each in found.values()]
    return bars.means(
        [said(name) for name in found], [each.top1 for each in means], low=[each.low for each in means],
        high=[each.high for each in means], single=[[end.top1 for end in each.ends] for each in found.values()],
        alt=alt, x_title=_("Accuracy"), marked=[name == marked for name in found],
    )  # fmt: skip


def _source(of: Trained) -> provenance.Provenance:
    return provenance.measured(
        of.mean.dataset, images=of.mean.images, device="CPU",
        note=_("{n} epochs, {seeds} seeds. Means over the seeds with the interval of the "
               "images; small circles are single trainings.").format(n=EPOCHS, seeds=SEEDS),
    )  # fmt: skip


LESSON = Lesson(
    "training",
    N_("Fine-tune, or from scratch?"),
    N_(
        "After a cut a network is mostly trained again. Does it still matter then which channels went, and are the "
        "weights that were kept worth anything?"
    ),
    (
        Step(
            N_("What is left right after a deep cut?"),
            just_cut,
            N_(
                "The cut of the first lesson: {ratio} of the channels of every layer go, so that {left} of the MACs "
                "are left. The accuracy falls from {whole} to {cut}."
            ),
            N_("A deep cut alone leaves a network that hardly works."),
        ),
        Step(
            N_("How much does a short fine-tuning bring back?"),
            tuned,
            N_("The same cut: the network was right on {cut} of the test images; after {epochs} epochs on {tuned}."),
            N_(
                "Most of what was lost comes back quickly. Whether that is owed to the channels that were chosen, and "
                "to the weights that stayed, is what the next steps ask."
            ),
        ),
        Step(
            N_("After fine-tuning, does it still matter which channels went?"),
            by_criterion,
            N_(
                "Right after the cut the criteria left {low} to {high}. After fine-tuning the best of them, {best}, "
                "is at {top}, and what was cut by chance at {chance}: {change} ({span}), {verdict}."
            ),
            N_(
                "Training makes up for much of what a choice got wrong, so first of all a criterion has to beat chance "
                "after the training, too. The shorter the training and the deeper the cut, the more is left of it."
            ),
        ),
        Step(
            N_("The same small network with random weights, as many epochs?"),
            from_scratch,
            N_(
                "From scratch it reaches {own} in {epochs} epochs; cut and fine-tuned it had {tuned}: {change} "
                "({span}), {verdict}."
            ),
            N_(
                "With few epochs kept weights are a head start, because they were trained before. A fair question is "
                "what happens when the random network may train longer."
            ),
        ),
        Step(
            N_("And from scratch with as much work as the whole network would take?"),
            at_length,
            N_(
                "With as many multiplications as the unpruned network would take for {epochs} epochs ({longer} times "
                "as many epochs) it reaches {own}; cut and fine-tuned it had {tuned}: {change} ({span}), {verdict}.  \n"
                "**So here, after fine-tuning:** the best criterion {criterion}, and against the same small network "
                "trained from scratch for as much work the pruned one {lead}."
            ),
            N_(
                "Liu et al. (2019) found that structured pruning has no lead once the small network trains as long as "
                "the first training took: the widths were what mattered. What pruning then saves is training, and it "
                "finds the widths. For pruning of single weights on ImageNet the kept weights still help."
            ),
        ),
    ),
)
