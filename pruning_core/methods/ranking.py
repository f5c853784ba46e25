"""Scores of all channels as a part of longer work, and the order to remove them in."""

from __future__ import annotations

from collections.abc import Generator

from torch import Tensor, nn

from pruning_core.criteria import Criterion, scoring
from pruning_core.datasets import Dataset
from pruning_core.graph import Network
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.work import told

SCORED_ON = 128  # images that activations and gradients are read from
UNITS = {"probe": "batches", "score": "groups"}


def ranked(
    model: nn.Module, network: Network, criterion: Criterion, images: Dataset | None, seed: int
) -> Generator[Event, None, dict[str, Tensor]]:
    """Scores (C,) by group key. Use with ``yield from``; groups that cannot be ranked are said and left out.

    ``images`` are those to look at; None for a criterion that needs none.
    """
    yield Stage(f"scoring channels: {criterion.card.name}")
    steps = scoring(model, network, (criterion,), images, images=SCORED_ON, seed=seed)
    verdicts = yield from told(steps, lambda step: (Progress(step.done, step.total, UNITS[step.stage]),))
    scores = verdicts[criterion]
    if scores.missing:
        key, reason = next(iter(scores.missing.items()))
        yield Stage(f"{len(scores.missing)} groups are left out: the criterion cannot rank them; {key}: {reason}")
    values: dict[str, Tensor] = scores.values
    return values
