"""Networks trained by this project and kept in its repository, with the provenance beside each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from pruning_core.datasets import CIFAR_SAMPLE, DIGITS, TEXT_SAMPLE, DataRef
from pruning_core.datasets.sample import ASSETS
from pruning_core.errors import UserError
from pruning_core.zoo.architectures import architecture
from pruning_core.zoo.ref import ModelRef

CIFAR10 = DataRef("torchvision", "CIFAR10")


@dataclass(frozen=True)
class Demo:
    """One demo: what it is, and the data it brings, on which it is judged here, offline.

    trained_on: what ``tools/train_demo.py`` trains it with.
    """

    name: str
    title: str
    architecture: str
    data: DataRef
    trained_on: DataRef
    seed: int = 0

    @property
    def ref(self) -> ModelRef:
        return ModelRef("demo", self.name, weights="demo")

    @property
    def weights_path(self) -> Path:
        return ASSETS / f"{self.name}.safetensors"

    @property
    def provenance_path(self) -> Path:
        return ASSETS / f"{self.name}.json"


DEMOS: tuple[Demo, ...] = (
    Demo("digits_resnet", "ResNet on digits", "digits_resnet", DIGITS, DIGITS),
    Demo("digits_vgg", "VGG on digits", "digits_vgg", DIGITS, DIGITS),
    Demo("cifar_resnet56", "ResNet-56 on CIFAR-10", "cifar_resnet56", CIFAR_SAMPLE, CIFAR10),
    Demo("cifar_resnet20", "ResNet-20 on CIFAR-10", "cifar_resnet20", CIFAR_SAMPLE, CIFAR10),
    Demo("text_gpt", "GPT on Python's help", "text_gpt", TEXT_SAMPLE, TEXT_SAMPLE),
)


def available_demos() -> tuple[Demo, ...]:
    """The demos whose weights are here."""
    return tuple(item for item in DEMOS if item.weights_path.is_file() and item.provenance_path.is_file())


def demo(name: str) -> Demo:
    """The demo called ``name``. Raises UserError when there is none."""
    for item in DEMOS:
        if item.name == name:
            return item
    raise UserError(f"There is no demo called {name!r}. Choose one of {', '.join(item.name for item in DEMOS)}.")


def load_demo(chosen: Demo) -> tuple[nn.Module, Mapping[str, Any]]:
    """The trained network and its provenance. Raises UserError when its files are not here."""
    if chosen not in available_demos():
        raise UserError(
            f"The weights of the demo {chosen.name!r} are not in this copy. Train them with "
            f"python -m tools.train_demo {chosen.name}, or choose another demo."
        )
    provenance = json.loads(chosen.provenance_path.read_text(encoding="utf-8"))
    made = architecture(chosen.architecture)
    model = made.build(num_classes=len(provenance["classes"]), in_channels=len(provenance["mean"]))
    model.load_state_dict(load_file(chosen.weights_path))
    return model, provenance
