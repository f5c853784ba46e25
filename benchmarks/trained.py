"""Networks that are right on the digits, trained once and kept, so that a benchmark's predictions mean something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from pruning_core.datasets import DataRef, Dataset, load_splits
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.storage.place import default_root
from pruning_core.training.config import FineTune
from pruning_core.training.loop import fine_tune

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
    return train.fitted((3, pixels, pixels)), test.fitted((3, pixels, pixels))


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
        model = _after(model, stage)
    kept.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), kept)
    return model.eval()


def _after(model: nn.Module, stage: Stage) -> nn.Module:
    """Nesterov's momentum, a short rise and a cosine's fall; products in bfloat16 where the processor has them."""
    data, test = digits(stage.pixels)
    data = data if stage.images is None else data.subset(stage.images)
    config = FineTune(
        epochs=stage.epochs,
        lr=stage.rate,
        batch_size=BATCH,
        warm_up=0.3,
        precision="bfloat16" if bfloat16_is_fast("cpu") else "float32",
        device="cpu",
    )
    training = fine_tune(model, data, test, config, held_out=test, keep="last")
    for _ in training:
        pass
    return training.best_model()
