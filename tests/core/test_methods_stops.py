"""A training with a method's hooks that is stopped anywhere, also while an epoch is being measured, goes on exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pruning_core.allocation.budget import Budget
from pruning_core.methods.base import Goal, Method
from pruning_core.methods.phases import Train
from pruning_core.training import loop
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Step
from pruning_core.training.loop import Training, fine_tune
from tests.core.small_programs import Parts, begun
from tests.core.test_methods_penalties import WITH_HOOKS

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = FineTune(epochs=2, batch_size=128, lr=0.05, seed=3, device="cpu")


@pytest.mark.parametrize("method", WITH_HOOKS, ids=lambda m: m.card.key)
@pytest.mark.parametrize(("kind", "number"), [(Step, 7), (Checking, 4), (Checking, 6)])
def test_a_stop_anywhere_is_forgotten(
    method: type[Method], kind: type, number: int, digits: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    state = begun()
    fit, held_out, test = digits
    phases = method().phases(Goal(state.network, Budget("macs", fraction=0.5)))
    first = next(phase for phase in phases if isinstance(phase, Train) and phase.hooks)

    def training(start: Any = None) -> Training:
        return fine_tune(
            state.model, fit, test, CONFIG, first.hooks, held_out, start,
            network=state.network, objective=first.objective, keep="last",
        )  # fmt: skip

    whole = training()
    list(whole)
    part = training()
    seen = 0
    for event in part:
        seen += isinstance(event, kind)
        if seen == number:
            break
    part.close()
    rest = training(part.checkpoint())
    list(rest)
    for name, value in whole.best_model().state_dict().items():
        assert torch.equal(value, rest.best_model().state_dict()[name]), name
    assert {k: v.tolist() for k, v in whole.learnt.items()} == {k: v.tolist() for k, v in rest.learnt.items()}
    assert whole.best is not None and rest.best is not None and whole.best.epoch.watched == rest.best.epoch.watched
