"""What is done to a network before it is measured: removal, new batch-norm statistics, training.

Generators to be used with ``yield from``: they yield the share done, in [0, 1], and return a new network. The network
that comes in is left as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Iterator

import torch
from torch import nn

from pruning_core.criteria import Criterion, Reconstructing
from pruning_core.criteria.rebuild import rebuilding
from pruning_core.datasets import Dataset
from pruning_core.graph import Network, Plan, Removal, remove
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import precision
from pruning_core.mending import Mender
from pruning_core.mending.windows import POSITIONS
from pruning_core.runs.events import Event, Progress
from pruning_core.runs.narrate import narrated
from pruning_core.training.config import FineTune
from pruning_core.training.events import Step
from pruning_core.training.loop import fine_tune
from pruning_core.training.recalibrate import recalibrating
from pruning_core.work import told

PROOF_IMAGES = 4
BATCH = 64
Treatment = Generator[float, None, nn.Module]


def cut(model: nn.Module, network: Network, plan: Plan, criterion: Criterion, fit: Dataset, images: int) -> Treatment:
    """Without the units of ``plan``; where the criterion's paper mends the layers behind them, they are mended."""
    if not plan:
        return copy.deepcopy(model)
    return (yield from removing(model, network, plan, criterion, fit, fit, images)).model


def removing(
    model: nn.Module,
    network: Network,
    plan: Plan,
    criterion: Criterion | None,
    fit: Dataset,
    proof: Dataset,
    images: int,
) -> Generator[float, None, Removal]:
    """As :func:`cut`, for a plan that removes something, with the removal's proof on the first images of ``proof``."""
    source = model
    if isinstance(criterion, Reconstructing):
        steps = rebuilding(model, network, plan, criterion, fit, images=min(images, len(fit)))
        source = yield from told(steps, lambda step: (step.done / max(1, step.total),))
    return remove(source, network, plan, proof.normalised(proof.images[:PROOF_IMAGES]))


def recalibrated(model: nn.Module, fit: Dataset, images: int, seed: int, device: str) -> Treatment:
    """With the batch-norm statistics of ``images`` images of ``fit``."""
    chosen = fit.subset(min(images, len(fit)), seed)
    where = choose_device(device)
    count = len(chosen) - (len(chosen) % BATCH == 1)  # a last batch of a single image has no variance
    batches = chosen.batches(BATCH, where, indices=torch.arange(count))
    steps = recalibrating(copy.deepcopy(model).to(where), (x for x, _ in batches))
    total = -(-count // BATCH)
    return (yield from told(steps, lambda seen: (seen / max(1, total),)))


def mender(
    model: nn.Module,
    network: Network,
    fit: Dataset,
    *,
    images: int,
    positions: int = POSITIONS,
    seed: int = 0,
    device: str = "auto",
    groups: Iterable[str] | None = None,
    weights: bool = True,
) -> Mender:
    """What mends any plan of ``groups`` (all) on ``images`` of ``fit``: ``weights`` too, or constants alone.

    Raises UserError for fewer than two images.
    """
    where = choose_device(device)
    chosen = fit.subset(min(images, len(fit)), seed)
    inputs = chosen.normalised(chosen.images, precision(model)).to(where)
    source = copy.deepcopy(model).to(where)
    return Mender(source, network, inputs, groups=groups, positions=positions, seed=seed, weights=weights)


def mended(by: Mender, plan: Plan, proof: Dataset) -> Generator[float, None, Removal]:
    """As :func:`removing`, after every layer that reads what goes was refitted."""
    work = narrated(lambda report: by(plan, report), "layers")

    def share(event: Event) -> Iterator[float]:
        if isinstance(event, Progress):
            yield event.done / max(1, event.total)

    found = yield from told(work, share)
    return remove(found.model.cpu(), by.network, plan, proof.normalised(proof.images[:PROOF_IMAGES]))


def tuned(model: nn.Module, fit: Dataset, held_out: Dataset, test: Dataset, config: FineTune) -> Treatment:
    """Trained on ``fit`` with the weights that were best on ``held_out``."""
    training = fine_tune(model, fit, test, config, held_out=held_out)
    try:
        for event in training:
            if isinstance(event, Step):
                yield event.done
    finally:
        training.close()
    return training.best_model()
