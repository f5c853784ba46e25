"""Networks that read rows of a table or sound, from files as people send them to a smaller network."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pruning_core.datasets import import_data
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.methods.recoveries import Mending
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.measure import EvaluateRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.training.config import FineTune
from pruning_core.training.events import TrainOutcome
from pruning_core.zoo import import_model, load_model
from tests.core.test_datasets_sounds import words
from tests.core.test_datasets_uploads import zipped


def program(*layers: nn.Module, size: tuple[int, ...]) -> io.BytesIO:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(*layers).eval()
        for each in network.parameters():
            torch.nn.init.normal_(each, std=0.4)
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    out = io.BytesIO()
    torch.export.save(torch.export.export(network, (torch.zeros(2, *size),), dynamic_shapes=(batch,)), out)
    out.seek(0)
    return out


def table() -> io.BytesIO:
    dice = np.random.default_rng(0)
    frame = pd.DataFrame(dice.normal(size=(80, 4)), columns=list("abcd"))
    frame["price"] = frame.a - 2 * frame.b + 0.1 * dice.normal(size=80)
    return io.BytesIO(frame.to_csv(index=False).encode())


def a_table(root: Workspace):
    layers = (nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 1))
    return import_model(program(*layers, size=(4,)), "price.pt2", root).ref, import_data(table(), "p.csv", root)


def sound(root: Workspace):
    layers = (nn.Conv1d(1, 8, 32, 4), nn.ReLU(), nn.Conv1d(8, 8, 8, 4), nn.ReLU(), nn.AdaptiveAvgPool1d(2),
              nn.Flatten(), nn.Linear(16, 2))  # fmt: skip
    data = import_data(zipped(words(count=12)), "w.zip", root, samples=2000)
    return import_model(program(*layers, size=(1, 2000)), "words.pt2", root).ref, data


@pytest.mark.parametrize(("made", "measure"), [(a_table, "r2"), (sound, "top1")])
def test_from_files_to_a_smaller_network(made, measure, tmp_path):
    root = Workspace(tmp_path)
    model, data = made(root)
    (*_, whole) = [e for e in EvaluateRun(model, data).run(root) if isinstance(e, Accuracy)]
    assert (whole.measure, whole.complete) == (measure, True)
    cells = [e for e in SensitivityRun(model, data, ratios=(0.25, 0.5)).run(root) if isinstance(e, Cell)]
    assert {e.measure for e in cells} == {measure} and len({e.group for e in cells if e.exact}) == 2
    loaded = load_model(model, root)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    plan = Plan({group.key: range(group.size // 4) for group in network.groups})
    (found,) = [e for e in PruneRun(model, data, plan.to_json(), recovery=Mending(images=40)).run(root)
                if isinstance(e, Pruned)]  # fmt: skip
    assert found.proof.exact and found.proof.max_rel < 1e-6
    config = FineTune(epochs=2, batch_size=16, lr=0.01)
    (end,) = [e for e in FineTuneRun(found.model, data, config).run(root) if isinstance(e, TrainOutcome)]
    assert end.measure == measure and end.images > 0
    with pytest.raises(UserError, match="neither shifted nor mirrored"):
        list(FineTuneRun(found.model, data, FineTune(epochs=1, batch_size=16, augment="shift")).run(root))


def test_what_does_not_belong_together_is_said(tmp_path):
    root = Workspace(tmp_path)
    model, recordings = a_table(root)[0], sound(root)[1]
    with pytest.raises(UserError, match=r"reads 4 numbers at a time, and each example of 'w.zip' has 1 × 2000"):
        list(EvaluateRun(model, recordings).run(root))
