"""From a reference to a network, ready to be looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from pruning_core.datasets import Dataset
from pruning_core.datasets.raw import Progress, quiet
from pruning_core.errors import UserError
from pruning_core.graph.edits import edited
from pruning_core.storage.uploads import Root, artifacts
from pruning_core.storage.weights import stored_weights
from pruning_core.zoo import torchvision_models
from pruning_core.zoo.architectures import architecture, build, interface_of, title_of
from pruning_core.zoo.demos import demo, load_demo
from pruning_core.zoo.exported import read_exported
from pruning_core.zoo.factory import factory_model
from pruning_core.zoo.finite import check_finite
from pruning_core.zoo.huggingface_files.building import TRANSFORMERS
from pruning_core.zoo.huggingface_files.described import known_of
from pruning_core.zoo.interface import Interface, Wanted
from pruning_core.zoo.keras_files.reading import read_keras
from pruning_core.zoo.keras_files.scaled import own_scale
from pruning_core.zoo.meaning import Meaning, Outputs, told_by
from pruning_core.zoo.onnx_files import compared_note, read_onnx
from pruning_core.zoo.origin import Changed, Cut, Made, Origin, cuts_of, recut, scores_of
from pruning_core.zoo.output import look
from pruning_core.zoo.programs.program import Program
from pruning_core.zoo.rebuilt import EDITS, edits_of
from pruning_core.zoo.ref import PROGRAMS, ModelRef, Source
from pruning_core.zoo.titles import PRUNED, REBUILT
from pruning_core.zoo.weight_sets import WeightSet


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network in eval mode on the CPU, and what is known of it.

    trained: False where the weights are random; title says so too. input_size: (C, H, W), or what else one example is.
    num_classes: its outputs. interface: of a program, what the file calls its inputs and outputs.
    provenance: what the source says (classes, mean, std, accuracy …), {} where it says nothing. mean, std: what its
    inputs are to be normalised by, per channel, None where unknown. sets: right after an import, every set of
    weights that the file holds, the likeliest first, and used: the one that was loaded. looks: of networks of unknown
    architecture, what their outputs look like. cuts: every removal and change since what :func:`origin_of` builds.
    whole: of what was cut or rebuilt, loads the network that it was made from first.
    """

    model: nn.Module
    ref: ModelRef
    title: str
    trained: bool
    input_size: tuple[int, ...]
    num_classes: int
    provenance: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
    sets: tuple[WeightSet, ...] = ()
    used: WeightSet | None = None
    looks: Outputs | None = None
    interface: Interface | None = None
    cuts: tuple[Made, ...] = ()
    whole: Callable[[], LoadedModel] | None = None

    @property
    def outputs(self) -> Outputs:
        """What its outputs mean: what they look like where nothing else tells it, else scores of its classes."""
        return self.looks or Outputs(self.num_classes)

    def check_classes_of(self, data: Dataset) -> None:
        """Raise UserError when the scores of this network are not of the classes of ``data``."""
        try:
            data.check_fits(self.num_classes)
        except UserError as error:
            if self.looks is None:
                raise
            other = "If they are no scores of classes but coordinates or an embedding, say so on the Load page."
            raise UserError(f"{error} {other}") from error

    @property
    def mean(self) -> tuple[float, ...] | None:
        if self.interface is not None and self.interface.pixels:
            return (0.0,) * self.input_size[0]
        return tuple(self.provenance["mean"]) if "mean" in self.provenance else None

    @property
    def std(self) -> tuple[float, ...] | None:
        if self.interface is not None and self.interface.pixels:
            return (1 / self.interface.pixels,) * self.input_size[0]
        return tuple(self.provenance["std"]) if "std" in self.provenance else None


def load_model(ref: ModelRef, root: Root | None = None, progress: Progress = quiet) -> LoadedModel:
    """The network that ``ref`` names; a new one at each call.

    root: the data directory, or something that has one; needed for uploads and downloads. Raises UserError when it
    cannot be had.
    """
    loaded = LOADERS[ref.source](ref, root, progress)
    loaded.model.eval()
    return loaded


def _demo(ref: ModelRef, root: Root | None, progress: Progress) -> LoadedModel:
    chosen = demo(ref.name)
    model, provenance = load_demo(chosen)
    made, classes, channels = architecture(chosen.architecture), len(provenance["classes"]), len(provenance["mean"])
    told = made.family.interface({"num_classes": classes, "in_channels": channels})
    return LoadedModel(
        model, ref, chosen.title, True, (channels, *made.input_size[1:]), classes, MappingProxyType(provenance),
        looks=_looks(told), interface=told,
    )  # fmt: skip


def _looks(told: Interface | None) -> Outputs | None:
    """What outputs of an architecture of ours are, where it is no row of scores of classes."""
    if told is None:
        return None
    width, *places = told.outputs[told.measured].shape
    return Outputs(width, Meaning.MAP, places=tuple(places))


def _torchvision(ref: ModelRef, root: Root | None, progress: Progress) -> LoadedModel:
    if ref.weights == "pretrained":
        model, known = torchvision_models.pretrained(ref.name, root, progress)
        size = ref.input_size or torchvision_models.input_size(ref.name, pretrained=True)
        return LoadedModel(model, ref, ref.name, True, size, len(known["classes"]), MappingProxyType(known))
    classes = ref.num_classes or 1000
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ref.seed)
        model = torchvision_models.build(ref.name, num_classes=classes)
    size = ref.input_size or torchvision_models.input_size(ref.name)
    notes = (f"untrained: random weights of seed {ref.seed}",)
    return LoadedModel(model, ref, f"{ref.name} (untrained)", False, size, classes, notes=notes)


def _upload(ref: ModelRef, root: Root | None, progress: Progress) -> LoadedModel:
    path = artifacts(root).path(ref.weights)
    if ref.architecture in PROGRAMS:
        return _whole(ref, path)
    size, classes = ref.input_size or (3, 224, 224), ref.num_classes or 0
    cuts = cuts_of(json.loads(ref.plan)) if ref.plan else ()
    model = recut(build(ref.architecture, dict(ref.options)), cuts, size)
    tensors, notes = stored_weights(path)
    model.load_state_dict(tensors)
    since = "" if not cuts else REBUILT if isinstance(cuts[-1], Changed) else PRUNED
    title = f"{title_of(ref.architecture, dict(ref.options))}{since} from {ref.name}"
    known = MappingProxyType(known_of(ref.options) if ref.architecture == TRANSFORMERS else {})
    told = interface_of(ref.architecture, dict(ref.options))
    return LoadedModel(
        model, ref, title, True, size, classes, known, notes, cuts=cuts, looks=_looks(told), interface=told
    )


def origin_of(loaded: LoadedModel) -> Origin | None:
    """What builds the network that ``loaded`` was cut from, and how it was cut, with its scores.

    None where no architecture builds it: an uploaded program is its own file, and the user's code is the user's.
    """
    ref = loaded.ref.origin
    options: dict[str, Any]
    match ref.source:
        case "demo":
            made = architecture(demo(ref.name).architecture)
            sizes = {"num_classes": loaded.num_classes, "in_channels": loaded.input_size[0]}
            name, options = made.family.name, {**made.options, **sizes}
        case "torchvision":
            name, options = ref.name, {"num_classes": loaded.num_classes}
            if ref.weights == "pretrained" and name in torchvision_models.AUXILIARY:
                options["transform_input"] = True  # as the builder sets it beside published weights
        case "upload" if ref.architecture not in PROGRAMS:
            name, options = ref.architecture, dict(ref.options)
        case _:
            return None
    scores = scores_of(loaded.model, loaded.input_size)
    return Origin(name, tuple(options.items()), loaded.input_size, loaded.cuts, scores)


def _whole(ref: ModelRef, path: Path) -> LoadedModel:
    """A file that holds the network itself, not only its weights."""
    known = dict(ref.options)
    wanted = Wanted(dict(known.get("sizes", ())), ref.input_size, known.get("measured"))
    program = READERS[ref.architecture](path, ref.name, wanted)
    check_finite(program.model.state_dict(), ref.name)
    model, way = program.for_any_batch(known.get("batch", ""))
    note = compared_note(known) if ref.architecture == "onnx" else program.note
    if way:
        ref = replace(ref, options=tuple((known | {"batch": way}).items()))
    notes = (note, program.told(way)) if way else (note,)
    told, size = program.interface, program.interface.size
    looks = told_by(ref.options, ref.num_classes or 0) or look(model, size)
    told = replace(told, pixels=own_scale(program.model) if len(size) == 3 and not told.packed else 0)
    scaled = (f"Its first layer scales pixels itself, so they go in as numbers from 0 to {told.pixels}.",)
    said = notes + looks.notes + (scaled if told.pixels else ())
    return LoadedModel(model, ref, ref.name, True, size, looks.width, notes=said, looks=looks, interface=told)


def _pruned(ref: ModelRef, root: Root | None, progress: Progress) -> LoadedModel:
    # The graph stands above the zoo; it is needed here only to cut again what was cut.
    from pruning_core.graph import Plan, capture, remove

    assert ref.base is not None  # ModelRef sees to it
    base = load_model(ref.base, root, progress)
    network = capture(base.model, torch.zeros(1, *base.input_size))
    plan = Plan.from_json(ref.plan)
    removal = remove(base.model, network, plan)
    model, cuts = removal.model, (*base.cuts, Cut(plan, removal.form, removal.bold))
    if ref.weights:
        model.load_state_dict(stored_weights(artifacts(root).path(ref.weights))[0])
    own = "" if ref.name == base.ref.name else ref.name  # else it is called as what it was cut from
    title = (own or base.title.removesuffix(PRUNED)) + PRUNED
    return replace(base, model=model, ref=ref, title=title, cuts=cuts, whole=partial(load_model, ref.origin, root))


def _rebuilt(ref: ModelRef, root: Root | None, progress: Progress) -> LoadedModel:
    assert ref.base is not None  # ModelRef sees to it
    base = load_model(ref.base, root, progress)
    edits = edits_of(dict(ref.options).get(EDITS, ""))
    model = edited(base.model, edits)
    if ref.weights:
        model.load_state_dict(stored_weights(artifacts(root).path(ref.weights))[0])
    title = base.title.removesuffix(PRUNED) + REBUILT
    cuts = (*base.cuts, Changed(edits))
    return replace(base, model=model, ref=ref, title=title, cuts=cuts, whole=partial(load_model, ref.origin, root))


def _factory(ref: ModelRef, root: Root | None, progress: Progress) -> LoadedModel:
    model, size, looks = factory_model(ref)
    notes = ("weights as your code made them", *looks.notes)
    return LoadedModel(model, ref, ref.name, True, size, looks.width, notes=notes, looks=looks)


READERS: dict[str, Callable[[Path, str, Wanted], Program]] = {
    "exported": read_exported,
    "onnx": read_onnx,
    "keras": read_keras,
}
LOADERS: dict[Source, Callable[[ModelRef, Root | None, Progress], LoadedModel]] = {
    "demo": _demo,
    "torchvision": _torchvision,
    "upload": _upload,
    "pruned": _pruned,
    "rebuilt": _rebuilt,
    "factory": _factory,
}
