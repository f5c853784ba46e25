"""Networks that are right on the digits, trained once and kept, so that a benchmark's predictions mean something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from pruning_core.datasets import DataRef, Dataset, load_splits
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.storage.workspace import default_root

BATCH = 32


@dataclass(frozen=True)
class Stage:
    """``epochs`` over the first ``images`` training digits (None: all) at a size; ``rate`` is its highest rate."""

    pixels: int
    epochs: int
    rate: float = 0.05
    images: int | None = None


def digits(pixels: int) -> tuple[Dataset, Dataset]:
    """(train, test) in colour at the wanted size."""
    train, test = load_splits(DataRef("digits", "digits", test_fraction=0.3))
    return tuple(part.fitted((3, pixels, pixels)) for part in (train, test))  # type: ignore[return-value]


def trained(name: str, build: Callable[[], nn.Module], stages: tuple[Stage, ...]) -> nn.Module:
    """The network in evaluation mode: kept in the data directory by an earlier run, else trained now."""
    recipe = "-".join(f"{s.pixels}x{s.epochs}x{s.rate:g}x{s.images or 'all'}" for s in stages)
    kept = default_root() / "benchmarks" / f"{name}-{recipe}-torch{torch.__version__}.pt"
    torch.manual_seed(0)
    model = build()
    if kept.exists():
        model.load_state_dict(torch.load(kept, weights_only=True))
        return model.eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for stage in stages:
        _train(model, stage)
    kept.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), kept)
    return model.eval()


def _train(model: nn.Module, stage: Stage) -> None:
    """Nesterov's momentum with a one-cycle rate; products in bfloat16 where the processor has them."""
    data = digits(stage.pixels)[0]
    data = data if stage.images is None else data.subset(stage.images)
    optimizer = torch.optim.SGD(model.parameters(), lr=stage.rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = stage.epochs * (len(data) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, stage.rate, total_steps=steps)
    model.to(memory_format=torch.channels_last).train()
    for _ in range(stage.epochs):
        for rows in torch.randperm(len(data))[: len(data) // BATCH * BATCH].split(BATCH):
            x = data.normalised(data.images[rows]).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast("cpu")):
                loss = F.cross_entropy(model(x).float(), data.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
