"""The sensitivity sweep as a run: scores first, then cells, again and again from more images."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pruning_core.analysis.sensitivity import Exact, Fast, LeftOut, NotMended, sweep
from pruning_core.criteria import Criterion, L1Norm
from pruning_core.datasets import DataRef, Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network, capture
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import precision
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.mending import Refits
from pruning_core.methods.ranking import ranked
from pruning_core.methods.recoveries import JustCut, Mending, Recovery
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.narrate import Report, narrated
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.in_pieces import Ranked, RowsDone
from pruning_core.studies.inputs import fit_sample, fitted, the_model, the_split
from pruning_core.zoo import LoadedModel, ModelRef
from pruning_core.zoo.titles import called

RATIOS = tuple(round(i / 10, 1) for i in range(1, 10))
# How a Stage says what a mended sweep does not refit
PLAIN, PARTLY = "just cut, not mended", "mended in part"
SWEPT = (JustCut, Mending)  # recoveries that a sweep can follow every cut with


@dataclass(frozen=True)
class SensitivityRun(RunSpec):
    """Cells for every group of ``model`` and every ratio, on ``images`` of the split that ``data`` names.

    ``approximate`` includes the groups whose removal is not exact. Groups that the criterion cannot judge, or that
    nobody can remove, are said in a Stage and left out.

    After a ``recovery`` that mends, the weights that read the group are refitted in every cell, each layer by itself,
    on images of the fitted part; groups where that cannot be are said in a Stage and just cut. Others would run images
    through the network for every cell: What-if does that for one plan.
    """

    kind: ClassVar[str] = "sensitivity"
    version: ClassVar[int] = 2  # since the images that a criterion looks at are drawn as in ScoresRun
    model: ModelRef
    data: DataRef
    criterion: Criterion = field(default_factory=L1Norm)
    ratios: tuple[float, ...] = RATIOS
    mode: Exact | Fast = field(default_factory=Exact)
    images: int | None = None
    approximate: bool = False
    seed: int = 0
    device: str = "auto"
    recovery: Recovery = field(default_factory=JustCut)

    @property
    def title(self) -> str:
        if self.recovery.looks_at:
            return f"Sensitivity of {called(self.model)} on {self.data.name}, mended"
        return f"Sensitivity of {called(self.model)} on {self.data.name}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        ground = yield from self.ground(workspace)
        yield Stage("measuring")
        cells = self.cells(ground, past)
        count, foreseen = len(ground.scores) * len(self.ratios), isinstance(self.mode, Exact)
        yield from _with_progress(cells, count, len(ground.data), past, foreseen=foreseen)

    def ground(
        self, workspace: Workspace, scores: Mapping[str, Tensor] | None = None
    ) -> Generator[Event, None, Ground]:
        """What the cells are measured with; ``scores`` by group where the criterion has spoken before."""
        self.check_recovery()
        loaded = yield from the_model(self.model, workspace)
        data = yield from the_split(self.data, workspace)
        data = fitted(data if self.images is None else data.subset(self.images, self.seed), self.data, loaded)
        network = captured(loaded)
        if scores is None:
            scores = yield from scored(loaded, network, self.criterion, workspace, self.data, self.seed)
        wanted = {g.key: scores[g.key] for g in network.groups if g.key in scores and (g.exact or self.approximate)}
        if not wanted:
            raise UserError("The criterion can rank no group of channels of this network. Choose another criterion.")
        refits = yield from self._refits(loaded, network, tuple(wanted), workspace)
        return Ground(loaded, network, data, wanted, refits)

    def cells(
        self, ground: Ground, past: tuple[Event, ...] = (), only: Collection[str] | None = None
    ) -> Iterator[Accuracy | Cell | LeftOut | NotMended]:
        """The sweep itself; ``only`` of these groups."""
        return sweep(
            ground.loaded.model,
            ground.network,
            ground.data,
            ground.scores,
            self.ratios,
            mode=self.mode,
            device=self.device,
            seed=self.seed,
            past=tuple(e for e in past if isinstance(e, Cell)),
            refits=ground.refits,
            only=only,
        )

    def check_recovery(self) -> None:
        """Raises UserError for a recovery that no sweep knows, and for one that would fit on what it measures on."""
        if not isinstance(self.recovery, SWEPT):
            raise UserError(
                f"A sweep just cuts, or mends: {self.recovery.card.name} would run images through the network for "
                "every cell. Choose it on What-if, for one plan."
            )
        if self.recovery.looks_at and self.data.split in ("train", "fit"):
            raise UserError("The images that mend would be among those that measure. Choose held-out images.")

    def _refits(
        self, loaded: LoadedModel, network: Network, groups: tuple[str, ...], workspace: Workspace
    ) -> Generator[Event, None, Refits | None]:
        recovery = self.recovery.sized(network.cost().macs)
        if not isinstance(recovery, Mending):
            return None
        fit = yield from fit_sample(self.data, loaded, workspace, recovery.looks_at, self.seed)
        inputs = fit.normalised(fit.images, precision(loaded.model))

        def begun(report: Report) -> Refits:
            found = Refits(
                loaded.model,
                network,
                groups,
                inputs,
                positions=recovery.positions,
                seed=self.seed,
                device=choose_device(self.device),
            )
            found.begin(report)
            return found

        return (yield from narrated(begun, "images"))

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        """The last state of every cell, and what a sweep in pieces needs to know of them."""
        last = {(e.group, e.ratio): e for e in past if isinstance(e, Cell)}
        return (*(e for e in past if isinstance(e, Ranked | RowsDone)), *last.values())


@dataclass(frozen=True)
class Ground:
    """What a sweep stands on; ``scores``: (C,) of every group that is swept."""

    loaded: LoadedModel
    network: Network
    data: Dataset
    scores: Mapping[str, Tensor]
    refits: Refits | None


def captured(loaded: LoadedModel) -> Network:
    """Raises UserError when the network does not run on images of its input size."""
    return capture(loaded.model, torch.zeros(1, *loaded.input_size))


def scored(
    loaded: LoadedModel, network: Network, criterion: Criterion, workspace: Workspace, data: DataRef, seed: int
) -> Generator[Event, None, dict[str, Tensor]]:
    """Scores by group; images, where the criterion needs them, come from the fitted part of the training data."""
    images: Dataset | None = None
    if criterion.needs_images:
        images = yield from fit_sample(data, loaded, workspace, seed=seed)
    return (yield from ranked(loaded.model, network, criterion, images, seed))


def remark(event: LeftOut | NotMended) -> Stage:
    """What a person reads of a group that has no cells, or that is not refitted."""
    if isinstance(event, LeftOut):
        return Stage(f"{event.key} is left out: {event.why}")
    return Stage(f"{event.key} is {PARTLY if event.partly else PLAIN}: {event.why}")


def _with_progress(
    events: Iterator[Accuracy | Cell | LeftOut | NotMended],
    cells: int,
    images: int,
    past: tuple[Event, ...],
    *,
    foreseen: bool,
) -> Iterator[Event]:
    """The events, with how much of the work (cells x images) is done and how long the rest takes.

    Not ``foreseen`` is a fast sweep's rest: how few cells and images will do is what it finds out.
    """
    done = {(e.group, e.ratio): e.images for e in past if isinstance(e, Cell)}
    before, began, told = sum(done.values()), time.monotonic(), 0.0
    for event in events:
        if isinstance(event, LeftOut | NotMended):
            yield remark(event)
            continue
        yield event
        if isinstance(event, Cell):
            done[event.group, event.ratio] = event.images
        now = time.monotonic()
        if now - told > 0.5:
            told, seen = now, sum(done.values())
            speed = (seen - before) / max(now - began, 1e-9)
            left = (cells * images - seen) / speed if foreseen and seen > before else None
            yield Progress(seen, cells * images, "cells × images", left)
    seen = sum(done.values())
    yield Progress(seen, max(seen, 1), "cells × images", 0.0)
