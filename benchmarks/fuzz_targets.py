"""What is fuzzed: every door through which something of a stranger's comes in, and the files to begin with."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "core"))  # where the hostile files are made


@dataclass(frozen=True)
class Target:
    """``take(data, folder)`` reads what a stranger sends; ``seeds`` are files to begin with."""

    take: Callable[[bytes, Path], object]
    seeds: Callable[[], Iterator[bytes]]


def network(name: str) -> Callable[[bytes, Path], object]:
    def take(data: bytes, folder: Path) -> object:
        from pruning_core.zoo import import_model

        return import_model(io.BytesIO(data), name, folder)

    return take


def images(name: str) -> Callable[[bytes, Path], object]:
    def take(data: bytes, folder: Path) -> object:
        from pruning_core.datasets import import_data

        return import_data(io.BytesIO(data), name, folder)

    return take


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


@cache
def small() -> tuple[Any, Any]:
    import torch

    from pruning_core.graph import capture

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3), torch.nn.Flatten(), torch.nn.Linear(80, 3)
    ).eval()
    return model, capture(model, torch.zeros(1, 1, 8, 8))


def _shared() -> Any:
    from pruning_core.datasets import DIGITS
    from pruning_core.export.link import Shared
    from pruning_core.graph import Plan
    from pruning_core.zoo import DEMOS

    return Shared(DEMOS[0].ref, DIGITS, Plan({"conv1": (0, 2)}))


def links() -> Iterator[bytes]:
    from pruning_core.export.link import token

    yield token(_shared()).encode()
    yield b"p1."


def documents() -> Iterator[bytes]:
    """Plans as files, with and without how they were made."""
    from pruning_core.datasets import DIGITS
    from pruning_core.export.document import Base, plan_document, to_json
    from pruning_core.export.plan_file import intended
    from pruning_core.graph import Plan
    from pruning_core.zoo import DEMOS, load_model

    model, found = small()
    cut = Plan({found.groups[0].key: (0, 2)})
    base = Base("small", DEMOS[0].ref.to_json(), "", model.state_dict())
    yield to_json(intended(base, found, cut, DIGITS)).encode()
    yield json.dumps({"plan": {"0": [0]}}).encode()
    del plan_document, load_model


def recipes() -> Iterator[bytes]:
    from pruning_core.export.recipe import recipe_of, to_yaml

    for each in documents():
        try:
            yield to_yaml(recipe_of(json.loads(each))).encode()
        except Exception:  # not every document is a recipe
            continue
    yield b"prunescope: 1\nplan: {a: [0, 1]}\n"


def tables() -> Iterator[bytes]:
    rows = [f'0.weight,0,{at},"{0.9 - at / 3}"' for at in (0.1, 0.5, 0.9)]
    yield "\n".join(["parameter,sparsity,top1,top5", *rows]).encode()
    yield b"layername,0.25,0.5\n0,0.8,0.4\n2,0.7,0.1\n"
    yield json.dumps({"0": {"0.25": 0.8, "0.5": 0.4}, "2": {"0.5": 0.1}}).encode()


def hostile(kind: str) -> Iterator[bytes]:
    """The corpus of the tests."""
    import hostile_data
    import hostile_onnx
    import hostile_programs

    match kind:
        case "onnx":
            makes = list(hostile_onnx.FILES.values())
        case "pt2":
            makes = [hostile_programs.honest, *hostile_programs.SHAPED.values()]
        case "zip":
            makes = [make for make, _ in (*hostile_data.ARCHIVES.values(), *hostile_data.PICTURES.values())]
        case _:
            makes = [make for make, _ in hostile_data.ARRAYS.values()]
    for make in makes:
        data = make()
        if len(data) < 1 << 20:
            yield data


def honest_images() -> Iterator[bytes]:
    import hostile_data

    yield hostile_data.zipped(hostile_data.honest())
    yield hostile_data.npz()
    yield from hostile("zip")


def checkpoints() -> Iterator[bytes]:
    import hostile_pickles as p
    import torch
    import upload_files

    state = upload_files.network().state_dict()
    yield upload_files.saved(state).getvalue()
    yield upload_files.saved(state, _use_new_zipfile_serialization=False).getvalue()
    yield upload_files.saved({"model": state, "epoch": 3, "optimizer": {"lr": 0.1}}).getvalue()
    yield upload_files.checkpoint_of_pickle(p.program({"a": p.tensor((2, 2), (2, 1))})).getvalue()
    yield torch.nn.Linear(2, 2).weight.detach().numpy().tobytes()


def tensors() -> Iterator[bytes]:
    import torch
    from safetensors.torch import save

    yield (ROOT / "assets" / "digits_vgg.safetensors").read_bytes()
    yield save({"a.weight": torch.ones(3, 2), "b": torch.zeros(1)}, metadata={"note": "x"})


TARGETS: dict[str, Target] = {
    "pt": Target(network("w.pt"), checkpoints),
    "safetensors": Target(network("w.safetensors"), tensors),
    "onnx": Target(network("n.onnx"), lambda: hostile("onnx")),
    "pt2": Target(network("n.pt2"), lambda: hostile("pt2")),
    "zip": Target(images("i.zip"), honest_images),
    "npz": Target(images("i.npz"), lambda: hostile("npz")),
    "plan": Target(plan, documents),
    "recipe": Target(recipe, recipes),
    "link": Target(link, links),
    "table": Target(table, tables),
}
