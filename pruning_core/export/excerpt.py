"""A class with all that it reads of its module, and nothing else, as source code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any


def excerpt(target: Callable[..., Any]) -> tuple[tuple[str, ...], str]:
    """The imports that a class needs, and its source together with the definitions of its module that it needs.

    Static methods that nothing else calls are left out, as is the module's docstring. The module must import nothing of
    this project: the excerpt stands alone.
    """
    module = inspect.getmodule(target)
    assert module is not None  # a class has one
    text = inspect.getsource(module)
    tree = ast.parse(text)
    spare = _spare_methods(tree)
    statements = [node for node in tree.body if _defined(node)]
    wanted, before = {target.__name__}, 0
    while len(wanted) > before:
        before = len(wanted)
        for node in statements:
            if wanted & _defined(node):
                wanted |= _read(node, spare)
    lines = text.splitlines()
    blocks = [_source(lines, node, spare, wanted) for node in statements if wanted & _defined(node)]
    imports = tuple(block for block in blocks if block.startswith(("import ", "from ")))
    return imports, "\n\n\n".join(block for block in blocks if block not in imports)


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement of a module gives."""
    match node:
        case ast.ImportFrom(module="__future__"):
            return set()
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {_bound(alias) for alias in names}
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _spare_methods(tree: ast.Module) -> set[ast.AST]:
    """Static methods whose name is never read as an attribute."""
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {
        method
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef)
        and any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in method.decorator_list)
        and method.name not in read
    }


def _read(node: ast.AST, spare: set[ast.AST]) -> set[str]:
    """The names that a statement reads, without its spare methods."""
    found = {node.id} if isinstance(node, ast.Name) else set()
    for part in ast.iter_child_nodes(node):
        if part not in spare:
            found |= _read(part, spare)
    return found


def _source(lines: list[str], node: ast.stmt, spare: set[ast.AST], wanted: set[str]) -> str:
    if isinstance(node, ast.Import | ast.ImportFrom):
        node.names = [alias for alias in node.names if _bound(alias) in wanted]
        return ast.unparse(node)
    gone = {
        number
        for part in ast.walk(node)
        if part in spare and isinstance(part, ast.FunctionDef)
        for number in range(part.decorator_list[0].lineno, (part.end_lineno or part.lineno) + 1)
    }
    kept = [
        lines[number - 1] for number in range(node.lineno, (node.end_lineno or node.lineno) + 1) if number not in gone
    ]
    return "\n".join(kept).rstrip()
