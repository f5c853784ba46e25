"""Opening a stranger's network: a child reads, runs and captures it; the server gets numbers and a description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from pruning_core.apart.answer import asked
from pruning_core.apart.described import Opened, describe, described, looked_at
from pruning_core.errors import UserError
from pruning_core.isolation.talk import Talk
from pruning_core.runs.errand import OUTBOX
from pruning_core.storage.opening import noted
from pruning_core.storage.plain import Forged
from pruning_core.storage.workspace import Borrowed, Workspace
from pruning_core.zoo import LoadedModel, ModelRef, import_model, load_model
from pruning_core.zoo.huggingface_files.building import TRANSFORMERS, check_fits
from pruning_core.zoo.interface import OpenSizes
from pruning_core.zoo.ref import PROGRAMS

if TYPE_CHECKING:
    from pruning_core.isolation.child import Child
    from pruning_core.isolation.children import Children

OPEN, IMPORT = "open", "import"
MOST_TEXTS = 1000
Size = tuple[int, ...]


# -- in the child ------------------------------------------------------------------------------------------------------


def opening(talk: Talk, given: Mapping[str, Any], folder: Path) -> Any:
    """Load what ``given`` names and leave its description."""
    describe(looked_at(load_model(ModelRef.from_json(given["ref"]), _borrowed(given, folder))), folder)
    return None


def importing(talk: Talk, given: Mapping[str, Any], folder: Path) -> Any:
    """Judge a file; its network is built once, for its description too. Refused: [sentence, snippet, open sizes]."""
    size = tuple(given["size"]) if given["size"] else None
    try:
        loaded = import_model(
            Path(given["path"]), given["name"], _borrowed(given, folder), given["architecture"],
            size, given["weights"], dict(given["sizes"]),
        )  # fmt: skip
        # of weights alone the server builds the network itself, from classes of ours
        describe(looked_at(loaded) if loaded.ref.foreign else Opened(loaded, None), folder)
    except UserError as error:
        return [str(error), error.snippet, list(error.sizes) if isinstance(error, OpenSizes) else []]
    return None


def _borrowed(given: Mapping[str, Any], folder: Path) -> Borrowed:
    return Borrowed(Path(given["root"]), folder / OUTBOX)


# -- in the server -----------------------------------------------------------------------------------------------------


def open_apart(house: Children, ref: ModelRef, workspace: Workspace) -> Opened:
    """The network that ``ref`` names, a stranger's, opened in a child. Raises UserError."""

    def read(result: Any, child: Child) -> Opened:
        opened = described(child.folder)
        told = opened.loaded.ref
        if (told.source, told.name, told.weights, told.base, told.plan) != (
            ref.source, ref.name, ref.weights, ref.base, ref.plan
        ):  # fmt: skip
            raise Forged("this is another network")
        return opened

    with noted(workspace.root, ref.key, ref.name):
        return asked(house, OPEN, {"ref": ref.to_json()}, workspace, ref.name, read)


def import_apart(
    house: Children,
    path: Path,
    name: str,
    workspace: Workspace,
    architecture: str | None = None,
    size: Size | None = None,
    weights: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Opened:
    """As ``import_model``, in a child. Of weights for a known architecture the network is built here, by our classes.

    Raises UserError, with its snippet, as ``import_model`` does.
    """

    def read(result: Any, child: Child) -> Opened:
        if result is not None:
            sentence, snippet, left_open = result
            texts = (sentence, snippet, *left_open)
            if len(texts) > MOST_TEXTS or not all(isinstance(text, str) for text in texts):
                raise Forged("this is no refusal")
            raise OpenSizes(sentence, tuple(left_open)) if left_open else UserError(sentence, snippet)
        opened = described(child.folder)
        ref = opened.loaded.ref
        if ref.source != "upload" or not workspace.artifacts.has(ref.weights):
            raise Forged("this is no upload")
        return opened if ref.architecture in PROGRAMS else _of_ours(opened.loaded, workspace)

    given = {
        "path": str(path), "name": name, "architecture": architecture, "size": size, "weights": weights,
        "sizes": dict(sizes or {}),
    }  # fmt: skip
    return asked(house, IMPORT, given, workspace, name, read, str(path))


def _of_ours(told: LoadedModel, workspace: Workspace) -> Opened:
    """Weights that a child has read, in a network that is built here."""
    ref = told.ref
    _check_options(ref, workspace.artifacts.path(ref.weights))
    loaded = load_model(ref, workspace)
    return looked_at(replace(loaded, sets=told.sets, used=told.used))


def _check_options(ref: ModelRef, path: Path) -> None:
    """No number that an architecture is built from is larger than what the weights themselves hold. Raises Forged."""
    try:
        with safe_open(path, framework="pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118 (it has no iterator)
    except (SafetensorError, OSError) as error:
        raise Forged("the stored weights are none") from error
    most = max([len(shapes), *(size for shape in shapes for size in shape)])
    if ref.architecture == TRANSFORMERS:
        check_fits(dict(ref.options)["repository"], None if ref.plan else sum(map(prod, shapes)))
    most += len(ref.plan)  # what was cut off stands in its plan, each unit with a digit at least
    if any(number > most for _, value in ref.options for number in _numbers(value)):
        raise Forged("no network of these weights is so large")


def _numbers(value: Any) -> list[float]:
    if isinstance(value, tuple | list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int | float) else []
