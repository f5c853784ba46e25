"""ONNX files, converted to torch modules by onnx2torch.

onnx2torch knows operators up to opset 17; other files are first written down in that vocabulary (onnx_lowering).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.advice import EXPORT
from pruning_core.zoo.interface import (
    ANOTHER,
    LONGEST_NAME,
    NOTHING,
    Declared,
    Interface,
    Wanted,
    batch_of,
    check_types,
)
from pruning_core.zoo.onnx_lowering import lowered, updated
from pruning_core.zoo.programs.onnx_layers import hold_sizes, plain_slopes
from pruning_core.zoo.programs.packing import Unpack, in_front
from pruning_core.zoo.programs.program import Program
from pruning_core.zoo.programs.watch import MOST_STEPS, check_image

TOLERANCE = 1e-3  # relative; float32 in another order of summation stays a thousand times below
BATCHES = (1, 3)  # what a file for any number of images is compared at
REFERENCE_WORK = 3e8  # multiplications that ONNX's reference, which is written in Python, does in some seconds
TYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
         11: "float64"}  # fmt: skip
ELSEWHERE = f"Or upload the network as {EXPORT}."


def compared_note(options: Mapping[str, Any]) -> str:
    """What to say of a converted network; ``options`` as :func:`compared` gave them."""
    if "reference_difference" not in options:
        return "Converted from ONNX; not compared with another implementation, because none at hand runs this file."
    difference, referee = options["reference_difference"], options.get("referee", "ONNX's reference")
    return f"Converted from ONNX; scores within {difference:.0e} of {referee}'s, relative to the largest."


def read_onnx(path: Path, name: str, wanted: Wanted = NOTHING) -> Program:
    """The network of the file at ``path``, which the user calls ``name``; ``wanted``: what they say of it.

    Raises UserError when it is damaged, keeps weights in other files, takes anything but batches of numbers, would
    hold or do too much, or uses an operator that cannot be converted, which is named; OpenSizes, where sizes are open
    that ``wanted`` does not say.
    """
    model = _parsed(path, name)
    declared = _inputs(model, name)
    batch = batch_of(declared, name)
    inputs = wanted.closed(declared, name)
    check_image(Interface(inputs).size, quoted(name))
    converted = _converted(model, name)
    plain_slopes(converted)
    outputs = [each.name for each in model.graph.output]
    note = "Converted from ONNX."
    return Program.of(converted.eval(), inputs, batch, name, note, wanted, outputs, hold_sizes)


def _parsed(path: Path, name: str) -> Any:
    import onnx

    try:
        # Never by path: the library would then follow references to other files.
        model = onnx.load_model_from_string(path.read_bytes())
        external = _external(model)
    except Exception as error:  # a parser of hostile bytes may raise anything
        raise UserError(f"{quoted(name)} is damaged or cannot be converted from ONNX. {ELSEWHERE}") from error
    if external:
        raise UserError(f"{quoted(name)} keeps its weights in another file. Save it with external_data=False.")
    if len(model.graph.node) > MOST_STEPS:
        raise UserError(f"{quoted(name)} has {len(model.graph.node):,} operators; at most {MOST_STEPS:,} are read.")
    _check_opset(model, name)
    _check_names(model, name)
    return model


def _check_opset(model: Any, name: str) -> None:
    """Raise UserError for a set of operators that nobody has defined: what they do would be a guess."""
    import onnx

    newest = onnx.defs.onnx_opset_version()
    for each in model.opset_import:
        if each.domain in ("", "ai.onnx") and not 1 <= each.version <= newest:
            raise UserError(
                f"{quoted(name)} is written in opset {each.version:,}; opsets 1 to {newest} are known here. Export it "
                f"again with one of them. {ELSEWHERE}"
            )


def _check_names(model: Any, name: str) -> None:
    """Raise UserError where two operators make a tensor of one name: which of them is read would be a guess."""
    made: set[str] = set()
    for node in model.graph.node:
        for out in filter(None, node.output):
            if out in made:
                raise UserError(f"{quoted(name)} is damaged: it makes the tensor {quoted(out)} twice. Export it again.")
            made.add(out)


def _converted(model: Any, name: str) -> Any:
    """As a torch module. What onnx2torch does not know in an old form is brought up to date once."""
    import onnx2torch

    try:
        try:
            return onnx2torch.convert(lowered(model))
        except NotImplementedError:
            newer = updated(model)
            if newer is None:
                raise
            return onnx2torch.convert(lowered(newer))
    except NotImplementedError as error:
        raise UserError(f"{quoted(name)} cannot be converted: {clip(str(error), 200)}. {ELSEWHERE}") from error
    except Exception as error:  # a converter of any graph may raise anything
        raise UserError(f"{quoted(name)} is damaged or cannot be converted from ONNX. {ELSEWHERE}") from error


def _inputs(model: Any, name: str) -> tuple[Declared, ...]:
    """What the user gives. Raises UserError for anything but tensors of known rank with a batch first."""
    weights = {tensor.name for tensor in model.graph.initializer}  # old files list these as inputs too
    given = [value for value in model.graph.input if value.name not in weights]
    for value in given:
        if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
            raise UserError(
                f"{quoted(name)} does not say of how many dimensions its input {quoted(value.name)} is. Export it "
                "again with the shapes of its inputs."
            )
    found = tuple(_declared(value.name, value.type.tensor_type) for value in given)
    check_types(found, name)
    return found


def _declared(name: str, given: Any) -> Declared:
    dims = tuple(dim.dim_value or dim.dim_param for dim in given.shape.dim)
    return Declared(name[:LONGEST_NAME], dims, TYPES.get(given.elem_type, ANOTHER))


def _external(model: Any) -> bool:
    """Whether any tensor of the graph lies in another file."""
    import onnx

    tensors = [*model.graph.initializer]
    for node in model.graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)


# -- what another implementation makes of the same file ----------------------------------------------------------------

Referee = Callable[[Sequence[Tensor]], list[np.ndarray]]


def compared(path: Path, name: str, model: nn.Module, interface: Interface) -> dict[str, Any]:
    """What to keep of comparing ``model`` with the file as others run it, on random inputs: the largest difference of
    any output, relative to the largest number of it, and who said so; nothing where nobody else runs the file.

    Raises UserError when the two disagree: then the conversion is wrong.
    """
    proto = _parsed(path, name)
    declared = _inputs(proto, name)
    batch, apart = batch_of(declared, name), Unpack(interface.inputs)
    generator = torch.Generator().manual_seed(0)
    for said, referee in (("ONNX Runtime", _runtime), ("ONNX's reference", _reference)):
        try:
            run = referee(proto, [each.name for each in declared])
            given = [torch.rand((n, *interface.size), generator=generator) for n in _counts(batch)]
            found = [(x, run(apart(x) if interface.packed else [x])) for x in given]
        except Exception:  # a gap in an implementation says nothing about the file
            continue
        difference = max(_gap(model, x, in_front(wanted, interface.measured)) for x, wanted in found)
        if not difference < TOLERANCE:
            raise UserError(
                f"{quoted(name)} was converted, but the result differs from {said}'s by {difference:.1e} of the "
                f"largest score. It was not kept. {ELSEWHERE}"
            )
        return {"reference_difference": difference, "referee": said}
    return {}


def _counts(batch: int | None) -> tuple[int, ...]:
    return BATCHES if batch is None else (batch,)


def _gap(model: nn.Module, x: Tensor, wanted: Sequence[np.ndarray]) -> float:
    with torch.no_grad():
        found = [each.double().numpy() for each in tree_leaves(model.eval()(x))]
    if [each.shape for each in found] != [each.shape for each in wanted]:
        return float("inf")
    return max(_relative(ours, theirs.astype(np.float64)) for ours, theirs in zip(found, wanted))


def _relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    if not theirs.size:
        return 0.0
    return float(np.abs(ours - theirs).max()) / (float(np.abs(theirs).max()) or 1.0)


def _runtime(proto: Any, names: Sequence[str]) -> Referee:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    # Nothing is computed before the inputs come: the file was judged for what it does with them.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, {each: x.numpy() for each, x in zip(names, given)})


def _reference(proto: Any, names: Sequence[str]) -> Referee:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(proto)

    def run(given: Sequence[Tensor]) -> list[np.ndarray]:
        return [np.asarray(each) for each in evaluator.run(None, {n: x.numpy() for n, x in zip(names, given)})]

    return run
