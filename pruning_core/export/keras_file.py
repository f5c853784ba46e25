"""A network that came as a ``.keras`` file, cut or trained since, as such a file again."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from pruning_core.errors import UserError, quoted
from pruning_core.export.program import Exported
from pruning_core.export.traced import BATCHES, apart
from pruning_core.graph import Plan, capture
from pruning_core.graph.removing.surgery import sliced_tensors
from pruning_core.storage.uploads import Root, artifacts
from pruning_core.zoo import LoadedModel, ModelRef, load_model
from pruning_core.zoo.interface import Wanted
from pruning_core.zoo.keras_files.archive import parts
from pruning_core.zoo.keras_files.config import Source
from pruning_core.zoo.keras_files.numbered import Left, Numbered
from pruning_core.zoo.keras_files.reading import Lowered, lowered, program_of
from pruning_core.zoo.keras_files.resized import Scope, ShapeOf, resize
from pruning_core.zoo.keras_files.weights import Weights
from pruning_core.zoo.keras_files.writing import archive, weights_file
from pruning_core.zoo.programs.any_batch import InPieces

OTHERWISE = "Take the exported program or ONNX instead."
UNCOMPILED = "Without the optimizer's state, which is of the old sizes: compile it in Keras before training it further."


def obstacle(ref: ModelRef) -> str:
    """Why the network that ``ref`` names, which began as a file of Keras, is none any more; "" where it may be."""
    if all(each.source != "rebuilt" for each in _line(ref)):
        return ""
    return (
        f"The build of this network was changed since {quoted(ref.origin.name)}, by more than sizes of its layers, "
        f"which are all that is written into a file of Keras here. Take the exported program or ONNX instead."
    )


def _line(ref: ModelRef) -> list[ModelRef]:
    """``ref`` and what it was made from, down to the file."""
    return [ref] if ref.base is None else [ref, *_line(ref.base)]


def export_keras(small: LoadedModel, root: Root) -> Exported:
    """``small``, which began as a file of Keras in the data directory ``root``, as a file of Keras.

    Layers keep their names, and get the sizes that they have now; arrays lie as Keras has them, channels last. The file
    is read again and compared with ``small`` before it is handed out. Raises UserError where the settings of Keras's
    layers cannot say what was done to the network.
    """
    origin, name = small.ref.origin, small.ref.origin.name
    if why := obstacle(small.ref):
        raise UserError(why)
    held = parts(artifacts(root).path(origin.weights), name)
    numbered = Numbered(held.weights, name)
    made = lowered(held.said, numbered, name)
    left = _left(small, made, numbered, root)
    resize(held.said, made.network, left, _shapes(small, made))
    weights, text = weights_file(Weights(held.weights, name), left), json.dumps(held.said)
    worst = apart(small.model, _again(text, weights, origin), [_random(n, small.input_size) for n in BATCHES])
    return Exported(archive(text, weights, held.version), True, worst, BATCHES, (UNCOMPILED,))


def _left(small: LoadedModel, made: Lowered, numbered: Numbered, root: Root) -> dict[str, Left]:
    """What is left of every array of the file, by where it lies."""
    values = small.model.state_dict()
    pieces = load_model(small.ref.origin, root).model
    whole = InPieces(made.model, pieces.batch) if isinstance(pieces, InPieces) else made.model
    numbers = _cut(small.ref, dict(whole.named_parameters()) | dict(whole.named_buffers()), root)
    fits = all(name in numbers and numbers[name].shape == value.shape for name, value in values.items())
    found = numbered.left(numbers, values) if fits else {}
    whole_slices = {path: left for path, left in found.items() if left is not None}
    if not fits or len(whole_slices) < len(found):
        raise UserError(f"This network has numbers that its file of Keras has no place for. {OTHERWISE}")
    return whole_slices


def _cut(ref: ModelRef, numbers: Mapping[str, Tensor], root: Root) -> Mapping[str, Tensor]:
    """``numbers`` of the file after every cut up to ``ref``."""
    if ref.base is None:
        return numbers
    numbers, base = _cut(ref.base, numbers, root), load_model(ref.base, root)
    network = capture(base.model, torch.zeros(1, *base.input_size))
    return sliced_tensors(numbers, network, Plan.from_json(ref.plan))


def _shapes(small: LoadedModel, made: Lowered) -> ShapeOf:
    """What layers give now: the layers of ``small``, called as the file says it."""
    held = small.model.network if isinstance(small.model, InPieces) else small.model
    told = small.interface
    assert told is not None  # a file of Keras has one
    walked = ShapeProp(fx.GraphModule(held, made.model.graph))
    with torch.no_grad():
        walked.propagate(*(torch.zeros(1, *each.shape, dtype=each.dtype) for each in told.inputs))

    def shape(scope: Scope, source: Source) -> tuple[int, ...]:
        value = made.values[scope][source]
        return value.shape(value.node.meta["tensor_meta"].shape)

    return shape


def _again(text: str, weights: bytes, origin: ModelRef) -> nn.Module:
    """The network in what was written."""
    known = dict(origin.options)
    wanted = Wanted(dict(known.get("sizes", ())), origin.input_size, known.get("measured"))
    try:
        program = program_of(json.loads(text), Weights(weights, origin.name), origin.name, wanted)
    except UserError as error:
        raise UserError(
            f"The settings of Keras's layers cannot say what was done to this network: {error} {OTHERWISE}"
        ) from error
    return program.for_any_batch(known.get("batch", ""))[0]


def _random(batch: int, size: tuple[int, ...]) -> tuple[Tensor]:
    return (torch.randn(batch, *size, generator=torch.Generator().manual_seed(batch)),)
