"""By what a network's outputs can be judged, what of that to propose, and getting what they are compared with."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.datasets.targets import Labels, nobody
from pruning_core.errors import UserError
from pruning_core.measuring.classifying import TopOne
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import default_batch_size
from pruning_core.measuring.forward import outputs_for, precision, ready
from pruning_core.measuring.measure import Against, Measure
from pruning_core.measuring.registry import MEASURES, named
from pruning_core.numeric.box_layout import Form
from pruning_core.numeric.detections import Decoder
from pruning_core.storage.memory import must_fit
from pruning_core.zoo import LoadedModel

BYTES = 8  # of a number of a target, at most


def possible(loaded: LoadedModel, data: Dataset) -> tuple[Measure, ...]:
    """What to offer to judge this network on these images by; the first is what to propose."""
    return tuple(each for each in MEASURES if not refusal(each, loaded, data) and each.worth(data.labels))


def refusal(measure: Measure, loaded: LoadedModel, data: Dataset) -> str:
    """The sentence that says why not; "" where it can judge this network on these images."""
    outputs = loaded.outputs
    if not measure.reads(outputs.width, outputs.places, outputs.meaning.of_classes):
        return f"{measure.name} cannot be measured of {outputs}."
    match measure.against:
        case Against.CLASSES:
            return _no_classes(loaded, data)
        case Against.PLACES:
            return _no_places(loaded, data)
        case Against.BOXES:
            return _no_boxes(loaded, data)
        case Against.TARGETS:
            return _no_targets(measure, loaded, data)
    return ""


def _no_classes(loaded: LoadedModel, data: Dataset) -> str:
    if not data.classes:
        return f"{data.name!r} names no classes, so that nobody knows which answers are right."
    try:
        loaded.check_classes_of(data)
    except UserError as error:
        return str(error)
    return ""


def _no_places(loaded: LoadedModel, data: Dataset) -> str:
    outputs = loaded.outputs
    if data.kind is not Labels.MASKS:
        return f"{data.name!r} names no class for each place of an image."
    if data.places_at(*loaded.input_size[1:]) != outputs.places:
        return f"The labels are {_shape(data)} numbers for an image, and the network gives {outputs}."
    highest = _highest(data.labels)
    if highest >= outputs.width:
        return f"The labels name class {highest}, and the network tells {outputs.width} classes apart at each place."
    return ""


def _no_boxes(loaded: LoadedModel, data: Dataset) -> str:
    outputs = loaded.outputs
    layout = outputs.layout
    if data.kind is not Labels.BOXES:
        return f"{data.name!r} names no boxes around what is in the images."
    if layout is None:
        return (
            f"Average precision needs boxes with scores, and the network gives {outputs}. Export it so that one output "
            "holds all boxes decoded: (images, candidates, 4 + classes), or with the last two the other way round, or "
            "rows of a box, its score and its class; or so that boxes and scores have an output each."
        )
    if layout.form is Form.OFFSETS:
        return (
            "Average precision needs boxes, and four numbers of each candidate look like offsets from anchors, which "
            "no file tells. Export the network with its boxes decoded, or say on the Load page what the four numbers "
            "are; how far all outputs are from those of the unpruned network is measured without it."
        )
    named = len(data.categories)
    told, _ = layout.classes(outputs.shapes, named)
    if told == named:
        return ""
    return (
        f"The images name {named:,} categories, and the network's outputs have room for {told:,} scores beside a box; "
        f"{named:,} are expected, or {named + 1:,} with one for what is nothing, or with the chance that anything is "
        "there before them. Bring data and a network of the same categories, or say on the Load page how its outputs "
        "are read."
    )


def _no_targets(measure: Measure, loaded: LoadedModel, data: Dataset) -> str:
    outputs = loaded.outputs
    data = as_answers(data) if outputs.width == 1 else data
    if data.kind is Labels.BOXES:
        return f"What came with the images of {data.name!r} are boxes."
    if data.classes or not data.labelled or not data.labels.is_floating_point():
        return f"Nothing came with the images of {data.name!r} that outputs could be compared with."
    places = data.places_at(*loaded.input_size[1:])
    if prod(data.labels.shape[1:2]) != outputs.width or places != outputs.places:
        return f"The labels are {_shape(data)} numbers for an image, and the network gives {outputs}."
    if not measure.wants(data.labels):
        return f"{measure.name} cannot be measured against labels like those of {data.name!r}."
    return ""


def as_answers(data: Dataset) -> Dataset:
    """Two classes as the answers 0 and 1 to one question; other data as they are."""
    return replace(data, labels=data.labels.float(), classes=()) if len(data.classes) == 2 else data


def _shape(data: Dataset) -> str:
    return " × ".join(map(str, data.labels.shape[1:])) or "1"


def _highest(labels: Tensor) -> int:
    """The highest class among (N, …) labels of places; -1 where nobody labelled any."""
    known = labels[labels != nobody(labels)]
    return int(known.max()) if len(known) else -1


def check_right_or_wrong(loaded: LoadedModel, data: Dataset) -> None:
    """Raise UserError where no answer of this network to these images is right or wrong: no class is known for each."""
    if why := refusal(TopOne(), loaded, data):
        raise UserError(why)


def judge(loaded: LoadedModel, data: Dataset, wanted: str) -> Measure:
    """The measure with the key ``wanted``, or, for "", what is to be proposed. Raises UserError where it cannot judge.

    Classes that do not fit a classifier are said and not passed over: most likely network or images are the wrong ones.
    """
    if wanted:
        chosen = named(wanted)
        if why := refusal(chosen, loaded, data):
            raise UserError(f"{why} Choose another measure on the Load page.")
        return chosen
    if data.classes and loaded.outputs.meaning.of_classes:
        loaded.check_classes_of(data)
    return possible(loaded, data)[0]


def aimed(data: Dataset, measure: Measure, loaded: LoadedModel) -> Dataset:
    """``data``, as the network takes them, with what ``measure`` compares outputs with as labels.

    For a measure against the network that was cut first, that network is run on every image. Raises UserError where
    its outputs would fill the memory.
    """
    if measure.against is Against.BOXES:
        return replace(data, measure=measure.key, decoder=decoder_of(loaded, data))
    if measure.against is not Against.NETWORK:
        return replace(as_answers(data) if measure.against is Against.TARGETS else data, measure=measure.key)
    first = loaded if loaded.whole is None else loaded.whole()
    targets = _targets(first.model, data, measure)
    classes: tuple[str, ...] = ()
    if measure.decides:
        width = loaded.outputs.width
        classes = data.classes if len(data.classes) == width else tuple(map(str, range(width)))
    return replace(data, labels=targets, classes=classes, measure=measure.key)


def decoder_of(loaded: LoadedModel, data: Dataset) -> Decoder:
    """How boxes are read from its outputs, where average precision is not refused."""
    outputs, (_, height, width) = loaded.outputs, loaded.input_size
    assert outputs.layout is not None  # else this measure is refused
    classes, likely = outputs.layout.classes(outputs.shapes, len(data.categories))
    return Decoder(outputs.layout, (height, width), classes, likely, outputs.shapes)


def _targets(model: nn.Module, data: Dataset, measure: Measure) -> Tensor:
    where = choose_device()
    network = ready(model, where)
    dtype, size = precision(network), default_batch_size(data.size, where)
    found = list[Tensor]()
    for start in range(0, len(data), size):
        x = data.normalised(data.images[start : start + size].to(where), dtype)
        found.append(measure.target(outputs_for(network, x, measure.takes).float()).cpu())
        if start == 0:
            must_fit(
                BYTES * found[0][0].numel() * len(data),
                f"What the unpruned network gives for {len(data):,} images",
                "Choose fewer or smaller images.",
            )
    return torch.cat(found)
