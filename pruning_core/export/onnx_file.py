"""A network as ONNX, for runtimes that are not PyTorch."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.export.program import Exported
from pruning_core.export.traced import difference, trace

LARGEST = 2**31 - 1  # bytes in one protocol buffer
INPUT, BATCH = "images", "batch"


def export_onnx(model: nn.Module, example: Tensor) -> Exported:
    """``model`` in eval mode as an ONNX file with one input, "images" (batch, C, H, W).

    ONNX Runtime runs the file and the outputs are compared with the network's before it is handed out. Raises UserError
    when an operator has no counterpart, when the file would exceed 2 GiB, or when it does not compute the same.
    """
    traced = trace(model, example)
    with _quiet():
        try:
            made = torch.onnx.export(traced.program, (traced.images,), dynamo=True, input_names=[INPUT], verbose=False)
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

    def forward(self, x: Tensor) -> list[Tensor]:
        return [torch.as_tensor(value) for value in self.session.run(None, {INPUT: x.numpy()})]


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
