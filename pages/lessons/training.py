"""Lesson 6: prune and fine-tune, or train the small network from scratch?"""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go

from pages.lessons.lesson import Lesson, Step
from pages.ui import bars, jobs, numbers, provenance, state
from pages.ui.demo import Demo, Shown
from pages.ui.language import N_, _, said
from pruning_core.allocation.budget import Budget
from pruning_core.criteria import L1Norm
from pruning_core.graph import Plan
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods.base import Method
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.scratch import ScratchB, ScratchE
from pruning_core.runs.view import JobView, State
from pruning_core.studies.method import MethodRun
from pruning_core.studies.treated import PhaseDone
from pruning_core.training.config import FineTune

EPOCHS = 4
LEFT = 0.3  # of the MACs
CUT, TUNED = N_("cut only"), N_("cut and fine-tuned")


def _run(demo: Demo, method: Method) -> MethodRun:
    return MethodRun(demo.desk.model, demo.desk.data, method, Budget("macs", fraction=LEFT), FineTune(epochs=EPOCHS))


def _done(demo: Demo, method: Method) -> JobView | None:
    """The run when it has ended; it is shown while it goes on, and started where nobody has yet."""
    run = _run(demo, method)
    known = state.jobs().find(run)
    job = known.id if known is not None else state.jobs().submit(run, state.owner())
    view = (
        known if known is not None and known.state is State.DONE else jobs.watch(job, key=f"lessons.{method.card.key}")
    )
    return view if view.state is State.DONE else None


def _accuracies(view: JobView) -> list[Accuracy]:
    return [each.accuracy for each in view.all(PhaseDone)]


def just_cut(demo: Demo) -> Shown:
    ranks = demo.ranks(L1Norm())
    found = {N_("whole"): demo.measured(Plan()).accuracy}
    whole = demo.network.cost().macs
    ratio = next(n / 32 for n in range(32) if demo.network.cost(demo.cut(ranks, n / 32)).macs <= LEFT * whole)
    found[CUT] = demo.measured(demo.cut(ranks, ratio)).accuracy
    figure = _bars(found, _("Accuracy of the whole network and right after the cut."))
    values = {
        "ratio": numbers.percent(ratio, 0), "whole": numbers.percent(found["whole"].top1),
        "cut": numbers.percent(found[CUT].top1), "left": numbers.percent(LEFT, 0),
    }  # fmt: skip
    return Shown(figure, values, (demo.source(_("Right after the cut, without training.")),))


def _bars(found: dict[str, Accuracy], alt: str) -> go.Figure:
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


def _compared(*methods: Method) -> Callable[[Demo], Shown | None]:
    """Run what is asked for one after the other; all bars once they are there."""

    def measure(demo: Demo) -> Shown | None:
        found: dict[str, Accuracy] = {}
        for method in methods:
            view = _done(demo, method)
            if view is None:
                return None
            accuracies = _accuracies(view)
            if isinstance(method, CutAndTrain):
                found[CUT], found[TUNED] = accuracies[0], accuracies[-1]
            else:
                found[method.card.name] = accuracies[-1]
        last = next(iter(found.values()))
        figure = _bars(found, _("Accuracy on the test images of the small network, by how it came about."))
        own = found.get(methods[-1].card.name, found.get(TUNED, last))
        values = {
            "cut": numbers.percent(found[CUT].top1), "tuned": numbers.percent(found[TUNED].top1),
            "own": numbers.percent(own.top1), "epochs": str(EPOCHS),
            "apart": numbers.points(own.top1 - found[TUNED].top1),
        }  # fmt: skip
        source = provenance.measured(
            last.dataset, images=last.images, device="CPU", seed=0, note=_("{n} epochs.").format(n=EPOCHS)
        )
        return Shown(figure, values, (source,))

    return measure


LESSON = Lesson(
    "training",
    N_("Fine-tune, or from scratch?"),
    N_("After a cut a network is mostly trained again. Are the weights that were kept worth anything?"),
    (
        Step(
            N_("What is left right after a deep cut?"),
            just_cut,
            N_(
                "{ratio} of the channels of every layer go, so that {left} of the MACs are left. "
                "The accuracy falls from {whole} to {cut}."
            ),
            N_("A deep cut alone leaves a network that hardly works."),
        ),
        Step(
            N_("How much does a short fine-tuning bring back?"),
            _compared(CutAndTrain()),
            N_(
                "Cut to the same budget, the network was right on {cut} of the test images; after "
                "{epochs} epochs on {tuned}."
            ),
            N_("Most of what was lost comes back quickly: the weights that stayed still hold what was learnt."),
        ),
        Step(
            N_("The same small network with random weights, as many epochs?"),
            _compared(CutAndTrain(), ScratchE()),
            N_("From scratch it reaches {own} in {epochs} epochs; fine-tuned it had {tuned} ({apart})."),
            N_(
                "With few epochs the kept weights are a head start. A fair question is what "
                "happens when the random network may train longer."
            ),
        ),
        Step(
            N_("And from scratch with as much work as the whole network would take?"),
            _compared(CutAndTrain(), ScratchE(), ScratchB()),
            N_(
                "With as many multiplications as the unpruned network would take for {epochs} "
                "epochs, it reaches {own} ({apart} against fine-tuning)."
            ),
            N_(
                "Liu et al. (2019) trained as long as the first training took, and structured "
                "pruning then had no lead: the widths were what mattered. Here the training is "
                "short, so read it as a lower bound. For pruning of single weights on ImageNet the "
                "kept weights still help."
            ),
        ),
    ),
)
