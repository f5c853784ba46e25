"""Image classifiers of transformers: from a repository to groups that are exact, and a proven cut."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning_core.zoo import LoadedModel, import_model, load_model
from tests.core.graph_zoo import examine
from tests.core.huggingface_nets import CLASSES, NETS, classifier, files_of, zipped

pytestmark = pytest.mark.usefixtures("one_thread")
# parameters that nothing reads: the token of what is masked in their training, and heads that give no scores
IDLE = {"dinov2": 1, "dinov2 with registers": 1, "clip": 2, "siglip": 11}
HEADS = {"vit", "deit", "beit", "swin"}  # whole heads go
QUICK = HEADS | {"dinov2", "segformer", "resnet", "regnet y", "convnext", "poolformer", "efficientnet"}
SLOW = pytest.mark.slow
ONLY_APPROXIMATE = {"convnext v2", "bit"}  # a norm of all channels stands behind every one of them


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: Any, **_more: Any) -> None:
        raise AssertionError("something was to be fetched from somewhere")

    monkeypatch.setattr(socket.socket, "connect", refused)


def brought(data: bytes, root: Path, name: str = "mine.zip", **more: Any) -> LoadedModel:
    return import_model(io.BytesIO(data), name, root, **more)


@pytest.mark.parametrize("name", [each if each in QUICK else pytest.param(each, marks=SLOW) for each in NETS])
def test_a_repository_becomes_its_network_whose_groups_are_exact(name: str, tmp_path: Path) -> None:
    own, side = classifier(name), NETS[name][2]
    found = brought(zipped(files_of(own)), tmp_path, input_size=(3, side, side))
    again = load_model(found.ref, tmp_path)
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        wanted = own(x)["logits"]
        assert torch.equal(found.model(x), wanted) and torch.equal(again.model(x), wanted)
    assert found.num_classes == CLASSES and found.ref.architecture == "transformers" and not found.ref.foreign
    row = examine(name, found.model, side, idle=IDLE.get(name, 0))
    assert not row.refused and row.form
    assert bool(row.exact) is (name not in ONLY_APPROXIMATE)
    assert row.heads or name not in HEADS
