"""Networks that people bring: judged, stored by content, and named by a reference."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pruning_core.storage.uploads import Root, directory, keeping
from pruning_core.storage.weights import store_weights
from pruning_core.zoo.architectures import build
from pruning_core.zoo.checkpoint import read_checkpoint
from pruning_core.zoo.kinds import Kind, kind_of
from pruning_core.zoo.load import LoadedModel, load_model
from pruning_core.zoo.onnx_files import conversion_note, reference_difference
from pruning_core.zoo.output import check_output
from pruning_core.zoo.recognise import as_chosen, recognise
from pruning_core.zoo.ref import ModelRef

SUFFIXES = (".pt", ".pth", ".th", ".tar", ".safetensors", ".pt2", ".onnx")
"""What a file chooser should offer; what a file is, is told from its bytes."""


def import_model(
    file: Path | BinaryIO,
    name: str,
    root: Root,
    architecture: str | None = None,
    input_size: tuple[int, int, int] | None = None,
) -> LoadedModel:
    """Judge and store an uploaded network; ``.ref`` of the result loads it again with ``load_model``.

    name: what the user calls the file. architecture: None recognises it from the weights, else a name from
    ARCHITECTURES or torchvision. input_size: (C, H, W), None for the usual one.

    Nothing in the file ever runs. Raises UserError, with the way out, for a file of another kind, a damaged or hostile
    one, weights that fit no known architecture or are not finite, and a network that is no classifier.
    """
    name = Path(name).name
    scratch = directory(root) / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = file if isinstance(file, Path) else _copied(file, Path(folder) / "upload")
        kind = kind_of(path, name)
        if kind in (Kind.EXPORTED, Kind.ONNX):
            return _whole(path, name, kind, root, input_size)
        return _weights(path, name, kind, root, architecture, input_size)


def _whole(path: Path, name: str, kind: Kind, root: Root, size: tuple[int, int, int] | None) -> LoadedModel:
    """A file that holds the network itself; one from ONNX is compared with ONNX's own arithmetic, once."""
    architecture = "exported" if kind is Kind.EXPORTED else "onnx"
    with keeping(root, path) as (digest,):
        loaded = load_model(ModelRef("upload", name, digest, architecture, input_size=size), root)
        if kind is Kind.ONNX:
            difference = reference_difference(path, name, loaded.model, loaded.input_size)
            options = () if difference is None else (("reference_difference", difference),)
            notes = (conversion_note(difference), *loaded.notes[1:])
            loaded = replace(loaded, ref=replace(loaded.ref, options=options), notes=notes)
    ref = replace(loaded.ref, num_classes=loaded.num_classes, input_size=loaded.input_size)
    return replace(loaded, ref=ref)


def _weights(
    path: Path, name: str, kind: Kind, root: Root, architecture: str | None, size: tuple[int, int, int] | None
) -> LoadedModel:
    checkpoint = read_checkpoint(path, name, kind)
    shapes = checkpoint.shapes
    found = recognise(shapes) if architecture is None else as_chosen(shapes, architecture)
    model = build(found.architecture, dict(found.options))
    # counters that old checkpoints lack keep their initial value
    model.load_state_dict(model.state_dict() | checkpoint.tensors)
    size = size or found.input_size
    classes = check_output(model, size)
    digest = store_weights(model.state_dict(), root, checkpoint.notes)
    return load_model(ModelRef("upload", name, digest, found.architecture, found.options, classes, size), root)


def _copied(file: BinaryIO, target: Path) -> Path:
    file.seek(0)
    with target.open("wb") as out:
        while chunk := file.read(1 << 20):
            out.write(chunk)
    return target
