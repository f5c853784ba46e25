"""The pictures that two networks make of the same images, as a run: those that differ most, as a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.datasets import DataRef
from pruning_core.errors import UserError
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import default_batch_size
from pruning_core.measuring.forward import outputs_for, precision, ready
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.runs.spec import RunSpec
from pruning_core.storage.arrays import put_arrays, stored_arrays
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.inputs import fitted, the_model, the_split
from pruning_core.zoo import LoadedModel, ModelRef
from pruning_core.zoo.titles import called

KEPT = 6  # pictures


@dataclass(frozen=True)
class Pictured:
    """All ``images`` were seen; ``digest`` names the file of the pictures (``read_pictures``)."""

    digest: str
    images: int


@dataclass(frozen=True, eq=False)
class Pictures:
    """The ``numbers`` (k,) of the images whose pictures differ most, the furthest first.

    ``inputs``, ``before`` and ``after`` are (k, C, H, W) uint8. ``apart`` (k,): the root of the mean squared difference
    of before and after, in the unit of the outputs.
    """

    numbers: NDArray[np.int64]
    apart: NDArray[np.float64]
    inputs: NDArray[np.uint8]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


@dataclass(frozen=True)
class PicturesRun(RunSpec):
    """What ``base`` and ``model``, which was made from it, make of the split that ``data`` names: one ``Pictured``."""

    kind: ClassVar[str] = "pictures"
    unasked: ClassVar[bool] = True
    base: ModelRef
    model: ModelRef
    data: DataRef
    device: str = "auto"

    @property
    def title(self) -> str:
        return f"Pictures of {called(self.model)} on {self.data.name}"

    def queue(self) -> str:
        return choose_device(self.device)

    def run(self, workspace: Workspace, past: tuple[Event, ...] = ()) -> Iterator[Event]:
        loaded = yield from the_model(self.base, workspace)
        if not makes_pictures(loaded):
            raise UserError(f"What {called(self.base)} makes of an image is no picture.")
        second = yield from the_model(self.model, workspace)
        data = fitted((yield from the_split(self.data, workspace)), self.data, loaded, judged=False)
        if not data.pictures:
            raise UserError(f"{data.name!r} holds no pictures.")
        where = choose_device(self.device)
        before, after = ready(loaded.model, where), ready(second.model, where)
        size = default_batch_size(data.size, where)
        yield Stage("what both make of every image")
        found = list[tuple[float, int, Tensor, Tensor]]()
        for start in range(0, len(data), size):
            x = data.normalised(data.images[start : start + size].to(where), precision(before))
            pair = [outputs_for(each, x).float().cpu() for each in (before, after)]
            apart = (pair[0] - pair[1]).double().square().flatten(1).mean(1).sqrt().tolist()
            found += [(far, start + at, pair[0][at], pair[1][at]) for at, far in enumerate(apart)]
            found = sorted(found, key=lambda each: (-each[0], each[1]))[:KEPT]
            yield Progress(min(len(data), start + size), len(data), "images")
        numbers = [each[1] for each in found]
        made = [drawn(one, other) for _, _, one, other in found]
        pictures = Pictures(
            np.array(numbers, np.int64),
            np.array([each[0] for each in found]),
            data.images[numbers].cpu().numpy(),
            *(torch.stack(side).numpy() for side in zip(*made)),
        )
        yield Pictured(write_pictures(workspace, pictures), len(data))

    def keep(self, workspace: Workspace, past: tuple[Event, ...]) -> tuple[Event, ...]:
        return ()  # a few seconds of work: simpler to begin again


def makes_pictures(loaded: LoadedModel) -> bool:
    """Whether its outputs are grey or in colour as the images are that it takes."""
    outputs, size = loaded.outputs, loaded.input_size
    return len(size) == 3 and len(outputs.places) == 2 and outputs.width in (1, 3) and outputs.width == size[0]


def drawn(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Two outputs (C, H, W) as uint8 on one scale: 0 to 1, or as far as ``before`` goes where it goes further."""
    low, high = min(0.0, float(before.min())), max(1.0, float(before.max()))
    one, other = ((255 * (each - low) / (high - low)).round().clamp(0, 255).byte() for each in (before, after))
    return one, other


def write_pictures(workspace: Workspace, pictures: Pictures) -> str:
    """The digest of the stored file."""
    return put_arrays(workspace.artifacts, vars(pictures))


def read_pictures(workspace: Workspace, digest: str) -> Pictures:
    """Raises UserError when the file is gone or damaged: a child wrote it."""
    otherwise = "The stored pictures cannot be read. Measure them again."
    with stored_arrays(workspace.artifacts, digest, otherwise) as file:
        found = Pictures(*(file[name] for name in ("numbers", "apart", "inputs", "before", "after")))
        drawings = (found.inputs, found.before, found.after)
        if (
            found.numbers.dtype != np.int64
            or found.apart.dtype != np.float64
            or (found.numbers.ndim, found.apart.ndim) != (1, 1)
        ):
            raise ValueError("no distances of images")
        if any(each.ndim != 4 or each.dtype != np.uint8 or each.shape[1] not in (1, 3) for each in drawings):
            raise ValueError("no pictures")
        if len({len(each) for each in vars(found).values()}) != 1 or len(found.numbers) > KEPT:
            raise ValueError("not as many of each")
        return found
