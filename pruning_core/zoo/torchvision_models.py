"""torchvision's classifiers by name."""

from __future__ import annotations

import hashlib
import re
import threading
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pruning_core.datasets.download import fetch
from pruning_core.datasets.raw import Progress
from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root, directory

AUXILIARY = ("googlenet", "inception_v3")
_HUB = threading.Lock()  # the hub's folder is one setting of the whole process


@cache
def names() -> tuple[str, ...]:
    """Every classifier that torchvision lists."""
    return tuple(_models().list_models(module=_models()))


def check_name(name: str) -> None:
    """Raises UserError when torchvision has no classifier called ``name``."""
    if name not in names():
        raise UserError(f"torchvision has no classifier called {name!r}. Choose one from its list.")


def build(name: str, num_classes: int = 1000, **options: Any) -> nn.Module:
    """A new network with random weights; heads that only help training are left out unless asked for."""
    check_name(name)
    return _models().get_model(name, weights=None, num_classes=num_classes, **{**_plain(name), **options})


def input_size(name: str, pretrained: bool = False) -> tuple[int, int, int]:
    """(C, H, W): what the published weights were measured at, else what the builder is made for."""
    check_name(name)
    side = int(_weights(name).transforms().crop_size[0]) if pretrained else 299 if name == "inception_v3" else 224
    return 3, side, side


@cache
def parameters(name: str) -> int:
    """How many parameters the network has with 1,000 classes, as its published weights say."""
    return int(_weights(name).meta["num_params"])


def pretrained(name: str, root: Root | None, progress: Progress) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its published weights, fetched once into the data directory, and what is known of them.

    Raises UserError with the reason when they cannot be downloaded.
    """
    check_name(name)
    weights = _weights(name)
    hub = directory(root) / "downloads"
    file = hub / "checkpoints" / weights.url.rsplit("/", 1)[1]
    fetch([weights.url], file, f"the weights of {name}", progress)
    _verify(file)
    with _HUB:
        before = torch.hub.get_dir()
        torch.hub.set_dir(str(hub))
        try:
            model = _models().get_model(name, weights=weights, progress=False)
        finally:
            torch.hub.set_dir(before)
    if name == "inception_v3":
        model.aux_logits, model.AuxLogits = False, None  # as in build; this builder insists on loading them
    preset = weights.transforms()
    metrics: dict[str, float] = next(iter(weights.meta.get("_metrics", {}).values()), {})
    known = {
        "classes": tuple(weights.meta["categories"]),
        "mean": tuple(preset.mean),
        "std": tuple(preset.std),
        "published_top1": metrics["acc@1"] / 100 if "acc@1" in metrics else None,
        "source": weights.url,
        "recipe": weights.meta.get("recipe", ""),
    }
    return model, known


def _models() -> Any:
    from torchvision import models  # as slow to import as torch itself, and not needed for the first page

    return models


def _weights(name: str) -> Any:
    return _models().get_model_weights(name).DEFAULT


def _plain(name: str) -> dict[str, Any]:
    # Auxiliary heads exist in train mode only, and drawing their initial values takes half a minute.
    return {"aux_logits": False, "init_weights": False} if name in AUXILIARY else {}


def _verify(file: Path) -> None:
    """The published name ends in the first digits of the file's sha256."""
    wanted = re.search(r"-([0-9a-f]{8,})\.pth$", file.name)
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if wanted is None or not found.startswith(wanted[1]):
        file.unlink()
        raise UserError(f"The download {file.name} was damaged and has been removed. Try again.")
