"""Budgets that must be timed, as a run on the demo network: no more goes than the others ask for, unless too slow."""

from __future__ import annotations

import pytest
import torch

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.pool import Pool
from pruning_core.allocation.trial import LatencyStep
from pruning_core.allocation.uniform import Uniform
from pruning_core.criteria import L1Norm, score
from pruning_core.datasets import DIGITS
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fit import FitRun, Fitted
from pruning_core.studies.specs import PRODUCT
from pruning_core.zoo import DEMOS, load_model

DEMO = DEMOS[0].ref
HALF = Budget("macs", fraction=0.5)


def run(*budgets: Budget) -> FitRun:
    return FitRun(DEMO, DIGITS, L1Norm(), Uniform(), budgets, Limits(), device="cpu")


def test_a_latency_that_is_kept_already_removes_no_more_than_the_other_budget(workspace: Workspace) -> None:
    events = list(run(HALF, Budget("latency", amount=1e6)).run(workspace))
    found = events[-1]
    assert isinstance(found, Fitted) and not [each for each in events if isinstance(each, LatencyStep)]
    loaded = load_model(DEMO, workspace)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    pool = Pool.of(network, score(loaded.model, network, (L1Norm(),))[L1Norm()].values)
    assert Plan.from_json(found.plan) == allocate(Uniform(), pool, HALF).plan
    (kept,) = found.kept
    assert kept.met and kept.limit == 1e6 and kept.budget.kind == "latency" and 0 < kept.found < 1e6
    assert [PRODUCT.event(dump(event)) for event in events] == events


def test_a_latency_out_of_reach_is_refused_with_the_range(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"cannot be reached.*ms"):
        list(run(Budget("latency", amount=1e-6)).run(workspace))
    with pytest.raises(UserError, match=r"cannot be reached.*MACs"):
        list(run(Budget("macs", amount=1.0), Budget("latency", amount=1e6)).run(workspace))


def test_it_survives_the_store() -> None:
    spec = run(HALF, Budget("compiled", fraction=0.9))
    assert PRODUCT.spec(dump(spec)) == spec and "compiled latency" in spec.title
