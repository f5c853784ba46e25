"""What is fuzzed: every door through which something of a stranger's comes in, and the files to begin with."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import fuzz_seeds as seeds
from benchmarks.fuzz_seeds import small


@dataclass(frozen=True)
class Target:
    """``take(data, folder)`` reads what a stranger sends; ``seeds`` are files to begin with.

    ``code``: the package whose covered lines lead, where that is asked for.
    """

    take: Callable[[bytes, Path], object]
    seeds: Callable[[], Iterator[bytes]]
    code: str = "pruning_core.datasets"


def network(name: str) -> Callable[[bytes, Path], object]:
    def take(data: bytes, folder: Path) -> object:
        from pruning_core.zoo import import_model

        return import_model(io.BytesIO(data), name, folder)

    return take


def images(name: str, **chosen: Any) -> Callable[[bytes, Path], object]:
    def take(data: bytes, folder: Path) -> object:
        from pruning_core.datasets import import_data

        return import_data(io.BytesIO(data), name, folder, **chosen)

    return take


def read_as(name: str) -> Callable[[bytes, Path], object]:
    """Pictures whose labels are read as one of the things that may be asked for, always the same of one file."""

    def take(data: bytes, folder: Path) -> object:
        task = _dice(data).choice(("", "", "classes", "numbers", "labels", "masks", "boxes"))
        return images(name, task=task)(data, folder)

    return take


def columns(name: str) -> Callable[[bytes, Path], object]:
    """A table is looked at, then read with a choice of its columns, always the same of one file."""

    def take(data: bytes, folder: Path) -> object:
        from pruning_core.datasets import tables

        place, dice = folder / "looked-at", _dice(data)
        place.write_bytes(data)
        told = [each.name for each in tables.look(place, name)]
        chosen: dict[str, Any] = {dice.choice(("one_hot", "coded")): True, "task": dice.choice(("", "", "numbers"))}
        if told and dice.random() < 0.5:
            chosen |= {"target": dice.choice((*told, None)), "part": "part" if "part" in told else ""}
            chosen |= {"left_out": tuple(each for each in told[:9] if dice.random() < 0.1)}
        return images(name, **chosen)(data, folder)

    return take


def stored(data: bytes, folder: Path) -> object:
    """A result that a child left: whichever reader takes it, what is read is what the pages count on."""
    from pruning_core.errors import UserError
    from pruning_core.storage.workspace import Borrowed

    workspace = Borrowed(folder, folder / "outbox")
    digest = workspace.artifacts.put(data)
    refused = UserError("no reader takes it")
    taken = False
    for reads in _readers(workspace):
        try:
            reads(digest)
            taken = True
        except UserError as error:
            refused = error
    if not taken:
        raise refused
    return digest


def _readers(workspace: Any) -> Iterator[Callable[[str], None]]:
    import torch

    from pruning_core.measuring.answers import compared, damage
    from pruning_core.studies.answers import read_answers
    from pruning_core.studies.pictures import read_pictures
    from pruning_core.studies.scores import read_scores

    def answers(digest: str) -> None:
        found = read_answers(workspace, digest, 2)
        compared(found, found)
        damage(found, found, "ab")
        assert [f"{each:.2%}" for each in found.confidence]

    def scores(digest: str) -> None:
        for each in read_scores(workspace, digest).values():
            torch.from_numpy(each).double().argsort(descending=True).tolist()

    def pictures(digest: str) -> None:
        found = read_pictures(workspace, digest)
        assert [f"{number:,} {far:.3g}" for number, far in zip(found.numbers, found.apart, strict=True)]

    return iter((answers, scores, pictures))


def _dice(data: bytes) -> random.Random:
    return random.Random(zlib.crc32(data))


def plan(data: bytes, folder: Path) -> object:
    from pruning_core.datasets import DIGITS
    from pruning_core.errors import UserError
    from pruning_core.export.plan_file import read_plan_file

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("no text") from error
    found = read_plan_file(text, DIGITS)
    small()[1].validate(found.plan)
    return found


def recipe(data: bytes, folder: Path) -> object:
    from pruning_core.export.recipe import read_recipe

    found = read_recipe(data.decode("utf-8", "replace"))
    found.how()
    small()[1].validate(found.plan)
    return found


def link(data: bytes, folder: Path) -> object:
    from pruning_core.export.link import from_token

    return from_token(data.decode("utf-8", "replace"))


def table(data: bytes, folder: Path) -> object:
    from pruning_core.allocation.tables import read_table

    return read_table(data.decode("utf-8", "replace"), small()[1], 0.9)


NETWORKS, STORED, TAKEN, SHARED = (f"pruning_core.{each}" for each in ("zoo", "storage", "export", "allocation"))
TARGETS: dict[str, Target] = {
    "pt": Target(network("w.pt"), seeds.checkpoints, NETWORKS),
    "safetensors": Target(network("w.safetensors"), seeds.tensors, NETWORKS),
    "onnx": Target(network("n.onnx"), partial(seeds.hostile, "onnx"), NETWORKS),
    "pt2": Target(network("n.pt2"), partial(seeds.hostile, "pt2"), NETWORKS),
    "keras": Target(network("n.keras"), seeds.keras_files, NETWORKS),
    "zip": Target(images("i.zip"), seeds.honest_images),
    "labelled": Target(read_as("i.zip"), seeds.annotated),
    "npz": Target(images("i.npz"), partial(seeds.hostile, "npz")),
    "inputs": Target(images("i.npz"), seeds.several_inputs),
    "wav": Target(images("i.zip", rate=8000, samples=200), seeds.recordings),
    "csv": Target(columns("t.csv"), partial(seeds.frames, ".csv")),
    "parquet": Target(columns("t.parquet"), partial(seeds.frames, ".parquet")),
    "stored": Target(stored, seeds.stored_files, STORED),
    "plan": Target(plan, seeds.documents, TAKEN),
    "recipe": Target(recipe, seeds.recipes, TAKEN),
    "link": Target(link, seeds.links, TAKEN),
    "table": Target(table, seeds.tables, SHARED),
}
