"""A training that would not fit is refused before it starts, and the caller's network is not touched by the look."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.storage import memory
from pruning_core.training.config import FineTune
from pruning_core.training.loop import fine_tune
from pruning_core.training.memory import looked_at

SIDE = 64


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def data(images: int = 8) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (images, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    return Dataset(pixels, torch.arange(images) % 2, ("a", "b"), (0.0,) * 3, (1.0,) * 3, "noise")


def test_what_one_image_keeps_is_what_the_operators_need() -> None:
    """By hand: a convolution keeps its input, a ReLU its output."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    found = looked_at(net, torch.zeros(2, 3, SIDE, SIDE))
    assert found.each == 4 * SIDE * SIDE * (3 + 8) and found.largest == 4 * SIDE * SIDE * 8
    assert found.parameters == 4 * (3 * 8 * 9 + 8)
    config = FineTune(batch_size=10)
    assert found.of(config) == 10 * (found.each + 2 * found.largest) + 3 * found.parameters


def test_the_network_and_the_dice_are_as_they_were() -> None:
    net = nn.Sequential(small(), nn.Dropout(0.5)).train()
    before, dice = copy.deepcopy(net.state_dict()), torch.random.get_rng_state()
    looked_at(net, torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert torch.equal(dice, torch.random.get_rng_state())


def test_too_large_a_batch_is_refused_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images = small(), data()
    free = looked_at(net, torch.zeros(2, 3, SIDE, SIDE)).of(FineTune(batch_size=1024)) / 0.8
    monkeypatch.setattr(memory, "free_memory", lambda: 0.99 * free)
    config = FineTune(epochs=1, batch_size=1024, device="cpu")
    with pytest.raises(UserError, match=r"batches of 1,024 images of 64 × 64 pixels would take .* smaller batch size"):
        list(fine_tune(net, images, images, config, held_out=images))
    monkeypatch.setattr(memory, "free_memory", lambda: 1.01 * free)
    assert list(fine_tune(net, images, images, config, held_out=images))
