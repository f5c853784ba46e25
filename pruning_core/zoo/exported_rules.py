"""What the graph of an uploaded exported program may say.

``torch.export.load`` trusts its file: names in the graph become Python source that is compiled, size expressions are
evaluated, operators are looked up by attribute, guards are executed, and constants are unpickled. So every string of
the graph is judged here before torch sees it, and what is not needed to run the network is left out.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable
from typing import Any

from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.programs.operators import DRAWS, OPERATORS
from pruning_core.zoo.programs.watch import MOST_STEPS

MOST_RESULTS = 64  # a classifier gives one, and networks with some more say so in a sentence of their own

WORD = re.compile(r"[\w.\-]{0,400}", re.ASCII)
DOTTED = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
PLAIN_TEXT = re.compile(r"[\w .,:>\-]{0,200}", re.ASCII)
ATEN = re.compile(r"torch\.ops\.aten\.([a-z_][a-z0-9_]*)\.([A-Za-z0-9_]+)", re.ASCII | re.IGNORECASE)
PLAIN_OPERATORS = re.compile(
    r"_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|eq|ne|lt|le|gt|ge|and_|or_|pos)"
    r"|torch\.sym_(max|min|int|float|not|ite|sum)|math\.(ceil|floor|trunc|sqrt)",
    re.ASCII,
)
# Sizes are written as constructor calls, as in Add(Symbol('s0', positive=True, integer=True), Integer(1)).
SYMBOL = re.compile(r"Symbol\('[a-z]{1,3}\d{1,6}'(, [a-z]{1,20}=True){0,4}\)|\b[a-z]{1,3}\d{1,6}\b", re.ASCII)
POWER = re.compile(r"Pow\(X, Integer\(-?\d\)\)", re.ASCII)  # a tower of powers would be computed to the end
FUNCTIONS = frozenset({
    "Add", "And", "CeilDiv", "CeilToInt", "CleanDiv", "Eq", "FloatTrueDiv", "FloorDiv", "FloorToInt", "Ge", "Gt",
    "Identity", "IntTrueDiv", "Integer", "Le", "Lt", "Max", "Min", "Mod", "ModularIndexing", "Mul", "Ne", "Not", "Or",
    "PythonMod", "Rational", "RoundToInt", "ToFloat", "TruncToFloat", "TruncToInt", "Where", "X",
})  # fmt: skip
EXPRESSION = re.compile(r"[A-Za-z0-9_ +\-(),]{1,1000}", re.ASCII)
CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None)
UNNEEDED: dict[str, Any] = {"metadata": {}, "guards_code": [], "treespec_namedtuple_fields": {}}


def cleaned(program: Any) -> Any:
    """A copy of the parsed graph without what is not needed to run it.

    Raises UserError naming the first thing that a network's graph has no business saying.
    """
    if not isinstance(program, dict) or not isinstance(program.get("graph_module"), dict):
        raise UserError("This exported program has no graph. Export it again with torch.export.save.")
    modules = program["graph_module"].get("module_call_graph")
    if not isinstance(modules, list) or not modules:
        raise UserError("This exported program does not say how it is called. Export it again with torch.export.save.")
    graph = program["graph_module"].get("graph")
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    if not isinstance(nodes, list):
        raise UserError("This exported program has no graph. Export it again with torch.export.save.")
    if len(nodes) > MOST_STEPS:
        raise UserError(f"This exported program has {len(nodes):,} operators; at most {MOST_STEPS:,} are read.")
    results = graph.get("outputs")
    if not isinstance(results, list) or len(results) > MOST_RESULTS:
        raise UserError("This exported program gives no results, or far too many. Export a classifier: it gives one.")
    whole = {**program, "graph_module": {**program["graph_module"], "module_call_graph": modules[:1]}}
    try:
        result: Any = _walk(whole, "")
    except RecursionError as error:
        raise UserError("This exported program is nested too deeply to be one. It was not loaded.") from error
    return result


def _walk(value: Any, key: str) -> Any:
    if key in UNNEEDED:
        return UNNEEDED[key]
    if key in ("device", "as_device") and isinstance(value, dict):
        return {"type": "cpu", "index": None}  # wherever it was exported, it runs here
    if isinstance(value, dict):
        names_values = key in ("tensor_values", "sym_int_values", "sym_float_values", "sym_bool_values")
        for inner in value:
            _judge(inner, "name" if names_values else "")
        return {inner: _walk(item, inner) for inner, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, key) for item in value]
    if isinstance(value, str):
        _judge(value, key)
    elif key in ("as_graph", "as_custom_obj", "custom_obj", "as_operator") and value is not None:
        raise UserError("This exported program holds custom objects or nested graphs, which cannot be read safely.")
    return value


def _judge(text: str, key: str) -> None:
    judge = JUDGES.get(key)
    if not (judge(text) if judge else WORD.fullmatch(text)):
        found = ATEN.fullmatch(text) if key == "target" else None
        if found is not None and found[1] in DRAWS:
            raise UserError(
                f"This exported program draws random numbers ({clip(text)}): it was exported in training mode. Call "
                "model.eval() and export it again."
            )
        what = "the operator" if key == "target" else "the text"
        raise UserError(
            f"This exported program holds {what} {quoted(text)}, which a network's graph does not need. It was not "
            "loaded. Export the network again from layers and operators of torch itself."
        )


def _is_name(text: str) -> bool:
    return text == "" or (text.isascii() and text.isidentifier() and not keyword.iskeyword(text))


def _is_operator(text: str) -> bool:
    found = ATEN.fullmatch(text)
    if found is None:
        return bool(PLAIN_OPERATORS.fullmatch(text))
    return f"{found[1]}.{found[2]}" in OPERATORS


def _is_expression(text: str) -> bool:
    text = POWER.sub("X", SYMBOL.sub("X", text))
    words = re.findall(r"[A-Za-z_]\w*", text)
    return bool(EXPRESSION.fullmatch(text)) and not re.search(r"\d{16}", text) and set(words) <= FUNCTIONS


def _is_structure(text: str) -> bool:
    """How arguments and results are nested: plain containers only."""
    try:
        version, tree = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return False
    return isinstance(version, int) and _is_tree(tree, depth=0)


def _is_tree(node: Any, depth: int) -> bool:
    if not isinstance(node, dict) or set(node) != {"type", "context", "children_spec"} or depth > 20:
        return False
    context, children = node["context"], node["children_spec"]
    plain = context is None or (isinstance(context, str) and re.fullmatch(r'[\w \[\]",.]{0,2000}', context, re.ASCII))
    return node["type"] in CONTAINERS and bool(plain) and all(_is_tree(child, depth + 1) for child in children)


JUDGES: dict[str, Callable[[str], Any]] = {
    "name": _is_name,
    "as_name": _is_name,
    "forward_arg_names": _is_name,
    "user_input_name": _is_name,
    "parameter_name": DOTTED.fullmatch,
    "buffer_name": DOTTED.fullmatch,
    "tensor_constant_name": DOTTED.fullmatch,
    "target": _is_operator,
    "expr_str": _is_expression,
    "in_spec": _is_structure,
    "out_spec": _is_structure,
    "as_string": PLAIN_TEXT.fullmatch,
    "as_strings": PLAIN_TEXT.fullmatch,
    "torch_version": re.compile(r"[\w.+\-]{0,80}", re.ASCII).fullmatch,
}
