"""t-SNE as a run: it takes seconds for a wide layer, during which the page stays alive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pruning_core.analysis.embedding import t_sne
from pruning_core.analysis.similarity import METRICS, response_rows, weight_rows
from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.runs.events import Artifact, Event, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.runs.view import JobView
from pruning_core.storage.arrays import put_arrays, stored_arrays
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted, the_model, the_split
from pruning_core.studies.sensitivity import captured
from pruning_core.zoo import ModelRef

PLACES = "places.npy"


@dataclass(frozen=True)
class EmbedRun(RunSpec):
    """Places the channels of ``group`` in the plane by t-SNE: one Artifact "places.npy", (C, 2) float64.

    They are compared by their weights, or by what they answer to ``images`` fitting images of ``data``; ``metric`` is
    the name of one of ``METRICS``.
    """

    kind: ClassVar[str] = "embed"
    model: ModelRef
    group: str
    metric: str
    data: DataRef | None = None
    images: int = 64
    seed: int = 0

    @property
    def title(self) -> str:
        return f"t-SNE of {self.group}"

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        known = {metric.name: metric for metric in METRICS}
        if self.metric not in known:
            raise UserError(f"There is no distance called {self.metric}. Choose one of {', '.join(known)}.")
        loaded = yield from the_model(self.model, workspace)
        group = captured(loaded).group(self.group)
        if self.data is None:
            points = weight_rows(loaded.model, group)
        else:
            fit = yield from the_split(replace(self.data, split="fit"), workspace)
            fit = fitted(fit.subset(min(self.images, len(fit)), self.seed), self.data, loaded, judged=False)
            points = response_rows(loaded.model, group, fit, images=len(fit))
        yield Stage(f"placing {group.size:,} channels")
        places = {"places": t_sne(known[self.metric].distances(points), self.seed)}
        yield Artifact(PLACES, put_arrays(workspace.artifacts, places), "application/octet-stream")

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a few seconds of work: simpler to begin again


def read_places(workspace: Workspace, view: JobView) -> NDArray[np.float64]:
    """(C, 2) of a run that is done. Raises UserError when the file is gone."""
    made = view.last(Artifact)
    if made is None:
        raise UserError("This run has no result. Start it again.")
    otherwise = "The stored places cannot be read. Start the run again."
    with stored_arrays(workspace.artifacts, made.digest, otherwise) as file:
        (places,) = file.values()
        if places.ndim != 2 or places.shape[1] != 2:
            raise ValueError("no places in a plane")
        return places
