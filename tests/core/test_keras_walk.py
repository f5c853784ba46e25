"""A small MobileNet of Keras, from its file to a smaller one: swept, cut with a proof, mended, trained, taken home."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.datasets import load_digits

from pruning_core.datasets import import_data
from pruning_core.export.as_brought import as_brought
from pruning_core.export.onnx_file import export_onnx
from pruning_core.export.program import export_pt2
from pruning_core.graph import Plan, capture
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.methods.recoveries import Mending
from pruning_core.runs.events import Artifact
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.measure import EvaluateRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.training.config import FineTune
from pruning_core.training.events import TrainOutcome
from pruning_core.zoo import import_model, load_model
from tests.core.task_nets import archive

pytestmark = pytest.mark.usefixtures("one_thread")
# In a fresh process, which knows nothing of this project: the program runs by torch alone.
RUN = """
import sys, numpy, torch
x = torch.from_numpy(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], torch.export.load(sys.argv[1]).module()(x).detach().numpy())
assert not any(name.startswith(("pruning_core", "keras")) for name in sys.modules)
"""


def digits(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 32, 32, 3) uint8 pictures of digits and their classes."""
    found = load_digits()
    grey = (found.images[:number] * 255 / 16).astype(np.uint8).repeat(4, 1).repeat(4, 2)
    return np.stack([grey] * 3, 3), found.target[:number].astype(np.int64)


def separable(keras: Any) -> Any:
    """A MobileNet of three blocks, with statistics that follow a short training."""
    lib = keras.layers
    keras.utils.set_random_seed(0)
    y = x = keras.Input((32, 32, 3))
    y = lib.Rescaling(2.0, offset=-1.0)(y)
    for number, (width, stride) in enumerate([(8, 2), (16, 2), (24, 2)]):
        y = lib.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"conv_dw_{number}")(y)
        y = lib.BatchNormalization(momentum=0.8)(y)
        y = lib.ReLU(6.0)(y)
        y = lib.Conv2D(width, 1, use_bias=False, name=f"conv_pw_{number}")(y)
        y = lib.BatchNormalization(momentum=0.8)(y)
        y = lib.ReLU(6.0)(y)
    y = lib.Conv2D(10, 1, name="conv_preds")(lib.Dropout(0.01)(lib.GlobalAveragePooling2D(keepdims=True)(y)))
    return keras.Model(x, lib.Reshape((10,))(y))


def test_from_a_file_of_keras_to_a_smaller_network_at_home(tmp_path: Path) -> None:
    os.environ["KERAS_BACKEND"] = "torch"
    keras: Any = importlib.import_module("keras")
    network = separable(keras)
    network.save(tmp_path / "small.keras")
    root = Workspace(tmp_path)
    model = import_model(tmp_path / "small.keras", "small.keras", root).ref
    images, labels = digits(600)
    data = import_data(archive(images=images, labels=labels), "digits.npz", root)
    (*_, plain) = [e for e in EvaluateRun(model, data).run(root) if isinstance(e, Accuracy)]
    assert plain.measure == "top1" and plain.complete

    spec = SensitivityRun(model, dataclasses.replace(data, split="held-out"), ratios=(0.5,))
    cells = [e for e in spec.run(root) if isinstance(e, Cell)]
    assert len({cell.group for cell in cells}) == 3 and all(cell.exact for cell in cells)

    loaded = load_model(model, root)
    groups = capture(loaded.model, torch.zeros(1, *loaded.input_size)).groups
    plan = Plan({group.key: tuple(range(group.size // 3)) for group in groups}).to_json()
    (found,) = [e for e in PruneRun(model, data, plan, recovery=Mending(images=64)).run(root) if isinstance(e, Pruned)]
    assert found.proof.exact and found.proof.max_rel < 1e-6 and found.recovered is not None

    tuned = FineTuneRun(found.model, data, FineTune(epochs=6, lr=0.01, batch_size=32, optimizer="adamw"))
    events = list(tuned.run(root))
    (outcome,) = [e for e in events if isinstance(e, TrainOutcome)]
    (weights,) = [e for e in events if isinstance(e, Artifact)]
    assert outcome.top1 > outcome.start_top1, "trained"

    home = load_model(dataclasses.replace(found.model, weights=weights.digest), root)
    small, example, names = as_brought(home)
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = small.eval()(x).numpy()
    (tmp_path / "home.pt2").write_bytes(export_pt2(small, example).data)
    np.save(tmp_path / "x.npy", x.numpy())
    command = [sys.executable, "-c", RUN, *(str(tmp_path / name) for name in ("home.pt2", "x.npy", "y.npy"))]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=300)
    written = export_onnx(small, example, names)
    session = onnxruntime.InferenceSession(written.data)
    (by_onnx,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    for again in (np.load(tmp_path / "y.npy"), by_onnx):
        assert np.abs(again - wanted).max() < 1e-4 * np.abs(wanted).max()
