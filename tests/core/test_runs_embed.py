"""t-SNE as a run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pruning_core.analysis.embedding import t_sne
from pruning_core.analysis.similarity import COSINE, weight_rows
from pruning_core.datasets import DataRef
from pruning_core.graph import capture
from pruning_core.runs.jobs import Jobs
from pruning_core.runs.view import State
from pruning_core.storage.codec import dump
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.embed import EmbedRun, read_places
from pruning_core.studies.specs import PRODUCT
from pruning_core.zoo import DEMOS, load_model

pytestmark = pytest.mark.usefixtures("one_thread")
DEMO = DEMOS[0].ref


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(Workspace(tmp_path), PRODUCT, threads=1)
    yield made
    made.close(120)


def test_channels_are_placed_by_weights_and_by_answers(jobs):
    loaded = load_model(DEMO, jobs.workspace)

    group = capture(loaded.model, torch.zeros(1, *loaded.input_size)).groups[0]
    found = {}
    for data in (None, DataRef("digits", "digits")):
        run = EmbedRun(DEMO, group.key, COSINE.name, data, images=8)
        assert PRODUCT.spec(dump(run)) == run
        view = jobs.wait(jobs.submit(run, "me"), 120)
        assert view.state is State.DONE, view.error
        found[data] = read_places(jobs.workspace, view)
        assert found[data].shape == (group.size, 2) and np.isfinite(found[data]).all()
    expected = t_sne(COSINE.distances(weight_rows(loaded.model, group)))
    assert np.allclose(found[None], expected)
    assert not np.allclose(found[None], next(places for data, places in found.items() if data))


def test_an_unknown_distance_is_said_in_words(jobs):
    view = jobs.wait(jobs.submit(EmbedRun(DEMO, "stem", "Manhattan"), "me"), 120)
    assert view.state is State.FAILED and "Manhattan" in view.error and "Cosine" in view.error
