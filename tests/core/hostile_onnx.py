"""ONNX files written by hand to do harm, each around one operator or one lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HUGE = 1 << 40
FLOAT = TensorProto.FLOAT
Node = Any


def file(
    nodes: Sequence[Node], weights: Sequence[Any] = (), *, size: Sequence[Any] = (1, 3, 8, 8), opset: int = 17,
    out: str = "y", domain: str = "", outputs: int = 1,
) -> bytes:  # fmt: skip
    given = helper.make_tensor_value_info("x", FLOAT, list(size))
    made = [helper.make_tensor_value_info(out, FLOAT, None)] * outputs
    graph = helper.make_graph(list(nodes), "g", [given], made, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)])
    model.ir_version = 8
    found: bytes = model.SerializeToString()
    return found


def node(kind: str, *given: str, **attributes: Any) -> Node:
    return helper.make_node(kind, list(given), ["y"], **attributes)


def ints(name: str, *values: int) -> Any:
    return numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def floats(name: str, *shape: int) -> Any:
    return numpy_helper.from_array(np.ones(shape, dtype=np.float32), name)


def flat(*before: Node, weights: Sequence[Any] = (), **options: Any) -> bytes:
    """``before`` gives "t"; it is averaged into (N, C)."""
    last = [helper.make_node("GlobalAveragePool", ["t"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    return file([*before, *last], weights, **options)


def t(kind: str, *given: str, **attributes: Any) -> Node:
    return helper.make_node(kind, list(given), ["t"], **attributes)


def chain(kind: str, length: int, *more: str, **attributes: Any) -> list[Node]:
    names = ["x", *(f"n{number}" for number in range(length - 1)), "t"]
    return [helper.make_node(kind, [a, *more], [b], **attributes) for a, b in pairwise(names)]


def lying(dims: Sequence[int], data: bytes, kind: int = FLOAT) -> Any:
    weight = TensorProto(name="w", data_type=kind, raw_data=data)
    weight.dims.extend(dims)
    return weight


def elsewhere(place: str) -> Any:
    weight = TensorProto(name="w", data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    weight.dims.extend([4, 3, 1, 1])
    weight.external_data.add(key="location", value=place)
    return weight


def deep(depth: int) -> Node:
    """A choice within a choice within a choice."""
    leaf = helper.make_graph([helper.make_node("Identity", ["x"], ["i"])], "g", [],
                             [helper.make_tensor_value_info("i", FLOAT, None)])  # fmt: skip
    inner = leaf
    for _ in range(depth):
        inner = helper.make_graph(
            [helper.make_node("If", ["c"], ["i"], then_branch=inner, else_branch=leaf)], "g", [],
            [helper.make_tensor_value_info("i", FLOAT, None)],
        )  # fmt: skip
    return helper.make_node("If", ["c"], ["t"], then_branch=inner, else_branch=leaf)


def loop() -> Node:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Concat", ["v", "v"], ["w2"], axis=2)], "b",
        [helper.make_tensor_value_info("n", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []), helper.make_tensor_value_info("v", FLOAT, None)],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("w2", FLOAT, None)],
    )  # fmt: skip
    return helper.make_node("Loop", ["many", "yes", "x"], ["t"], body=body)


def changed(change: Callable[[Any], None]) -> bytes:
    model = onnx.load_model_from_string(flat(t("Relu", "x")))
    change(model)
    found: bytes = model.SerializeToString()
    return found


def _recursive(model: Any) -> None:
    model.opset_import.add(domain="mine", version=1)
    model.functions.append(helper.make_function(
        "mine", "Again", ["a"], ["b"], [helper.make_node("Again", ["a"], ["b"], domain="mine")],
        [helper.make_opsetid("mine", 1)],
    ))  # fmt: skip
    model.graph.node[0].op_type, model.graph.node[0].domain = "Again", "mine"


YES = numpy_helper.from_array(np.array(True), "yes")
CHOICE = numpy_helper.from_array(np.array(True), "c")
FILES: dict[str, Callable[[], bytes]] = {
    "huge images": lambda: flat(t("Relu", "x"), size=(1, 3, 1 << 30, 1 << 30)),
    "images below nothing": lambda: flat(t("Relu", "x"), size=(1, 3, -8, 8)),
    "images of a quarter gigabyte": lambda: flat(t("Relu", "x"), size=(1, 1, 1 << 13, 1 << 13)),
    "a huge batch": lambda: flat(t("Relu", "x"), size=(HUGE, 3, 8, 8)),
    "padded without end": lambda: flat(t("Pad", "x", "p"), weights=[ints("p", *[0] * 6, 1 << 20, 1 << 20)]),
    "padded below nothing": lambda: flat(t("Pad", "x", "p"), weights=[ints("p", 0, 0, -9, -9, 0, 0, -9, -9)]),
    "tiled without end": lambda: flat(t("Tile", "x", "r"), weights=[ints("r", 1, 1, 1 << 20, 1 << 20)]),
    "tiled below nothing": lambda: flat(t("Tile", "x", "r"), weights=[ints("r", 1, 1, -1, 0)]),
    "a huge picture": lambda: flat(
        t("Resize", "x", "", "", "s"), weights=[ints("s", 1, 3, 1 << 20, 1 << 20)]),
    "scaled without end": lambda: flat(
        t("Resize", "x", "", "s"), weights=[numpy_helper.from_array(np.float32([1, 1, 1e9, 1e9]), "s")]),
    "scaled by no number": lambda: flat(
        t("Resize", "x", "", "s"), weights=[numpy_helper.from_array(np.float32([1, 1, np.nan, -1]), "s")]),
    "expanded without end": lambda: flat(t("Expand", "x", "s"), weights=[ints("s", 1 << 20, 3, 1 << 20, 8)]),
    "constants without end": lambda: flat(
        helper.make_node("ConstantOfShape", ["s"], ["k"]), t("Add", "x", "k"), weights=[ints("s", 1 << 20, 1 << 20)]),
    "a row without end": lambda: flat(
        helper.make_node("Range", ["a", "b", "c"], ["k"]), t("Reshape", "x", "k"),
        weights=[numpy_helper.from_array(np.array(n), k) for k, n in zip("abc", (0, HUGE, 1))]),
    "a row that stands still": lambda: flat(
        helper.make_node("Range", ["a", "b", "c"], ["k"]), t("Reshape", "x", "k"),
        weights=[numpy_helper.from_array(np.array(n), k) for k, n in zip("abc", (0, 9, 0))]),
    "a hundred thousand operators": lambda: flat(*chain("Relu", 100_000)),
    "nineteen thousand operators": lambda: flat(*chain("Relu", 19_000)),
    "doubled sixty times": lambda: flat(*chain("Tile", 60, "r"), weights=[ints("r", 1, 1, 2, 2)]),
    "products of products": lambda: flat(
        helper.make_node("Tile", ["x", "r"], ["q"]),
        *[helper.make_node("MatMul", [f"m{n}" if n else "q", "q"], [f"m{n + 1}"]) for n in range(300)],
        t("Relu", "m300"), weights=[ints("r", 1, 1, 256, 256)]),
    "weights in another place": lambda: flat(t("Conv", "x", "w"), weights=[elsewhere("../../../etc/passwd")]),
    "weights in a device": lambda: flat(t("Conv", "x", "w"), weights=[elsewhere("/dev/zero")]),
    "a circle": lambda: flat(helper.make_node("Add", ["x", "t"], ["u"]), t("Relu", "u")),
    "its own result": lambda: flat(t("Relu", "t")),
    "nobody's tensor": lambda: flat(t("Relu", "nobody")),
    "made twice": lambda: flat(t("Relu", "x"), t("Neg", "x")),
    "opset zero": lambda: flat(t("Relu", "x"), opset=0),
    "an opset of the future": lambda: flat(t("Relu", "x"), opset=9999),
    "an opset below nothing": lambda: flat(t("Relu", "x"), opset=-1),
    "the first opset": lambda: flat(t("Relu", "x", consumed_inputs=[0]), opset=1),
    "a foreign domain": lambda: flat(t("Relu", "x", domain="com.evil"), domain="com.evil", opset=1),
    "fewer bytes than numbers": lambda: flat(t("Conv", "x", "w"), weights=[lying([4, 3, 1, 1], bytes(4))]),
    "more bytes than numbers": lambda: flat(t("Conv", "x", "w"), weights=[lying([4, 3, 1, 1], bytes(4000))]),
    "more numbers than there can be": lambda: flat(t("Conv", "x", "w"), weights=[lying([HUGE, HUGE, 1, 1], b"")]),
    "sides below nothing": lambda: flat(t("Conv", "x", "w"), weights=[lying([-4, -3, 1, 1], bytes(48))]),
    "numbers of no kind": lambda: flat(t("Conv", "x", "w"), weights=[lying([4, 3, 1, 1], bytes(48), 999)]),
    "texts for numbers": lambda: flat(
        t("Conv", "x", "w"), weights=[lying([4, 3, 1, 1], bytes(48), TensorProto.STRING)]),
    "a name of a million letters": lambda: flat(
        helper.make_node("Relu", ["x"], ["n" * 1_000_000]), t("Relu", "n" * 1_000_000)),
    "an operator of a million letters": lambda: flat(t("N" * 1_000_000, "x")),
    "no groups": lambda: flat(t("Conv", "x", "w", group=0), weights=[floats("w", 4, 3, 1, 1)]),
    "groups below nothing": lambda: flat(t("Conv", "x", "w", group=-3), weights=[floats("w", 4, 3, 1, 1)]),
    "no strides": lambda: flat(t("Conv", "x", "w", strides=[0, 0]), weights=[floats("w", 4, 3, 1, 1)]),
    "huge paddings": lambda: flat(t("Conv", "x", "w", pads=[1 << 30] * 4), weights=[floats("w", 4, 3, 1, 1)]),
    "weights of another width": lambda: flat(t("Conv", "x", "w"), weights=[floats("w", 4, 5, 1, 1)]),
    "no window": lambda: flat(t("MaxPool", "x", kernel_shape=[0, 0])),
    "a huge window": lambda: flat(t("MaxPool", "x", kernel_shape=[HUGE, HUGE])),
    "a table read outside": lambda: flat(t("Gather", "x", "i", axis=1), weights=[ints("i", 99, -99)]),
    "blocks of nothing": lambda: flat(t("DepthToSpace", "x", blocksize=0)),
    "a hot one without end": lambda: flat(
        t("OneHot", "i", "d", "v"), weights=[ints("i", 1), ints("d", HUGE), floats("v", 2)]),
    "letters without end": lambda: flat(t("Einsum", "x", "x", equation="abcd,efgh->abcdefgh"), size=(1, 3, 256, 256)),
    "an axis twice": lambda: flat(t("Transpose", "x", perm=[0, 0, 1, 2])),
    "steps of nothing": lambda: flat(
        t("Slice", "x", "a", "b", "ax", "st"), weights=[ints("a", 0), ints("b", 9), ints("ax", 1), ints("st", 0)]),
    "a norm of other channels": lambda: flat(
        t("BatchNormalization", "x", "w", "w", "w", "w"), weights=[floats("w", 7)]),
    "choices within choices": lambda: flat(deep(20), weights=[CHOICE]),
    "a loop that doubles": lambda: flat(loop(), weights=[ints("many", HUGE), YES]),
    "a function that calls itself": lambda: changed(_recursive),
    "no outputs": lambda: changed(lambda model: model.graph.ClearField("output")),
    "many outputs": lambda: flat(t("Relu", "x"), outputs=1000),
    "no graph": lambda: changed(lambda model: model.ClearField("graph")),
    "no nodes": lambda: changed(lambda model: model.graph.ClearField("node")),
}  # fmt: skip
