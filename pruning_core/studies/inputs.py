"""What most runs begin with: loading a network and its data, made for each other, and saying so."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator

from pruning_core.datasets import DataRef, Dataset, load_data, load_splits
from pruning_core.methods.ranking import SCORED_ON
from pruning_core.runs.events import Event, Stage
from pruning_core.runs.narrate import narrated
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.feeding import fed
from pruning_core.studies.judging import aimed, judge
from pruning_core.zoo import LoadedModel, ModelRef, load_model


def the_model(ref: ModelRef, workspace: Workspace) -> Generator[Event, None, LoadedModel]:
    """Use with ``yield from``; a download reports its progress. Raises UserError when it cannot be loaded."""
    yield Stage("loading the network")
    return (yield from narrated(lambda report: load_model(ref, workspace, report), "items"))


def the_split(ref: DataRef, workspace: Workspace) -> Generator[Event, None, Dataset]:
    """The split that ``ref`` names. Use with ``yield from``; a download or a large archive reports its progress."""
    yield Stage("loading the images")
    return (yield from narrated(lambda report: load_data(ref, workspace, report), "items"))


def both_splits(ref: DataRef, workspace: Workspace) -> Generator[Event, None, tuple[Dataset, Dataset]]:
    """(train, test). Use with ``yield from``."""
    yield Stage("loading the images")
    return (yield from narrated(lambda report: load_splits(ref, workspace, report), "items"))


def fit_sample(
    ref: DataRef, loaded: LoadedModel, workspace: Workspace, count: int = SCORED_ON, seed: int = 0
) -> Generator[Event, None, Dataset]:
    """``count`` images of the fitted part of the training data, drawn by ``seed``: the same ones for whoever asks.

    Use with ``yield from``.
    """
    images = yield from the_split(dataclasses.replace(ref, split="fit"), workspace)
    return fitted(images.subset(count, seed), ref, loaded)


def fitted(data: Dataset, ref: DataRef, loaded: LoadedModel, judged: bool = True) -> Dataset:
    """``data`` as the network takes them: its channels and size, normalised by what it was trained with.

    A mean and deviation that the user set in ``ref`` go before the network's own. When the network is to be ``judged``
    by its outputs for them, they carry what it is judged by, and what its outputs are compared with. Raises UserError
    when the resized images would fill the memory: the operating system would end the server, not the run; and when
    nothing, or not what ``ref`` names, can judge this network on them.
    """
    data = fed(data, loaded)
    measure = judge(loaded, data, ref.measure) if judged else None
    size = loaded.input_size
    data = data.fitted(size)
    mean, std = (loaded.mean, loaded.std) if ref.mean is None and ref.std is None else (None, None)
    if mean is not None and std is not None and len(mean) == size[0]:
        data = dataclasses.replace(data, mean=mean, std=std)
    return data if measure is None else aimed(data, measure, loaded)
