"""An ONNX graph written down in the vocabulary of opset 17, with names that are safe to become Python.

Below opset 9, ONNX's own converter brings it there. From opset 18 on, most new versions of an operator only allow more
types. Those that changed are rewritten below; an operator that did not exist before is spelled out where that is short,
and named in the refusal otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

OPSET, OLDEST = 17, 9  # what onnx2torch knows
STEADY = 13  # where an older file is brought when onnx2torch lacks an old form of an operator
IR = 8
TOLD: dict[str, Any] = {"Cast": {"to": 1}, "CumSum": {"exclusive": 0, "reverse": 0}}  # 1 is ONNX's number of float32
NAMES_OPERATORS = 3  # the format from which on a file must name the version of its operators
KNOWS_OPEN_SIZES = 7  # the operators from which on ONNX's converter needs no sizes
DOMAINS = ("", "ai.onnx")


def version_of(model: ModelProto) -> int:
    """The version of ONNX's operators that a file uses.

    Raises NotImplementedError when it does not say so. Files of the first two formats (2017) cannot: they mean 1.
    """
    named = [opset.version for opset in model.opset_import if opset.domain in DOMAINS]
    if not named and model.ir_version >= NAMES_OPERATORS:
        raise NotImplementedError("it does not name the version of ONNX's operators that it uses")
    return max(named, default=1) or 1


def updated(model: ModelProto, target: int = STEADY) -> ModelProto | None:
    """A copy of ``model`` at opset ``target``, by ONNX's own converter; None when it is there already.

    Raises NotImplementedError when the converter does not know how.
    """
    import onnx
    from onnx import shape_inference, version_converter

    version = version_of(model)
    if version >= target:
        return None
    old = onnx.ModelProto()
    old.CopyFrom(model)
    old.ir_version = max(old.ir_version, IR)
    weights = {tensor.name for tensor in old.graph.initializer}
    images = [value for value in old.graph.input if value.name not in weights]  # old files list weights among them
    del old.graph.input[:]
    old.graph.input.extend(images)
    del old.opset_import[:]
    old.opset_import.append(onnx.helper.make_opsetid("", version))
    try:
        if version < KNOWS_OPEN_SIZES:
            for value in (*old.graph.input, *old.graph.output):
                for dim in value.type.tensor_type.shape.dim[:1]:
                    dim.dim_value = dim.dim_value or 1
            shaped = onnx.ModelProto()
            shaped.CopyFrom(old)
            shaped.opset_import[0].version = target  # the first operators say nothing of their results' shapes
            old.graph.value_info.extend(shape_inference.infer_shapes(shaped).graph.value_info)
        new = version_converter.convert_version(old, target)
    except Exception as error:  # its assertions are C++, and their messages are not for people
        raise NotImplementedError(
            f"it uses version {version} of ONNX's operators, which ONNX's converter cannot bring up to date. Save it "
            "again with version 13 or later"
        ) from error
    for value, given in zip(new.graph.input, images):
        value.CopyFrom(given)
    return new


def lowered(model: ModelProto) -> ModelProto:
    """A copy of ``model`` at opset 17 or below, and at 9 or above.

    Raises NotImplementedError naming an operator that cannot be written so.
    """
    import onnx
    from onnx import defs

    if model.functions:
        raise NotImplementedError("it defines operators of its own")
    out = updated(model, OLDEST) or onnx.ModelProto()
    if not out.graph.node:
        out.CopyFrom(model)
    target = min(version_of(out), OPSET)
    out = _spelled_out(out, target)
    graph = out.graph
    _fold_identities(graph)
    constants = _constants(graph)
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.domain not in DOMAINS:
            raise NotImplementedError(f"the operator {_shown(node.domain)}.{_shown(node.op_type)} is not ONNX's own")
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
            raise NotImplementedError(f"the operator {_shown(node.op_type)} holds a graph of its own")
        rewrite = REWRITES.get(node.op_type)
        nodes += rewrite(node, constants) if rewrite else [node]
    for node in nodes:
        try:
            old = defs.get_schema(node.op_type, target)
        except defs.SchemaError as error:
            why = "is too new" if _exists(node.op_type) else "is none of ONNX's"
            raise NotImplementedError(f"the operator {_shown(node.op_type)} {why}") from error
        extra = [a.name for a in node.attribute if a.name not in old.attributes]
        if extra or len(node.input) > old.max_input:
            raise NotImplementedError(f"the operator {_shown(node.op_type)} is used in a way that is too new")
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # inferred again, for the rewritten nodes
    for tensor in constants.added:
        graph.initializer.append(tensor)
    del out.opset_import[:]
    out.opset_import.append(onnx.helper.make_opsetid("", target))
    out.ir_version = max(out.ir_version, IR)
    _rename(graph)
    return out


def _spelled_out(model: ModelProto, target: int) -> ModelProto:
    """``model`` with operators that are neither converted nor rewritten put down as others, where ONNX defines them so.

    So nobody has to list them: a definition is followed down to operators that are known.
    """
    from onnx import inliner
    from onnx2torch.node_converters.registry import _CONVERTER_REGISTRY as converters

    kept = {each.operation_type for each in converters if _converts(each.operation_type, target)} | set(REWRITES)
    if all(node.op_type in kept for node in model.graph.node):
        return model
    ours = [(domain, operator) for operator in kept for domain in DOMAINS]
    try:
        return inliner.inline_selected_functions(model, ours, exclude=True, inline_schema_functions=True)
    except RuntimeError:  # a definition that asks of what type a weight is; its operator will be refused by name
        return model


def _converts(operator: str, target: int) -> bool:
    """Whether onnx2torch converts ``operator`` as it was in opset ``target``."""
    from onnx2torch.node_converters import registry

    try:
        registry.get_converter(operator, target)
    except NotImplementedError:
        return False
    return True


def _exists(operator: str) -> bool:
    from onnx import defs

    return bool(defs.has(operator))


class Constants(dict[str, np.ndarray]):
    """Values known without running the graph, by name; ``added`` are initialisers that a rewrite needs."""

    def __init__(self, known: dict[str, np.ndarray]) -> None:
        super().__init__(known)
        self.added: list[Any] = []

    def add(self, name: str, value: np.ndarray) -> str:
        """A new initialiser called ``name``; returns the name."""
        from onnx import numpy_helper

        if name not in self:
            self[name] = value
            self.added.append(numpy_helper.from_array(value, name))
        return name


def _constants(graph: GraphProto) -> Constants:
    from onnx import numpy_helper

    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            known[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return Constants(known)


def _fold_identities(graph: GraphProto) -> None:
    """Equal weights are stored once and reached through Identity; the converter wants each weight itself."""
    fixed = {tensor.name for tensor in graph.initializer}
    results = {value.name for value in graph.output}
    source: dict[str, str] = {}
    kept = []
    for node in graph.node:
        node.input[:] = [source.get(name, name) for name in node.input]
        if node.op_type == "Identity" and node.input[0] in fixed and node.output[0] not in results:
            source[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _reduce(node: NodeProto, constants: Constants) -> Iterable[NodeProto]:
    """Opset 18 moved ``axes`` from an attribute to an input."""
    from onnx import helper

    if len(node.input) < 2 or node.op_type == "ReduceSum":
        return [_without(node, "noop_with_empty_axes") if node.op_type != "ReduceSum" else node]
    if node.input[1] not in constants:
        raise NotImplementedError(f"{_shown(node.op_type)} over axes that are computed")
    axes = [int(axis) for axis in constants[node.input[1]].ravel()]
    plain = _without(node, "noop_with_empty_axes")
    del plain.input[1:]
    if axes:
        plain.attribute.append(helper.make_attribute("axes", axes))
    return [plain]


def _reshape(node: NodeProto, constants: Constants) -> Iterable[NodeProto]:
    """``allowzero`` matters only where a size is zero, which no image batch has."""
    shape = constants.get(node.input[1])
    if shape is not None and 0 in shape and any(a.name == "allowzero" and a.i for a in node.attribute):
        raise NotImplementedError("Reshape to an empty tensor")
    return [_without(node, "allowzero")]


def _split(node: NodeProto, constants: Constants) -> Iterable[NodeProto]:
    """``num_outputs`` repeats what the number of outputs says; of one part, onnx2torch makes a tuple."""
    from onnx import helper

    if len(node.output) == 1:
        return [helper.make_node("Identity", node.input[:1], node.output, name=node.name)]
    return [_without(node, "num_outputs")]


def _resize(node: NodeProto, constants: Constants) -> Iterable[NodeProto]:
    """Opset 18 gave names to what was so before: no anti-aliasing, and every side stretched."""
    told = {a.name: a for a in node.attribute}
    stretched = "keep_aspect_ratio_policy" not in told or told["keep_aspect_ratio_policy"].s == b"stretch"
    if ("antialias" in told and told["antialias"].i) or not stretched or "axes" in told:
        return [node]
    return [_without(_without(node, "antialias"), "keep_aspect_ratio_policy")]


def _average_pool(node: NodeProto, constants: Constants) -> Iterable[NodeProto]:
    """Opset 19 added ``dilations``; all ones say nothing."""
    dilated = any(a.name == "dilations" and any(n != 1 for n in a.ints) for a in node.attribute)
    return [node if dilated else _without(node, "dilations")]


def _cumsum(node: NodeProto, constants: Constants) -> Iterable[NodeProto]:
    """What ONNX means where a file says nothing is said, because onnx2torch counts from the end there."""
    from onnx import helper

    said = {a.name for a in node.attribute}
    node.attribute.extend(helper.make_attribute(name, 0) for name in ("exclusive", "reverse") if name not in said)
    return [node]


def _trilu(node: NodeProto, constants: Constants) -> Iterable[NodeProto]:
    """What lies above or below a diagonal becomes 0: places are counted, and compared by row and column.

    Types are not known here; causal masks are of numbers, and another type fails when the network is tried.
    """
    from onnx import helper

    x, *shift = node.input
    if shift and shift[0] and shift[0] not in constants:
        raise NotImplementedError("Trilu along a diagonal that is computed")
    by = int(constants[shift[0]].item()) if shift and shift[0] else 0
    upper = not any(a.name == "upper" and not a.i for a in node.attribute)
    (y,) = node.output
    zero = constants.add("trilu_zero", np.array(0, np.float32))
    rows, columns = (constants.add(f"trilu_{axis}", np.array(axis, np.int64)) for axis in (-2, -1))
    edge = constants.add(f"trilu_by_{by}_{upper}", np.array(by - 1 if upper else by + 1, np.float32))
    kept = ["column", "edge"] if upper else ["edge", "column"]
    steps = [
        ("Equal", [x, x], "all"), ("Cast", ["all"], "ones"), ("CumSum", ["ones", rows], "row"),
        ("CumSum", ["ones", columns], "column"), ("Add", ["row", edge], "edge"), ("Greater", kept, "kept"),
        ("Where", ["kept", x, zero], "end"),
    ]  # fmt: skip
    own = {name: f"{y}_trilu_{name}" for _, _, name in steps} | {"end": y}
    return [
        helper.make_node(
            op, [own.get(i, i) for i in inputs], [own[name]], name=f"{node.name}_trilu_{name}",
            **TOLD.get(op, {}),
        )
        for op, inputs, name in steps
    ]  # fmt: skip


def _without(node: NodeProto, attribute: str) -> NodeProto:
    kept = [a for a in node.attribute if a.name != attribute]
    del node.attribute[:]
    node.attribute.extend(kept)
    return node


def _rename(graph: GraphProto) -> None:
    """Letters, digits and underscores only: names of nodes become names of modules, and those become source code."""
    names: dict[str, str] = {"": ""}

    def safe(name: str) -> str:
        if name not in names:
            words = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:80]
            names[name] = f"v{len(names)}_{words}"
        return names[name]

    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = safe(value.name)
    for number, node in enumerate(graph.node):
        words = re.sub(r"\W+", "_", node.name or node.op_type, flags=re.ASCII).strip("_")[:80]
        node.name = f"{words}_{number}" if words[:1].isalpha() else f"node_{words}_{number}"
        node.domain = ""
        node.input[:] = [safe(name) for name in node.input]
        node.output[:] = [safe(name) for name in node.output]


def _shown(name: str) -> str:
    return re.sub(r"[^\w.]", "?", name)[:60]


Rewrite = Callable[["NodeProto", Constants], "Iterable[NodeProto]"]
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
REWRITES: dict[str, Rewrite] = {
    **{f"Reduce{kind}": _reduce for kind in _REDUCTIONS},
    "Reshape": _reshape,
    "Split": _split,
    "AveragePool": _average_pool,
    "Resize": _resize,
    "CumSum": _cumsum,
    "Trilu": _trilu,
}
