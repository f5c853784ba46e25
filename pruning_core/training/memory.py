"""How much memory a training takes, before it takes it: the system ends a process that asks for too much."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.graph.copies import copied
from pruning_core.storage.memory import must_fit
from pruning_core.training.config import FineTune

LOOKED_AT = 2  # images of the look; batch normalisation cannot be trained on one
SMALL = 4 << 20  # bytes of a batch below which nobody looks: such a training takes tens of megabytes
SHARE = 0.8  # of what is free that a training may take: nothing else grows meanwhile


@dataclass(frozen=True)
class Taken:
    """Bytes, estimated. ``each``: per image of a batch, kept from forward to backward. ``largest``: of those, the
    largest tensor of an image, whose gradient is made beside it. ``parameters``: of all parameters.
    """

    each: float
    largest: float
    parameters: float

    def of(self, config: FineTune) -> float:
        """Of a training with these settings: a batch at the moment the backward pass begins, gradients, the
        optimizer's state, and the best weights so far."""
        copies = {"sgd": 1, "adamw": 2}[config.optimizer] + 2
        return config.batch_size * (self.each + 2 * self.largest) + copies * self.parameters


def looked_at(model: nn.Module, x: Tensor) -> Taken:
    """``x`` (2, C, H, W): what one forward pass of a copy of ``model``, in training mode, keeps for its backward pass.

    An objective that runs the network several times takes as much each time; that is not counted.
    """
    clone = copied(model).cpu()
    known = {each.untyped_storage().data_ptr() for each in (*clone.parameters(), *clone.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    watching = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), watching:
        out = clone(x.cpu())  # held, so that no storage is freed and its place counted twice
    parameters = sum(each.nbytes for each in clone.parameters())
    del out
    return Taken(sum(kept.values()) / len(x), max(kept.values(), default=0) / len(x), parameters)


def check_memory(model: nn.Module, images: Tensor, config: FineTune) -> None:
    """Refuse a training on the CPU that would not fit. ``images`` (2 or more, C, H, W), as the network reads them.

    Raises UserError.
    """
    if images[:1].numel() * 4 * config.batch_size < SMALL or len(images) < LOOKED_AT:
        return
    sides = " × ".join(map(str, images.shape[2:] or images.shape[1:]))
    what = "pixels" if images.ndim == 4 else "numbers"
    must_fit(
        looked_at(model, images[:LOOKED_AT]).of(config),
        f"Training with batches of {config.batch_size:,} images of {sides} {what}",
        "Choose a smaller batch size.",
        SHARE,
    )
