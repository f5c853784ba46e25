"""A network of Keras that scales its pixels itself is given them as they are: what comes out is what Keras gives."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pruning_core.datasets import import_data, load_data
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.zoo import LoadedModel, import_model
from tests.core.keras_nets import one
from tests.core.task_nets import archive
from tests.core.test_keras_files import shuffled

SIDE = 32


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    return importlib.import_module("keras")


def after(scale: Callable[[Any, Any], Any]) -> Any:
    return one(lambda lib, x: lib.GlobalAveragePooling2D()(lib.Conv2D(4, 3)(scale(lib, x))), (SIDE, SIDE, 3))


MEAN, VARIANCE = [123.7, 116.3, 103.5], [3408.0, 3262.0, 3294.0]
# name -> (how it is made, the largest pixel that Keras is given)
NETS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "an application": (
        lambda k: k.applications.MobileNetV3Small((SIDE, SIDE, 3), weights=None, classes=4, include_preprocessing=True),
        255,
    ),
    "bytes rescaled": (after(lambda lib, x: lib.Rescaling(1 / 127.5, offset=-1.0)(x)), 255),
    "bytes standardised": (after(lambda lib, x: lib.Normalization(mean=MEAN, variance=VARIANCE)(x)), 255),
    "from 0 to 1": (after(lambda lib, x: lib.Rescaling(2.0, offset=-1.0)(x)), 1),
}


def given(loaded: LoadedModel, root: Workspace) -> tuple[np.ndarray, torch.Tensor]:
    """(images as Keras has them, what goes into the network here)"""
    images = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
    ref = import_data(archive(images=images, labels=np.arange(8) % 4), "images.npz", root)
    data = load_data(ref, root)
    taken = fitted(data, ref, loaded, judged=False)
    return data.images.permute(0, 2, 3, 1).numpy(), taken.normalised(taken.images)


@pytest.mark.parametrize("name", NETS)
def test_pixels_are_scaled_once(name: str, keras: Any, tmp_path: Path) -> None:
    make, largest = NETS[name]
    model, root = shuffled(make(keras)), Workspace(tmp_path)
    model.save(tmp_path / "net.keras")
    loaded = import_model(tmp_path / "net.keras", "net.keras", root)
    assert f"Its first layer scales pixels itself, so they go in as numbers from 0 to {largest}." in loaded.notes
    images, x = given(loaded, root)
    with torch.no_grad():
        wanted = model(images.astype(np.float32) / (255 / largest), training=False)
        found = loaded.model(x)
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def test_what_does_not_scale_is_given_what_is_counted(keras: Any, tmp_path: Path) -> None:
    root = Workspace(tmp_path)
    shuffled(after(lambda lib, x: x)(keras)).save(tmp_path / "net.keras")
    loaded = import_model(tmp_path / "net.keras", "net.keras", root)
    assert loaded.mean is None and not any("scales pixels" in note for note in loaded.notes)
    _, x = given(loaded, root)
    assert x.mean().abs() < 0.1 and (x.std() - 1).abs() < 0.1
