"""Scoring as a run of its own, and as the first part of another run: the same images, the same values."""

import numpy as np
import pytest
import torch

from pruning_core.criteria import FeatureMapRank, L1Norm, LassoReconstruction, TaylorGate
from pruning_core.datasets import DIGITS
from pruning_core.methods.ranking import SCORED_ON
from pruning_core.storage import Workspace
from pruning_core.studies.points import Scored
from pruning_core.studies.scores import ScoresRun, read_scores, write_scores
from pruning_core.studies.sensitivity import captured, scored
from pruning_core.work import finished
from pruning_core.zoo import DEMOS, load_model

pytestmark = pytest.mark.usefixtures("one_thread")
DEMO = DEMOS[0].ref


@pytest.mark.parametrize("criterion", [L1Norm(), TaylorGate(), FeatureMapRank(), LassoReconstruction()])
@pytest.mark.parametrize("seed", [0, 3])
def test_a_run_of_scores_and_a_sweep_see_the_same_images(criterion, seed: int, workspace: Workspace) -> None:
    (event,) = [
        each for each in ScoresRun(DEMO, DIGITS, (criterion,), seed=seed).run(workspace) if isinstance(each, Scored)
    ]
    stored = read_scores(workspace, event.digest)
    loaded = load_model(DEMO, workspace)
    values = finished(scored(loaded, captured(loaded), criterion, workspace, DIGITS, seed))
    assert set(values) == set(stored) and values
    for key, found in values.items():
        assert torch.equal(found.double(), torch.from_numpy(stored[key])), key
    assert event.images == (SCORED_ON if criterion.needs_images else 0)


@pytest.mark.parametrize("name", ["file", "allow_pickle", "x.npy", "a/../b", "z" * 70_000, "é\n"])
def test_scores_are_kept_whatever_a_group_is_called(name: str, workspace: Workspace) -> None:
    values = {"first": np.arange(3.0), name: np.ones(2)}
    stored = read_scores(workspace, write_scores(workspace, values))
    assert list(stored) == list(values)
    assert all(np.array_equal(stored[key], values[key]) for key in values)
