"""The trainings of lesson 6: background runs, a few seeds of each, which stay stored and are run once on a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import streamlit as st

from pages.ui import jobs, state
from pages.ui.demo import Demo
from pages.ui.language import _
from pruning_core.allocation.budget import Budget
from pruning_core.measuring.intervals import wilson
from pruning_core.measuring.measures import Accuracy
from pruning_core.methods.base import Method
from pruning_core.runs.view import JobView, State
from pruning_core.studies.method import MethodRun
from pruning_core.studies.treated import PhaseDone
from pruning_core.training.config import FineTune

EPOCHS, SEEDS = 4, 3


@dataclass(frozen=True)
class Trained:
    """One way to come by the small network: ``cut`` is right after the removal, ``ends`` after each training."""

    cut: Accuracy
    ends: tuple[Accuracy, ...]

    @property
    def mean(self) -> Accuracy:
        """Over the trainings. All saw the same test images, so the interval is that of one of them."""
        top1 = sum(each.top1 for each in self.ends) / len(self.ends)
        low, high = wilson(round(top1 * self.ends[0].images), self.ends[0].images)
        return replace(self.ends[0], top1=top1, low=min(low, top1), high=max(high, top1))


def of(demo: Demo, ways: Mapping[str, tuple[Method, ...]]) -> dict[str, Trained] | None:
    """What came of every way, a method for each seed; None while something is still at work, which is then shown.

    What nobody has run yet is put into the queue.
    """
    runs = {name: [_run(demo, method, seed) for seed, method in enumerate(each)] for name, each in ways.items()}
    views = {name: [_known(run) for run in each] for name, each in runs.items()}
    every = [view for each in views.values() for view in each]
    waiting = [view for view in every if view.state is not State.DONE]
    if waiting:
        done = len(every) - len(waiting)
        st.progress(done / len(every), text=_("{n} of {total} trainings are done").format(n=done, total=len(every)))
        jobs.watch(next((each for each in waiting if each.active), waiting[0]).id, key="lessons.training")
        return None
    return {name: _trained(each) for name, each in views.items()}


def _run(demo: Demo, method: Method, seed: int) -> MethodRun:
    budget = Budget("macs", fraction=demo.left(demo.half()))
    return MethodRun(demo.desk.model, demo.desk.data, method, budget, FineTune(epochs=EPOCHS, seed=seed))


def _known(run: MethodRun) -> JobView:
    jobs_of = state.jobs()
    known = jobs_of.find(run)
    return jobs_of.snapshot(known.id if known is not None else jobs_of.submit(run, state.owner()))


def _trained(views: list[JobView]) -> Trained:
    phases = [[each.accuracy for each in view.all(PhaseDone)] for view in views]
    return Trained(phases[0][0], tuple(each[-1] for each in phases))
