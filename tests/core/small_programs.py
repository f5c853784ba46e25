"""A small network and what a program on the digits begins with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.graph import Network, capture
from pruning_core.methods.state import Setup, State
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.loop import Training, fine_tune
from pruning_core.training.loss import ObjectiveSpec
from pruning_core.zoo.resnet import CifarResNet

Parts = tuple[Dataset, Dataset, Dataset]
CONFIG = FineTune(epochs=4, batch_size=128, lr=0.05, augment="shift", seed=3, device="cpu")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1),
        nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Dropout(0.1), nn.Linear(48, 10),
    ).eval()  # fmt: skip


def residual() -> nn.Module:
    """Two stages of one block each, with a projection between them: most of its channels are coupled."""
    torch.manual_seed(0)
    return CifarResNet((1, 1), (8, 16), in_channels=1).eval()


def blocks() -> nn.Module:
    """Two stages of three blocks; all but the one with a projection give back the shape that they read."""
    torch.manual_seed(0)
    return CifarResNet((3, 3), (8, 16), in_channels=1).eval()


def begun(model: nn.Module | None = None) -> State:
    model = model or network()
    return State.of(model, capture(model, torch.zeros(1, 1, 8, 8)))


def setup(digits: Parts, config: FineTune = CONFIG) -> Setup:
    fit, held_out, test = digits
    return Setup(fit, fit, held_out, test, config, seed=config.seed, device="cpu")


@dataclass(frozen=True)
class NoisyGates(HookSpec):
    """Trained factors of the second convolution's channels, with noise, and a running mean as its state."""

    noise: float = 0.1

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _NoisyGates(self.noise, model[3].weight, network.groups[1].key)


class _NoisyGates(Hook):
    def __init__(self, noise: float, weight: nn.Parameter, key: str) -> None:
        self.noise, self.weight, self.key = noise, weight, key
        self.gates, self.mean = nn.Parameter(torch.ones(len(weight))), torch.zeros(len(weight))

    def parameters(self) -> list[nn.Parameter]:
        return [self.gates]

    def overrides(self, moment: Moment) -> dict[str, Tensor]:
        noise = self.noise * torch.randn(len(self.gates)) * moment.model.training
        return {"3.weight": self.weight * (self.gates + noise)[:, None, None, None]}

    def penalty(self, moment: Moment) -> Tensor:
        return 0.01 * self.gates.abs().sum()

    def after_step(self, moment: Moment) -> None:
        self.mean = 0.9 * self.mean + 0.1 * self.gates.detach()

    def learnt(self) -> dict[str, Tensor]:
        return {self.key: self.mean.clone()}

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean}

    def load(self, state: Mapping[str, Any]) -> None:
        self.mean = state["mean"]


def clockless(event: Any) -> Any:
    clock = {"seconds", "images_per_s", "seconds_left"} & {f.name for f in dataclasses.fields(event)}
    return dataclasses.replace(event, **dict.fromkeys(clock, 0.0))


def trained(
    spec: HookSpec,
    digits: Parts,
    model: nn.Module | None = None,
    objective: ObjectiveSpec | None = None,
    **settings: Any,
) -> tuple[Training, list[Epoch]]:
    """A training with one hook, to its end, and its epochs."""
    fit, held_out, test = digits
    state = begun(model)
    config = FineTune(**{"epochs": 3, "batch_size": 128, "lr": 0.05, "device": "cpu", **settings})
    training = fine_tune(
        state.model, fit, test, config, (spec,), held_out, network=state.network, keep="last", objective=objective
    )
    return training, [event for event in training if isinstance(event, Epoch)]


def taught(model: nn.Module, digits: Parts, epochs: int = 8) -> nn.Module:
    """A network that knows the digits a little: what a method begins with that leaves weights alone."""
    fit, held_out, test = digits
    training = fine_tune(model, fit, test, dataclasses.replace(CONFIG, lr=0.1, epochs=epochs), held_out=held_out)
    list(training)
    return training.best_model()


def moment(model: nn.Module, step: int = 0, done: float = 0.5) -> Moment:
    return Moment(model, 1, step, 10, done, 0.1)


def seen_by(epoch: Epoch, key: str) -> tuple[float, ...]:
    """The number, or the counts, that a watch showed."""
    (found,) = (watched.values for watched in epoch.watched if watched.key == key)
    return found
