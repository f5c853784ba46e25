"""A network as ONNX, for runtimes that are not PyTorch."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.export.program import Exported
from pruning_core.export.traced import Traced, difference, trace
from pruning_core.export.traced import outputs as tensors

LARGEST = 2**31 - 1  # bytes in one protocol buffer
INPUT, BATCH = "images", "batch"


@dataclass(frozen=True)
class Names:
    """What inputs and outputs are called in an ONNX file, in their order; () where nobody says."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


NAMES = Names()


def export_onnx(model: nn.Module, example: Tensor | tuple[Tensor, ...], names: Names = NAMES) -> Exported:
    """``model`` in eval mode as an ONNX file; ``example``: one input, or several, each (batch, …).

    Inputs and outputs are called as ``names`` says, where it has one for each; else one input is "images", several are
    called as the arguments of ``forward``, and outputs in a dictionary by its keys. ONNX Runtime runs the file and the
    outputs are compared with the network's before it is handed out. Raises UserError when an operator has no
    counterpart, when the file would exceed 2 GiB, or when it does not compute the same.
    """
    traced = trace(model, example)
    inputs, outputs = _names(traced, names)
    with _quiet():
        try:
            made = torch.onnx.export(
                traced.program, traced.inputs, dynamo=True, input_names=inputs, output_names=outputs, verbose=False
            )
            assert made is not None  # it is, when no file is named
            proto = made.model_proto
        except Exception as error:  # the converter raises whatever its rules raise
            line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise UserError(f"This network cannot be written as ONNX: {line} Take the .pt2 instead.") from error
    _name_batch(proto.graph)
    if proto.ByteSize() > LARGEST:
        raise UserError("As ONNX this network would exceed the 2 GiB of one file. Take the .pt2 instead.")
    data = proto.SerializeToString()
    worst = difference(traced, _Runtime(data))
    return Exported(data, traced.any_batch, worst, traced.batches, traced.notes)


class _Runtime(nn.Module):
    """ONNX Runtime on the CPU, called as a network."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        given = {each.name: x.numpy() for each, x in zip(self.session.get_inputs(), inputs, strict=True)}
        return [torch.as_tensor(value) for value in self.session.run(None, given)]


def _names(traced: Traced, names: Names) -> tuple[list[str] | None, list[str] | None]:
    """None leaves them to the converter, which takes those of the arguments and operators."""
    with torch.no_grad():
        result = traced.network(*traced.inputs)
    inputs = list(names.inputs) if len(names.inputs) == len(traced.inputs) else None
    if inputs is None and len(traced.inputs) == 1:
        inputs = [INPUT]
    number = len(tensors(result))
    if len(names.outputs) == number:
        return inputs, list(names.outputs)
    keyed = isinstance(result, Mapping) and all(isinstance(value, Tensor) for value in result.values())
    return inputs, [str(key) for key in result] if keyed else None


def _name_batch(graph: Any) -> None:
    """The free dimension has a made-up symbol (s77); people look for "batch"."""
    symbol = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    if not symbol:
        return
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(rf"\b{re.escape(symbol)}\b", BATCH, dim.dim_param)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converter reports every constant that it did not fold."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
