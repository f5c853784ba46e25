"""Hooks of every method: they show what they declare, and a training that is stopped anywhere goes on exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from pruning_core.allocation.budget import Budget
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.perform import perform
from pruning_core.methods.phases import Phase, Train
from pruning_core.methods.registry import METHODS
from pruning_core.methods.state import State
from pruning_core.training import loop
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Epoch, Step
from pruning_core.training.hooks import HookSpec
from pruning_core.training.loop import Training, fine_tune
from pruning_core.work import finished
from tests.core.small_programs import Parts, begun, setup

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = FineTune(epochs=2, batch_size=128, lr=0.05, seed=3, device="cpu")


def phases_of(method: type[Method], state: State) -> tuple[Phase, ...]:
    return tuple(method().phases(Goal(state.network, Budget("macs", fraction=0.5))))


WITH_HOOKS = [m for m in METHODS if any(isinstance(each, Train) and each.hooks for each in phases_of(m, begun()))]


def hooked(method: type[Method], digits: Parts) -> tuple[State, Train, list[HookSpec]]:
    """What the first training with hooks begins with, that training, and the hooks of all trainings.

    Trainings before it are left out.
    """
    state = begun()
    phases = phases_of(method, state)
    hooks = [hook for phase in phases if isinstance(phase, Train) for hook in phase.hooks]
    first = next(number for number, phase in enumerate(phases) if isinstance(phase, Train) and phase.hooks)
    before = [phase for phase in phases[:first] if not isinstance(phase, Train)]
    state = finished(perform(before, state, setup(digits)))
    training = phases[first]
    assert isinstance(training, Train)
    given = tuple(hook.given(state.learnt) for hook in training.hooks)
    return state, replace(training, hooks=given), [*given, *(hook for hook in hooks if hook not in training.hooks)]


def training_of(state: State, phase: Train, digits: Parts, start: Any = None) -> Training:
    fit, held_out, test = digits
    return fine_tune(
        state.model, fit, test, CONFIG, phase.hooks, held_out, start,
        network=state.network, objective=phase.objective, keep="last",
    )  # fmt: skip


@pytest.mark.parametrize("method", WITH_HOOKS, ids=lambda m: m.card.key)
def test_what_a_hook_shows_is_what_it_declares(method: type[Method], digits: Parts) -> None:
    state, phase, hooks = hooked(method, digits)
    for spec in hooks:
        training = training_of(state, replace(phase, hooks=(spec,)), digits)
        epochs = [event for event in training if isinstance(event, Epoch)]
        assert all({watched.key for watched in e.watched} == {watch.key for watch in spec.watches} for e in epochs)


@pytest.mark.parametrize("method", WITH_HOOKS, ids=lambda m: m.card.key)
@pytest.mark.parametrize(("kind", "number"), [(Step, 7), (Step, 11), (Checking, 6)])
def test_a_stop_anywhere_is_forgotten(
    method: type[Method], kind: type, number: int, digits: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of either epoch, and while the last one is being measured."""
    monkeypatch.setattr(loop, "EVERY", 0.0)
    state, phase, _ = hooked(method, digits)
    whole, part = training_of(state, phase, digits), training_of(state, phase, digits)
    list(whole)
    seen = 0
    for event in part:
        seen += isinstance(event, kind)
        if seen == number:
            break
    part.close()
    rest = training_of(state, phase, digits, part.checkpoint())
    list(rest)
    for name, value in whole.best_model().state_dict().items():
        assert torch.equal(value, rest.best_model().state_dict()[name]), name
    assert {k: v.tolist() for k, v in whole.learnt.items()} == {k: v.tolist() for k, v in rest.learnt.items()}
    assert whole.best is not None and rest.best is not None and whole.best.epoch.watched == rest.best.epoch.watched
