"""Every task from the files that a person sends to the files that they take home, each of those opened elsewhere."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

from pages.download import files
from pruning_core.datasets import DataRef, import_data, load_splits
from pruning_core.export.as_brought import as_brought
from pruning_core.export.lineage import cut_of
from pruning_core.graph import Plan, capture
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.measuring.registry import named
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.events import Artifact
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.inputs import fitted
from pruning_core.studies.measure import EvaluateRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.training.config import FineTune
from pruning_core.training.events import TrainOutcome
from pruning_core.zoo import LoadedModel, import_model, load_model
from pruning_core.zoo.programs.packing import Unpack
from tests.core.walk_nets import WALKS, Walk

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parents[2]
EXAMPLES = 3


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def brought(walk: Walk, root: Workspace) -> tuple[LoadedModel, DataRef]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's
        file = walk.sent()
    model = import_model(file, f"network.{walk.form}", root, input_size=walk.size)
    name, sent = walk.data()
    data = import_data(sent, name, root, **walk.chosen)
    if walk.plain:
        data = dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3)
    return model, data


@pytest.mark.parametrize("walk", WALKS, ids=[walk.task for walk in WALKS])
def test_from_the_files_of_a_task_to_those_that_are_taken_home(walk, tmp_path, record_property):
    root = Workspace(tmp_path / "data")
    model, data = brought(walk, root)
    test = load_splits(data, root)[1]
    assert test.called == walk.called
    (*_, whole) = [e for e in EvaluateRun(model.ref, data).run(root) if isinstance(e, Accuracy)]
    assert (whole.measure, whole.complete) == (walk.measure, True)

    swept = SensitivityRun(model.ref, dataclasses.replace(data, split="held-out"), ratios=(0.5,))
    cells = [e for e in swept.run(root) if isinstance(e, Cell)]
    assert cells and {e.measure for e in cells} == {walk.measure}

    network = capture(model.model, torch.zeros(1, *model.input_size))
    plan = Plan({g.key: tuple(range(max(1, g.size // 4))) for g in network.groups if g.exact})
    pruned = PruneRun(model.ref, data, plan.to_json(), recovery=Mending(images=32))
    (found,) = [e for e in pruned.run(root) if isinstance(e, Pruned)]
    assert found.proof.exact and found.proof.max_rel < (1e-10 if found.proof.dtype == "float64" else 1e-5)
    assert found.recovered is not None and found.recovered.accuracy.measure == walk.measure

    tuned = FineTuneRun(found.model, data, FineTune(epochs=2, batch_size=16, lr=0.003))
    events = list(tuned.run(root))
    (end,) = [e for e in events if isinstance(e, TrainOutcome)]
    assert end.measure == walk.measure and end.images == len(test)
    (kept,) = [e for e in events if isinstance(e, Artifact)]
    small = load_model(dataclasses.replace(found.model, weights=kept.digest), root)
    opened = take_home(walk, small, fitted(test, data, small).images[:EXAMPLES], tmp_path, root)
    exact = sum(group.exact for group in network.groups)
    row = {"task": walk.task, "called": test.called.value, "measure": named(walk.measure).title, "exact": exact}
    row |= {"approximate": len(network.groups) - exact, "apart": found.proof.max_rel, "files": opened}
    record_property("walked", row)  # for docs/support.md


def take_home(walk: Walk, small: LoadedModel, images: torch.Tensor, folder: Path, root: Workspace) -> int:
    """Write every file that the page offers, and have another process open them; how many they are."""
    cut = cut_of(small, lambda ref: load_model(ref, root))
    assert files.codeless(cut.base.ref)
    weights = files.weights(small)
    document = files.document(cut, weights.data)
    original = files.original(cut)
    assert original is not None
    written = {
        "pt2": files.program(small), "onnx": files.onnx(small), "weights": weights, "plan": files.plan(cut, document),
        "recipe": files.recipe(cut, document), "script": files.script(cut), "original": original,
    }  # fmt: skip
    for each in written.values():
        (folder / each.name).write_bytes(each.data)
    packed = images.float() / (255 if images.dtype == torch.uint8 else 1)
    given = (packed,)
    if small.interface is not None and small.interface.packed:
        given = Unpack(small.interface.inputs)(packed)
    with torch.no_grad():
        wanted = [each.contiguous() for each in tree_leaves(small.model(packed))]
        restored = [each.contiguous() for each in tree_leaves(as_brought(small)[0](*given))]
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(wanted, restored, strict=True))
        cut_only = [each.contiguous() for each in tree_leaves(cut.removal.model(packed))]
    kept = {"given": list(given), "packed": packed, "wanted": wanted, "cut": cut_only}
    torch.save(kept, folder / "kept.pt")
    known = {kind: each.name for kind, each in written.items()}
    known |= {"root": str(root.root), "base": cut.base.ref.to_json(), "size": walk.size}
    (folder / "known.json").write_text(json.dumps(known))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.core.fresh", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    return len(written)
