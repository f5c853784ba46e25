"""ONNX files, converted to torch modules by onnx2torch.

onnx2torch knows operators up to opset 17; newer files are first written down in that older vocabulary (onnx_lowering).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pruning_core.errors import UserError
from pruning_core.zoo.onnx_lowering import lowered

TOLERANCE = 1e-3  # relative; float32 in another order of summation stays a thousand times below
ELSEWHERE = "Or upload the network as torch.export.save(torch.export.export(model, (example,)), 'model.pt2')."


def conversion_note(difference: float | None) -> str:
    """What to say of a converted network; ``difference`` as ``reference_difference`` gave it."""
    if difference is None:
        return "converted from ONNX; not compared with ONNX's reference, which lacks one of its operators"
    return f"converted from ONNX; scores within {difference:.0e} of ONNX's reference, relative to the largest"


def read_onnx(path: Path, name: str) -> tuple[nn.Module, tuple[int, int, int], int | None]:
    """(network, (C, H, W), batch size or None for any) of the file at ``path``, which the user calls ``name``.

    Raises UserError when it is damaged, keeps weights in other files, takes anything but one batch of images, or uses
    an operator that cannot be converted, which is named.
    """
    import onnx
    import onnx2torch

    try:
        # Never by path: the library would then follow references to other files.
        model = onnx.load_model_from_string(path.read_bytes())
        if _external(model):
            raise UserError(f"{name!r} keeps its weights in another file. Save it with external_data=False.")
        size, batch = _input(model, name)
        plain = lowered(model)
        return onnx2torch.convert(plain), size, batch
    except UserError:
        raise
    except NotImplementedError as error:
        raise UserError(f"{name!r} cannot be converted: {error}. {ELSEWHERE}") from error
    except Exception as error:  # a parser of hostile bytes and a converter of any graph may raise anything
        raise UserError(f"{name!r} is damaged or cannot be converted from ONNX. {ELSEWHERE}") from error


def _input(model: Any, name: str) -> tuple[tuple[int, int, int], int | None]:
    """((C, H, W), batch size or None for any) of the one input that is no weight."""
    inputs = _inputs(model)
    sizes = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim] if len(inputs) == 1 else []
    if len(sizes) != 4 or not all(sizes[1:]) or len(model.graph.output) != 1:
        raise UserError(
            f"{name!r} does not take one batch of images (N, C, H, W) of known size and give one result. Export a "
            "classifier, with only the batch size left open."
        )
    c, h, w = sizes[1:]
    return (c, h, w), sizes[0] or None


def _inputs(model: Any) -> list[Any]:
    weights = {tensor.name for tensor in model.graph.initializer}  # old files list these as inputs too
    return [value for value in model.graph.input if value.name not in weights]


def _external(model: Any) -> bool:
    """Whether any tensor of the graph lies in another file."""
    import onnx

    tensors = [*model.graph.initializer]
    for node in model.graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)


def reference_difference(path: Path, name: str, model: nn.Module, size: tuple[int, int, int]) -> float | None:
    """Largest difference between ``model`` and ONNX's reference implementation of the file, relative to the largest
    score, on random images; None when the reference lacks an operator.

    The reference is slow (seconds for a large network), so this is done once, at the upload. Raises UserError when the
    two disagree: then the conversion is wrong.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator

    proto = onnx.load_model_from_string(path.read_bytes())
    _, batch = _input(proto, name)
    images = torch.rand((batch or 1, *size), generator=torch.Generator().manual_seed(0))
    try:
        (wanted,) = ReferenceEvaluator(proto).run(None, {_inputs(proto)[0].name: images.numpy()})
    except Exception:  # written in Python for few operators' every case; a gap in it says nothing about the file
        return None
    with torch.no_grad():
        found = model.eval()(images)
    scale = float(np.abs(wanted).max()) or 1.0
    difference = float(np.abs(found.numpy() - wanted).max()) / scale
    if not difference < TOLERANCE:
        raise UserError(
            f"{name!r} was converted, but the result differs from ONNX's reference by {difference:.1e} of the largest "
            f"score. It was not kept. {ELSEWHERE}"
        )
    return difference
