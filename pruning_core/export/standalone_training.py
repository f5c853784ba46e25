"""The training inside the script that a person downloads: one process, or several under torchrun.

A module of its own so that it is checked like any other; :mod:`.script` copies what stands between the marks.
"""

from __future__ import annotations

# >>> imports
import contextlib
import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

# <<< imports


# >>> training
def rank() -> int:
    """Which of the processes that torchrun started this is; 0 writes and speaks."""
    return int(os.environ.get("RANK", "0"))


def several() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def train(model: nn.Module, images: Any, epochs: int, batch: int, rate: float, seed: int = 0) -> None:
    """Train ``model`` in place on ``images``, a Dataset of (image, class) as the network takes them.

    SGD with momentum 0.9 and weight decay 5e-4 on the cross-entropy; the learning rate falls from ``rate`` to 0 by a
    cosine. Under torchrun every process takes its share of each epoch and gradients are averaged, so that ``batch``
    images per process are ``batch`` times the number of processes for a step.
    """
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    torch.manual_seed(seed + rank())
    learner: nn.Module = model.to(device)
    sampler: DistributedSampler[Any] | None = None
    if several():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        learner = nn.parallel.DistributedDataParallel(learner, device_ids=[local] if device.type == "cuda" else None)
        sampler = DistributedSampler(images, shuffle=True, seed=seed)
    shuffled = torch.Generator().manual_seed(seed)
    loader = DataLoader(images, batch, shuffle=sampler is None, sampler=sampler, generator=shuffled)
    steps = max(1, epochs * len(loader))
    optimizer = torch.optim.SGD(
        (p for p in model.parameters() if p.requires_grad), rate, momentum=0.9, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with contextlib.suppress(NotImplementedError):  # an exported program has one mode only
        learner.train()
    try:
        for epoch in range(epochs):
            if sampler is not None:
                sampler.set_epoch(epoch)  # else every epoch has the same order
            total = torch.zeros(3, dtype=torch.float64, device=device)  # loss, right, images
            for x, y in loader:
                x, y = x.to(device), y.to(device)
                scores = logits(learner(x))
                loss = nn.functional.cross_entropy(scores, y)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
                optimizer.step()
                schedule.step()
                right = (scores.argmax(1) == y).sum()
                total += torch.stack([loss.detach() * len(y), right, torch.tensor(len(y), device=device)]).double()
            if several():
                dist.all_reduce(total)
            mean, share, count = float(total[0] / total[2]), float(total[1] / total[2]), int(total[2])
            print(f"epoch {epoch + 1}/{epochs}: loss {mean:.4f}, {share:.1%} of {count} training images right")
    finally:
        if several() and dist.is_initialized():
            dist.destroy_process_group()
        model.cpu()
        with contextlib.suppress(NotImplementedError):
            model.eval()


def logits(found: Any) -> Tensor:
    """The first tensor of whatever a network returns."""
    while not isinstance(found, Tensor):
        found = next(iter(found.values() if isinstance(found, dict) else found))
    return found


# <<< training
