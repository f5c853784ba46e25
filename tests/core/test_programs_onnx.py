"""ONNX files say sizes as numbers. When channels are removed the numbers follow, whatever operator reads them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.zoo import import_model, load_model

pytestmark = pytest.mark.usefixtures("one_thread")
node = helper.make_node


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def model(
    middle: list[Any],
    held: dict[str, np.ndarray],
    batch: int | str = "n",
    opset: int = 17,
    width: int = 12,
    **more: Any,
) -> onnx.ModelProto:
    """3 x 8 x 8 images, a convolution to 12 channels "c" (N, 12, 8, 8), ``middle``, "f" (N, width), and 5 classes."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["k"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]), node("Relu", ["k"], ["c"]),
        *middle, node("Gemm", ["f", "g", "h"], ["y"], transB=1),
    ]  # fmt: skip
    weights = {"w": numbers(12, 3, 3, 3), "b": numbers(12), "g": numbers(5, width), "h": numbers(5), **held}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 5])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **{"ir_version": 8, **more})


POOL = [node("GlobalAveragePool", ["c"], ["p"])]  # (N, 12, 1, 1)
FLAT = [*POOL, node("Flatten", ["p"], ["f"])]


def after(name: str, *nodes: Any) -> list[Any]:
    """``nodes`` that make "d" of "c", then the pool of "d"."""
    return [*nodes, node("GlobalAveragePool", ["d"], ["p"]), node("Flatten", ["p"], ["f"])]


def count(name: str) -> list[Any]:
    """The number of images as a shape of one number, from the shape of a tensor: what exporters write."""
    return [
        node("Shape", [name], ["s"]), node("Gather", ["s", "zero"], ["t"], axis=0),
        node("Unsqueeze", ["t", "at"], ["u"]),
    ]  # fmt: skip


COUNT = {"zero": np.array(0, np.int64), "at": ints(0)}
FORMS: dict[str, tuple[list[Any], dict[str, np.ndarray]]] = {
    "to the width": ([*POOL, node("Reshape", ["p", "s"], ["f"])], {"s": ints(-1, 12)}),
    "to the width, batch kept": ([*POOL, node("Reshape", ["p", "s"], ["f"])], {"s": ints(0, 12)}),
    "shape made of parts": (
        [*POOL, *count("c"), node("Concat", ["u", "r"], ["v"], axis=0), node("Reshape", ["p", "v"], ["f"])],
        {**COUNT, "r": ints(12)},
    ),
    "shape computed": (
        [
            *POOL, node("Shape", ["c"], ["s"]), node("Slice", ["s", "at", "one"], ["n"]),
            node("Slice", ["s", "one", "two"], ["k2"]), node("Mul", ["k2", "one"], ["k3"]),
            node("Concat", ["n", "k3"], ["v"], axis=0), node("Reshape", ["p", "v"], ["f"]),
        ],
        {"at": ints(0), "one": ints(1), "two": ints(2)},
    ),
    "channels and places in a row": (
        [
            node("Reshape", ["c", "s"], ["d"]), node("Transpose", ["d"], ["e"], perm=[0, 2, 1]),
            node("Reshape", ["e", "s2"], ["i"]), node("ReduceMean", ["i"], ["f"], axes=[1], keepdims=0),
        ],
        {"s": ints(-1, 12, 64), "s2": ints(-1, 64, 12)},
    ),
    "shuffled": (
        after(
            "d", node("Reshape", ["c", "s"], ["i"]), node("Transpose", ["i"], ["j"], perm=[0, 2, 1, 3, 4]),
            node("Reshape", ["j", "s2"], ["d"]),
        ),
        {"s": ints(-1, 2, 6, 8, 8), "s2": ints(-1, 12, 8, 8)},
    ),
    "a table expanded": (
        after("d", node("Expand", ["q", "s"], ["i"]), node("Mul", ["c", "i"], ["d"])),
        {"q": numbers(12, 1, 1), "s": ints(1, 12, 8, 8)},
    ),
    "a table for every image": (
        after(
            "d", *count("c"), node("Concat", ["u", "r"], ["v"], axis=0), node("Expand", ["q", "v"], ["i"]),
            node("Concat", ["c", "i"], ["j"], axis=2), node("Conv", ["j", "w2"], ["d"], kernel_shape=[1, 1]),
        ),
        {**COUNT, "r": ints(12, 1, 8), "q": numbers(1, 12, 1, 8), "w2": numbers(12, 12, 1, 1)},
    ),
    "halves sliced": (
        after(
            "d", node("Slice", ["c", "z", "h1", "a"], ["i"]), node("Slice", ["c", "h1", "h2", "a"], ["j"]),
            node("Concat", ["j", "i"], ["d"], axis=1),
        ),
        {"z": ints(0), "h1": ints(6), "h2": ints(12), "a": ints(1)},
    ),
    "backwards": (
        after("d", node("Slice", ["c", "s", "e", "a", "t"], ["d"])),
        {"s": ints(-1), "e": ints(-100), "a": ints(1), "t": ints(-1)},
    ),
    "split into sizes": (
        after("d", node("Split", ["c", "s"], ["i", "j"], axis=1), node("Concat", ["j", "i"], ["d"], axis=1)),
        {"s": ints(4, 8)},
    ),
    "tiled": (after("d", node("Tile", ["q", "s"], ["i"]), node("Mul", ["c", "i"], ["d"])),
        {"q": numbers(1, 12, 1, 1), "s": ints(1, 1, 8, 8)}),
    "filled": (
        after("d", node("ConstantOfShape", ["s"], ["i"], value=numpy_helper.from_array(np.ones(1, np.float32))),
              node("Add", ["c", "i"], ["d"])),
        {"s": ints(1, 12, 1, 1)},
    ),
    "resized to sizes": (
        after(
            "d", *count("c"), node("Concat", ["u", "r"], ["v"], axis=0),
            node("Resize", ["c", "", "", "v"], ["d"], mode="linear", coordinate_transformation_mode="half_pixel"),
        ),
        {**COUNT, "r": ints(12, 16, 16)},
    ),
    "padded": (after("d", node("Pad", ["c", "s"], ["d"])), {"s": ints(0, 0, 1, 1, 0, 0, 1, 1)}),
    "reflected": (after("d", node("Pad", ["c", "s"], ["d"], mode="reflect")), {"s": ints(0, 0, 1, 1, 0, 0, 1, 1)}),
    "picked in order": (after("d", node("Gather", ["c", "s"], ["d"], axis=1)), {"s": ints(*range(11, -1, -1))}),
    "one place picked": (
        [
            node("Flatten", ["c"], ["i"], axis=2), node("Reshape", ["i", "s"], ["j"]),
            node("Gather", ["j", "k4"], ["f"], axis=2),
        ],
        {"s": ints(-1, 12, 64), "k4": np.array(7, np.int64)},
    ),
    "squeezed": ([*POOL, node("Squeeze", ["p", "a"], ["f"])], {"a": ints(2, 3)}),
    "summed": ([node("ReduceSum", ["c", "a"], ["f"], keepdims=0)], {"a": ints(2, 3)}),
    "unsqueezed": (
        [
            *POOL, node("Squeeze", ["p", "a"], ["i"]), node("Unsqueeze", ["i", "b2"], ["j"]),
            node("Flatten", ["j"], ["f"]),
        ],
        {"a": ints(2, 3), "b2": ints(1)},
    ),
    "slopes": (after("d", node("Neg", ["c"], ["i"]), node("PRelu", ["i", "q"], ["d"])), {"q": numbers(12, 1, 1)}),
    "slopes with a batch": (
        after("d", node("Neg", ["c"], ["i"]), node("PRelu", ["i", "q"], ["d"])), {"q": numbers(1, 12, 1, 1)},
    ),
    "one slope": (after("d", node("Neg", ["c"], ["i"]), node("PRelu", ["i", "q"], ["d"])), {"q": numbers(1)}),
    "slopes of places": (
        after("d", node("Neg", ["c"], ["i"]), node("PRelu", ["i", "q"], ["d"])), {"q": numbers(1, 8, 8)},
    ),
    "weights multiplied": (
        [*POOL, node("Reshape", ["p", "s"], ["i"]), node("MatMul", ["i", "m"], ["j"]), node("Add", ["j", "q"], ["f"])],
        {"s": ints(-1, 12), "m": numbers(12, 12, seed=3), "q": numbers(12, seed=4)},
    ),
}  # fmt: skip


def brought(proto: onnx.ModelProto, tmp_path: Any) -> Any:
    return import_model(io.BytesIO(proto.SerializeToString()), "net.onnx", tmp_path)


@pytest.mark.parametrize("batch", ["n", 1, 2], ids=["any batch", "one image", "two images"])
@pytest.mark.parametrize("form", FORMS)
def test_sizes_follow_what_is_removed(tmp_path, form, batch):
    middle, held = FORMS[form]
    loaded = brought(model(middle, held, batch), tmp_path)
    assert "of ONNX Runtime's" in loaded.notes[0]
    network = capture(loaded.model, torch.zeros(1, 3, 8, 8))
    assert network.groups and all(group.exact for group in network.groups), network.blocked
    removal = remove(loaded.model, network, Plan({g.key: range(g.size // 3) for g in network.groups}))
    assert removal.proof.max_rel < 1e-4
    x = torch.rand(5, 3, 8, 8)
    for each in (loaded.model, load_model(loaded.ref, tmp_path).model, removal.model):
        with torch.no_grad():
            whole = each(x)
            assert torch.allclose(whole, torch.cat([each(x[at : at + 1]) for at in range(5)]), atol=1e-4)
    assert all(p.requires_grad for p in loaded.model.parameters())
    names = {"MatMul", "Add"} & {n.op_type for n in model(middle, held).graph.node}
    if form == "weights multiplied":
        assert names and sum(p.numel() for p in loaded.model.parameters()) == 12 * 27 + 12 + 144 + 12 + 60 + 5


def batch_normed(opset: int, **more: Any) -> onnx.ModelProto:
    """As files of that age say it."""
    old = {"broadcast": 1} if opset < 7 else {}
    spent = {"consumed_inputs": [0, 0, 0, 1, 1]} if opset < 6 else {}
    test = {"is_test": 1} if opset < 7 else {}
    middle = [node("BatchNormalization", ["c", "s", "t", "m", "v"], ["d"], **spent, **test), *FLAT]
    middle[1] = node("GlobalAveragePool", ["d"], ["p"])
    held = {"s": numbers(12), "t": numbers(12), "m": numbers(12), "v": np.abs(numbers(12)) + 0.5}
    proto = model(middle, held, opset=opset, **more)
    gemm = next(n for n in proto.graph.node if n.op_type == "Gemm")
    gemm.attribute.extend(helper.make_attribute(key, value) for key, value in old.items())
    if opset < 6:
        relu = next(n for n in proto.graph.node if n.op_type == "Relu")
        relu.attribute.append(helper.make_attribute("consumed_inputs", [0]))
    return proto


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 14, 15, 17])
def test_batch_norms_of_every_age(tmp_path, opset):
    loaded = brought(batch_normed(opset), tmp_path)
    assert "of ONNX Runtime's" in loaded.notes[0]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in loaded.model.modules()) == 1
    network = capture(loaded.model, torch.zeros(1, 3, 8, 8))
    assert remove(loaded.model, network, Plan({network.groups[0].key: [1, 5]})).proof.max_rel < 1e-4


@pytest.mark.parametrize(("opset", "ir"), [(6, 3), (5, 3), (1, 2), (1, 1)])
def test_files_of_the_first_years(tmp_path, opset, ir):
    """They list weights among the inputs, and before format 3 they do not say which operators they use: the first."""
    proto = batch_normed(opset, ir_version=ir)
    for tensor in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    if ir < 3:
        del proto.opset_import[:]
    loaded = brought(proto, tmp_path)
    assert loaded.num_classes == 5
    newer = brought(batch_normed(9), tmp_path)
    x = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(loaded.model(x), newer.model(x), atol=1e-5)


def test_a_file_that_must_name_its_operators_and_does_not(tmp_path):
    proto = model(FLAT, {})
    del proto.opset_import[:]
    with pytest.raises(UserError, match="does not name the version of ONNX's operators"):
        brought(proto, tmp_path)


def test_an_operator_that_onnx_does_not_have_is_not_called_new(tmp_path):
    proto = model(after("d", node("Frobnicate", ["c"], ["d"])), {})
    with pytest.raises(UserError, match="the operator Frobnicate is none of ONNX's"):
        brought(proto, tmp_path)
