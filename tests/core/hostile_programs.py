"""Exported programs written by hand to do harm: an honest one of a few operators, with others put in their place."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from tests.core.upload_files import exported, with_graph

Graph = dict[str, Any]
HUGE = 1 << 40


class Honest(nn.Module):
    """One convolution, pooled and flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x).mean((2, 3))


@functools.lru_cache(1)
def honest() -> bytes:
    torch.manual_seed(0)
    return exported(Honest().eval(), torch.rand(2, 3, 8, 8), dynamic=False).getvalue()


def told(value: Any) -> dict[str, Any]:
    """An argument as the file writes it. A string is the name of a tensor, (string,) a text, [strings] tensors."""
    match value:
        case None:
            return {"as_none": True}
        case bool():
            return {"as_bool": value}
        case int():
            return {"as_int": value}
        case float():
            return {"as_float": value}
        case str():
            return {"as_tensor": {"name": value}}
        case torch.dtype():
            return {"as_scalar_type": {torch.complex64: 9, torch.float64: 8, torch.int64: 5, torch.uint8: 1}[value]}
        case (str() as text,) if isinstance(value, tuple):
            return {"as_string": text}
        case [str(), *_]:
            return {"as_tensors": [{"name": each} for each in value]}
        case [bool(), *_]:
            return {"as_bools": value}
        case [float(), *_]:
            return {"as_floats": value}
    return {"as_ints": list(value)}


def step(operator: str, out: str, **given: Any) -> dict[str, Any]:
    """One operator of the graph, as ``aten.name.overload``."""
    return {
        "target": f"torch.ops.{operator}" if operator.startswith("aten") else operator,
        "inputs": [{"name": key, "arg": told(value), "kind": 1} for key, value in given.items()],
        "outputs": [{"as_tensor": {"name": out}}],
        "metadata": {},
        "is_hop_single_tensor_return": None,
        "name": out,
    }


def looks(shape: tuple[int, ...] = (2, 4)) -> dict[str, Any]:
    """What the file says of a tensor that comes out."""
    return {
        "dtype": 7, "sizes": [{"as_int": n} for n in shape], "requires_grad": False,
        "device": {"type": "cpu", "index": None}, "strides": [{"as_int": 1} for _ in shape],
        "storage_offset": {"as_int": 0}, "layout": 7,
    }  # fmt: skip


def graph_of(graph: Graph) -> Graph:
    found: Graph = graph["graph_module"]["graph"]
    return found


def with_steps(*steps: dict[str, Any], last: str = "") -> bytes:
    """The honest program with ``steps`` before its first operator; ``last``: which tensor its second one reads."""

    def edit(graph: Graph) -> None:
        inner = graph_of(graph)
        for each in steps:
            for out in each["outputs"]:
                inner["tensor_values"][out["as_tensor"]["name"]] = looks()
        mean = inner["nodes"][-1]
        if last:
            mean["inputs"][0]["arg"] = told(last)
        inner["nodes"] = [inner["nodes"][0], *steps, mean]

    return edited(edit)


def one(operator: str, **given: Any) -> bytes:
    """The honest program with one operator more, whose result is what it gives."""
    return with_steps(step(operator, "made", **given), last="made")


def edited(edit: Callable[[Graph], None]) -> bytes:
    """Packed, so that a long graph is a small file."""
    packed = BytesIO()
    with zipfile.ZipFile(with_graph(BytesIO(honest()), edit)) as old, \
            zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:  # fmt: skip
        for member in old.namelist():
            new.writestr(member, old.read(member))
    return packed.getvalue()


X = "x"
# -- what is no operator of a network ----------------------------------------------------------------------------------

STRANGE = [
    "aten.from_file.default", "aten.set_.source_Storage", "aten.as_strided_.default", "aten.resize_.default",
    "aten.record_stream.default", "aten.lstm.input", "aten.gru.input", "aten.rnn_tanh.input",
    "aten.to_mkldnn.default", "aten._pack_padded_sequence.default", "aten.reflection_pad2d_backward.default",
    "aten.max_pool2d_with_indices_backward.default", "aten._fused_adam_.default", "aten._ctc_loss.default",
    "aten._embedding_bag.default", "aten.quantize_per_tensor.default", "aten._sparse_coo_tensor_unsafe.default",
    "aten.linalg_svd.default", "aten.linalg_inv_ex.default", "aten.bincount.default",
    "aten._local_scalar_dense.default", "aten.no_such_thing.default", "aten.relu.no_such_form",
    "torch.ops.prim.device.default", "torch.ops.inductor._alloc_from_pool.default",
    "torch.ops.higher_order.while_loop", "builtins.exec", "os.system", "_operator.attrgetter",
    "torch.nn.functional.linear", "",
]  # fmt: skip

# -- arguments that some operators do not look at ----------------------------------------------------------------------

CONV: dict[str, Any] = {
    "input": X, "weight": "p_first_weight", "bias": None, "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1],
    "groups": 1,
}  # fmt: skip
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "a norm without statistics": ("aten.native_batch_norm.default", {
        "input": X, "weight": None, "bias": None, "running_mean": None, "running_var": None, "training": False,
        "momentum": 0.1, "eps": 1e-5}),
    "a norm of other channels": ("aten.batch_norm.default", {
        "input": X, "weight": "p_first_bias", "bias": None, "running_mean": "p_first_bias",
        "running_var": "p_first_bias", "training": False, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": False}),
    "read as complex": ("aten.view.dtype", {"self": X, "dtype": torch.complex64}),
    "divided by zero": ("aten.remainder.Scalar", {"self": X, "other": 0}),
    "no stride": ("aten.conv2d.default", {**CONV, "stride": [0, 0]}),
    "no groups": ("aten.conv2d.default", {**CONV, "groups": 0}),
    "groups below zero": ("aten.conv2d.default", {**CONV, "groups": -1}),
    "a padding below zero": ("aten.conv2d.default", {**CONV, "padding": [-5, -5]}),
    "a huge padding": ("aten.conv2d.default", {**CONV, "padding": [1 << 20, 1 << 20]}),
    "a huge dilation": ("aten.conv2d.default", {**CONV, "dilation": [HUGE, HUGE]}),
    "more strides than sides": ("aten.conv2d.default", {**CONV, "stride": [1] * 100}),
    "no window": ("aten.max_pool2d.default", {"self": X, "kernel_size": [0, 0]}),
    "a huge window": ("aten.avg_pool2d.default", {"self": X, "kernel_size": [HUGE, HUGE]}),
    "a divisor of zero": ("aten.avg_pool2d.default", {
        "self": X, "kernel_size": [2, 2], "stride": [2, 2], "padding": [0, 0], "ceil_mode": False,
        "count_include_pad": True, "divisor_override": 0}),
    "a huge picture": ("aten.upsample_nearest2d.vec", {
        "input": X, "output_size": [1 << 20, 1 << 20], "scale_factors": None}),
    "scaled by nothing": ("aten.upsample_nearest2d.vec", {
        "input": X, "output_size": None, "scale_factors": [0.0, 0.0]}),
    "shuffled by zero": ("aten.pixel_shuffle.default", {"self": X, "upscale_factor": 0}),
    "a reflection wider than the picture": ("aten.reflection_pad2d.default", {"self": X, "padding": [100] * 4}),
    "a huge reflection": ("aten.reflection_pad2d.default", {"self": X, "padding": [HUGE] * 4}),
    "padded without end": ("aten.constant_pad_nd.default", {"self": X, "pad": [HUGE, HUGE], "value": 0.0}),
    "cut off below nothing": ("aten.constant_pad_nd.default", {"self": X, "pad": [-100, -100, -100, -100]}),
    "two unknown sides": ("aten.reshape.default", {"self": X, "shape": [-1, -1]}),
    "sides below zero": ("aten.reshape.default", {"self": X, "shape": [-2, 192]}),
    "expanded without end": ("aten.expand.default", {"self": X, "size": [HUGE, 2, 3, 8, 8]}),
    "repeated without end": ("aten.repeat.default", {"self": X, "repeats": [1 << 20, 1 << 20, 1, 1]}),
    "a row without end": ("aten.arange.default", {"end": HUGE}),
    "zeros without end": ("aten.zeros.default", {"size": [HUGE]}),
    "more ranks than there are": ("aten.reshape.default", {"self": X, "shape": [2, 3, 8, 8] + [1] * 3000}),
    "an unknown dimension": ("aten.softmax.int", {"self": X, "dim": 99}),
    "a dimension twice": ("aten.permute.default", {"self": X, "dims": [0, 0, 1, 2]}),
    "a table read outside": ("aten.index_select.default", {"self": X, "dim": 1, "index": "p_first_bias"}),
    "words without a table": ("aten.embedding.default", {"weight": X, "indices": X}),
    "no groups of a norm": ("aten.group_norm.default", {"input": X, "num_groups": 0}),
    "a norm of another shape": ("aten.layer_norm.default", {"input": X, "normalized_shape": [HUGE]}),
    "a stride outside": ("aten.as_strided.default", {"self": X, "size": [1000, 1000], "stride": [1000, 1]}),
    "a missing argument": ("aten.conv2d.default", {"input": X}),
    "an argument too many": ("aten.relu.default", {"self": X, "other": 3}),
    "a number for a tensor": ("aten.relu.default", {"self": 3}),
    "nobody's tensor": ("aten.relu.default", {"self": "nobody"}),
    "its own result": ("aten.relu.default", {"self": "made"}),
}  # fmt: skip


def _chain(operator: str, length: int, **given: Any) -> bytes:
    """The same again and again, each on what the one before gave."""
    names = [X, *(f"n{number}" for number in range(length))]
    key = next(iter(given))
    return with_steps(
        *(step(operator, after, **{**given, key: before}) for before, after in pairwise(names)), last=names[-1]
    )


def _size(graph: Graph, size: int) -> None:
    graph_of(graph)["tensor_values"]["x"]["sizes"][2] = {"as_int": size}


def _name(graph: Graph, name: str) -> None:
    text = json.dumps(graph).replace('"conv2d"', json.dumps(name))
    graph.clear()
    graph.update(json.loads(text))


SHAPED: dict[str, Callable[[], bytes]] = {
    "a hundred thousand operators": lambda: edited(
        lambda graph: graph_of(graph).update(nodes=graph_of(graph)["nodes"] * 50_000)
    ),
    "doubled sixty times": lambda: _chain("aten.repeat.default", 60, self="", repeats=[1, 1, 2, 2]),
    "products of products": lambda: with_steps(
        step("aten.expand.default", "wide", self=X, size=[2, 3, 8, 8]),
        step("aten.repeat.default", "square", self="wide", repeats=[1, 1, 512, 512]),
        *(
            step("aten.matmul.default", f"m{n + 1}", self=f"m{n}" if n else "square", other="square")
            for n in range(200)
        ),
        last="m200",
    ),
    "huge images": lambda: edited(lambda graph: _size(graph, 1 << 61)),
    "images of nothing": lambda: edited(lambda graph: _size(graph, 0)),
    "images below nothing": lambda: edited(lambda graph: _size(graph, -8)),
    "a name of a million letters": lambda: edited(lambda graph: _name(graph, "n" * 1_000_000)),
    "a name of a million brackets": lambda: edited(lambda graph: _name(graph, "(" * 1_000_000)),
    "an operator of a million letters": lambda: one("aten." + "a" * 1_000_000 + ".default", self=X),
    "a text of ten million digits": lambda: edited(
        lambda graph: graph_of(graph)["nodes"][0].update(metadata={"stack_trace": "9" * 10_000_000})
    ),
    "no nodes": lambda: edited(lambda graph: graph_of(graph).update(nodes=[])),
    "no outputs": lambda: edited(lambda graph: graph_of(graph).update(outputs=[])),
    "many outputs": lambda: edited(lambda graph: graph_of(graph).update(outputs=graph_of(graph)["outputs"] * 100_000)),
    "nothing": lambda: edited(lambda graph: graph.clear()),
    "another version": lambda: edited(lambda graph: graph.update(schema_version={"major": 1 << 70, "minor": -1})),
}
