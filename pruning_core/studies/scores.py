"""Scoring as a run: what several criteria say of one network, stored so that pages draw it without computing again."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pruning_core.criteria import Criterion, scoring
from pruning_core.criteria.base import Scores
from pruning_core.datasets import DataRef, Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.measuring.device import device_title
from pruning_core.methods.ranking import SCORED_ON
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.arrays import put_arrays, stored_arrays
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fit_sample, the_model
from pruning_core.studies.points import Scored
from pruning_core.studies.sensitivity import captured
from pruning_core.taxonomy import Family
from pruning_core.work import told
from pruning_core.zoo import LoadedModel, ModelRef
from pruning_core.zoo.titles import called

SEED_KNOB = "seed"


@dataclass(frozen=True)
class Draw:
    """One criterion to score; a random one stands several times in a comparison, each time with another seed."""

    base: Criterion
    number: int = 0

    @property
    def criterion(self) -> Criterion:
        if not self.number:
            return self.base
        return replace(self.base, **{SEED_KNOB: getattr(self.base, SEED_KNOB) + self.number})

    @property
    def label(self) -> str:
        return self.base.label


def is_random(criterion: Criterion) -> bool:
    """True for a control that has a seed: it is compared as a band over several draws."""
    return criterion.card.family is Family.CONTROL and hasattr(criterion, SEED_KNOB)


def draws(criteria: Sequence[Criterion], random_seeds: int = 1) -> tuple[Draw, ...]:
    """Every criterion once, random ones ``random_seeds`` times."""
    return tuple(
        Draw(each, number)
        for each in dict.fromkeys(criteria)
        for number in range(random_seeds if is_random(each) else 1)
    )


@dataclass(frozen=True)
class ScoresRun(RunSpec):
    """One ``Scored`` event per criterion; images, where one needs them, come from the fitted part of ``data``."""

    kind: ClassVar[str] = "scores"
    model: ModelRef
    data: DataRef
    criteria: tuple[Criterion, ...]
    images: int = SCORED_ON
    seed: int = 0

    @property
    def title(self) -> str:
        by = self.criteria[0].label if len(self.criteria) == 1 else f"{len(self.criteria)} criteria"
        return f"Scoring {called(self.model)} by {by}"

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        if not self.criteria:
            raise UserError("There is nothing to score with. Choose at least one criterion.")
        loaded = yield from the_model(self.model, workspace)
        yield from scored_all(
            loaded, captured(loaded), draws(self.criteria), workspace, self.data, self.images, self.seed, past
        )


def scored_all(
    loaded: LoadedModel,
    network: Network,
    wanted: Sequence[Draw],
    workspace: Workspace,
    data: DataRef,
    images: int,
    seed: int,
    past: tuple[Event, ...] = (),
) -> Generator[Event, None, dict[Draw, dict[str, NDArray[np.float64]]]]:
    """Use with ``yield from``. Those that ``past`` tells of are read back; one probe serves all the others."""
    stored = {(e.criterion, e.draw): e for e in past if isinstance(e, Scored) and workspace.artifacts.has(e.digest)}
    found = {
        d: read_scores(workspace, stored[d.label, d.number].digest) for d in wanted if (d.label, d.number) in stored
    }
    rest = [draw for draw in wanted if draw not in found]
    if not rest:
        return found
    batches: Dataset | None = None
    if any(draw.criterion.needs_images for draw in rest):
        batches = yield from fit_sample(data, loaded, workspace, images, seed)
    yield Stage("scoring channels")
    steps = scoring(loaded.model, network, [draw.criterion for draw in rest], batches, images=images, seed=seed)
    units = {"probe": "batches probed", "score": "groups scored"}
    verdicts = yield from told(steps, lambda step: (Progress(step.done, step.total, units[step.stage]),))
    for draw in rest:
        scores = verdicts[draw.criterion]
        found[draw] = {key: value.double().cpu().numpy() for key, value in scores.values.items()}
        yield _stored(draw, scores, found[draw], workspace)
    return found


def write_scores(workspace: Workspace, values: dict[str, NDArray[np.float64]]) -> str:
    """Store (C,) per group; returns the digest to read them by."""
    return put_arrays(workspace.artifacts, values)


def read_scores(workspace: Workspace, digest: str) -> dict[str, NDArray[np.float64]]:
    """(C,) per group, higher = keep. Raises UserError when the file is gone or damaged: a child wrote it."""
    otherwise = "The stored scores cannot be read. Compute them again."
    with stored_arrays(workspace.artifacts, digest, otherwise) as file:
        if any(each.dtype != np.float64 or each.ndim != 1 for each in file.values()):
            raise ValueError("no number for each channel")
        return file


def _stored(draw: Draw, scores: Scores, values: dict[str, NDArray[np.float64]], workspace: Workspace) -> Scored:
    digest = write_scores(workspace, values)
    return Scored(
        criterion=draw.label,
        key=draw.base.card.key,
        draw=draw.number,
        seconds=scores.seconds,
        images=scores.images,
        device=device_title("cpu"),
        digest=digest,
        missing=dict(scores.missing),
    )
