"""Networks that people bring: judged, stored by content, and named by a reference."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from torch import nn

from pruning_core.errors import UserError, clip, quoted
from pruning_core.storage.uploads import Root, directory, keeping
from pruning_core.storage.weights import store_weights
from pruning_core.zoo.architectures import build, interface_of
from pruning_core.zoo.checkpoint import Checkpoint, check_kinds, read_checkpoint
from pruning_core.zoo.huggingface_files.building import TRANSFORMERS
from pruning_core.zoo.huggingface_files.reading import read_repository
from pruning_core.zoo.kinds import Kind, kind_of
from pruning_core.zoo.load import LoadedModel, load_model
from pruning_core.zoo.onnx_files import compared, compared_note
from pruning_core.zoo.origin import Changed, Origin, check_structure, cuts_to_json, origin_in, said_in
from pruning_core.zoo.output import check_output, look
from pruning_core.zoo.recognise import Recognised, Shapes, as_chosen, compare, find, recognise
from pruning_core.zoo.ref import ModelRef
from pruning_core.zoo.snippet import FACTORY, MODULE

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".th", ".tar", ".safetensors", ".pt2", ".onnx", ".keras", ".zip")
"""What a file chooser should offer; what a file is, is told from its bytes."""
WHOLE = {Kind.EXPORTED: "exported", Kind.ONNX: "onnx", Kind.KERAS: "keras"}  # files that hold the network itself


def import_model(
    file: Path | BinaryIO,
    name: str,
    root: Root,
    architecture: str | None = None,
    input_size: tuple[int, ...] | None = None,
    weights: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> LoadedModel:
    """Judge and store an uploaded network; ``.ref`` of the result loads it again with ``load_model``.

    name: what the user calls the file. architecture: None recognises it from the weights, else a name from
    ARCHITECTURES or torchvision. input_size: (C, H, W), None for the usual one. weights: which set of weights, where a
    checkpoint holds several, by its name among the ``sets`` of the result; None takes the likeliest. sizes: what a
    program leaves open, by the names that ``OpenSizes`` asks for.

    Nothing in the file ever runs. Raises UserError, with the way out, for a file of another kind, a damaged or hostile
    one, weights that fit no known architecture or are not finite, and a network that is no classifier. Where weights
    fit nothing, the error's ``snippet`` is the code that loads them into the user's own class.
    """
    name = clip(Path(name).name)
    if isinstance(file, Path):
        return _judged(file, name, root, architecture, input_size, weights, sizes)
    scratch = directory(root) / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        return _judged(_copied(file, Path(folder) / "upload"), name, root, architecture, input_size, weights, sizes)


def _judged(
    path: Path, name: str, root: Root, architecture: str | None, size: tuple[int, ...] | None, weights: str | None,
    sizes: Mapping[str, int] | None,
) -> LoadedModel:  # fmt: skip
    kind = kind_of(path, name)
    if kind in WHOLE:
        return _whole(path, name, kind, root, size, sizes or {})
    if kind is Kind.HUGGING_FACE:
        return _repository(path, name, root, size)
    return _weights(path, name, kind, root, architecture, size, weights)


def _whole(
    path: Path, name: str, kind: Kind, root: Root, size: tuple[int, ...] | None, sizes: Mapping[str, int]
) -> LoadedModel:
    """A file that holds the network itself; one from ONNX is compared with ONNX's own arithmetic, once."""
    architecture = WHOLE[kind]
    with keeping(root, path) as (digest,):
        said = (("sizes", tuple(sizes.items())),) if sizes else ()
        loaded = load_model(ModelRef("upload", name, digest, architecture, said, input_size=size), root)
        assert loaded.interface is not None  # a program says what it reads
        if kind is Kind.ONNX:
            found = compared(path, name, loaded.model, loaded.interface)
            options = dict(loaded.ref.options) | found
            notes = (compared_note(options), *loaded.notes[1:])
            loaded = replace(loaded, ref=replace(loaded.ref, options=tuple(options.items())), notes=notes)
    return replace(loaded, ref=settled(loaded))


def _repository(path: Path, name: str, root: Root, size: tuple[int, ...] | None) -> LoadedModel:
    """Weights with a description of the class of transformers that they belong to."""
    found = read_repository(path, name)
    options: dict[str, Any] = {"repository": found.described.to_json()}
    model = build(TRANSFORMERS, options)
    model.load_state_dict(found.tensors)
    size = size or found.size
    classes = check_output(model, size)
    digest = store_weights(found.tensors, root, found.notes)
    return load_model(ModelRef("upload", name, digest, TRANSFORMERS, tuple(options.items()), classes, size), root)


def settled(loaded: LoadedModel) -> ModelRef:
    """The reference to a program, with what was found out about it, so that nobody has to find it out again."""
    told = tuple((dict(loaded.ref.options) | dict(loaded.outputs.options)).items())
    return replace(loaded.ref, num_classes=loaded.num_classes, input_size=loaded.input_size, options=told)


def _weights(
    path: Path, name: str, kind: Kind, root: Root, architecture: str | None, size: tuple[int, ...] | None,
    weights: str | None,
) -> LoadedModel:  # fmt: skip
    said = said_in(path, kind)
    origin = origin_in(said, name) if architecture is None else None
    if origin is not None:
        return _rebuilt(path, name, kind, root, origin)
    fit = find if architecture is None else partial(_fits, architecture)
    checkpoint = read_checkpoint(path, name, kind, fit, weights)
    found = checkpoint.found or _unfit(checkpoint, architecture)
    model = build(found.architecture, dict(found.options))
    check_structure(model, said, name)
    wanted = model.state_dict()
    check_kinds(checkpoint.tensors, wanted, name)
    # counters that old checkpoints lack keep their initial value
    model.load_state_dict(wanted | checkpoint.tensors)
    size = size or found.input_size
    classes = _width(model, found.architecture, found.options, size)
    digest = store_weights(model.state_dict(), root, checkpoint.notes)
    loaded = load_model(ModelRef("upload", name, digest, found.architecture, found.options, classes, size), root)
    return replace(loaded, sets=checkpoint.sets, used=checkpoint.used)


def _rebuilt(path: Path, name: str, kind: Kind, root: Root, origin: Origin) -> LoadedModel:
    """Weights that say which network they belong to and how it was cut: it is cut again, and must give its scores."""
    model = origin.model()
    wanted = model.state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in wanted.items()}
    whole = Recognised(origin.architecture, origin.options, "", origin.input_size, 0)
    checkpoint = read_checkpoint(path, name, kind, lambda found: whole if compare(found, shapes).none else None)
    tensors = checkpoint.tensors
    difference = compare(checkpoint.shapes, shapes)
    if not difference.none:
        raise UserError(
            f"The weights in {quoted(name)} are not those of the network that the file names ({difference}). Download "
            "it again, or upload the network as .pt2."
        )
    check_kinds(tensors, wanted, name)
    model.load_state_dict(wanted | tensors)
    classes = _width(model, origin.architecture, origin.options, origin.input_size)
    gap = origin.check(model, name)
    note = f"built again from what the file says of it{_done(origin)}; its scores are those in the file to {gap:.0e}"
    digest = store_weights(model.state_dict(), root, (note, *checkpoint.notes))
    ref = ModelRef("upload", name, digest, origin.architecture, origin.options, classes, origin.input_size)
    return load_model(replace(ref, plan=cuts_to_json(origin.cuts) if origin.cuts else ""), root)


def _width(model: nn.Module, architecture: str, options: tuple[tuple[str, Any], ...], size: tuple[int, ...]) -> int:
    """How many numbers it gives for an image, or at each place: a classifier, but where the architecture is none."""
    if interface_of(architecture, dict(options)) is not None:
        return look(model, size).width
    return check_output(model, size)


def _done(origin: Origin) -> str:
    changed = sum(isinstance(each, Changed) for each in origin.cuts)
    said = f", its build changed {changed} time(s) by the edits in the file" if changed else ""
    cuts = len(origin.cuts) - changed
    return said + (f", cut {cuts} time(s) by the plan in the file" if cuts else "")


def _fits(architecture: str, shapes: Shapes) -> Recognised | None:
    try:
        return as_chosen(shapes, architecture)
    except UserError:
        return None


def _unfit(checkpoint: Checkpoint, architecture: str | None) -> NoReturn:
    """Raise UserError that says why the weights fit nothing, with code that loads them into the user's own class."""
    try:
        recognise(checkpoint.shapes) if architecture is None else as_chosen(checkpoint.shapes, architecture)
    except UserError as error:
        own = f" Or start with your own class, by the code that comes with this: make run MODEL={MODULE}:{FACTORY}."
        told = UserError(str(error) + own, checkpoint.snippet)
        told.add_note(checkpoint.snippet)
        raise told from error
    raise AssertionError("what fits nothing was recognised")


def _copied(file: BinaryIO, target: Path) -> Path:
    file.seek(0)
    with target.open("wb") as out:
        while chunk := file.read(1 << 20):
            out.write(chunk)
    return target
