"""The floors of the house: each room may import those below it, never those beside or above it, and nothing in circles.

One table says where every room stands; ``docs/architecture.md`` says why.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the top down. Rooms on one floor do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("app",),
    ("pages",),
    ("pages.ui", "tools"),
    ("apart",),
    ("export",),
    ("studies",),
    ("methods",),
    ("analysis",),
    ("criteria", "mending", "replay", "training", "runs"),
    ("probe", "measuring", "sparsity", "zoo"),
    ("allocation", "datasets", "isolation"),
    ("graph", "storage"),
    ("taxonomy", "numeric"),
    ("knobs",),
    ("errors", "work"),
)
# Inside the graph: the same rule between its rooms; "" is what lies directly in graph/.
GRAPH: tuple[tuple[str, ...], ...] = (("removing",), ("capturing",), ("labelling",), ("",))
FRONT = {"pruning_core.graph", "pruning_core.graph.labelling.rules"}  # packages whose __init__ only hands on


def modules() -> dict[str, Path]:
    files = [ROOT / "app.py", *(f for top in ("pages", "pruning_core", "tools") for f in (ROOT / top).rglob("*.py"))]
    named = {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}
    return dict(sorted(named.items()))


def imports(source: str, known: Iterable[str]) -> set[str]:
    """The project's modules that ``source`` names in an import, wherever in the file it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part for part in parts if part in known} or {node.module}
    return {name for name in found if name in known}


def room(module: str) -> str:
    top, _, rest = module.partition(".")
    if top == "pruning_core":
        return rest.partition(".")[0]
    return "pages.ui" if module.startswith("pages.ui") else top


def graph_room(module: str) -> str:
    inside = module.removeprefix("pruning_core.graph").lstrip(".").split(".")
    return inside[0] if len(inside) > 1 or inside[0] in {r for floor in GRAPH for r in floor} else ""


def height(name: str, floors: tuple[tuple[str, ...], ...]) -> int:
    return next(len(floors) - n for n, rooms in enumerate(floors) if name in rooms)


def wrong(arrows: dict[str, set[str]]) -> list[str]:
    """Every import that does not go down."""
    found = []
    for module, targets in arrows.items():
        for target in sorted(targets):
            here, there = room(module), room(target)
            if not there or not here:
                continue  # the package itself: its version, nothing else
            if here == there == "graph" and not FRONT & {module, target}:
                here, there, floors = graph_room(module), graph_room(target), GRAPH
            elif here == there == "pages":
                here, there, floors = module.split(".")[1], target.split(".")[1], ()
            else:
                floors = FLOORS
            if here != there and (not floors or height(there, floors) >= height(here, floors)):
                found.append(f"{module} -> {target}")
    return found


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """One circle of imports, if there is any; what a package's front hands on is no circle."""
    try:
        graphlib.TopologicalSorter({m: t - {m} for m, t in arrows.items() if m not in FRONT}).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path.read_text(encoding="utf-8"), known) for name, path in known.items()}


def test_every_room_has_a_floor(arrows: dict[str, set[str]]) -> None:
    placed = {name for floor in FLOORS for name in floor}
    assert {room(module) for module in arrows} - {""} == placed


def test_every_import_goes_down(arrows: dict[str, set[str]]) -> None:
    assert wrong(arrows) == []


def test_there_is_no_circle(arrows: dict[str, set[str]]) -> None:
    assert circle(arrows) == []


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("pruning_core.zoo.load", "pruning_core.runs.jobs"),
        ("pruning_core.probe.site", "pruning_core.measuring.evaluate"),  # beside it
        ("pruning_core.graph.labelling.labels", "pruning_core.graph.removing.proof"),
        ("pages.model.page", "pages.whatif.live"),
        ("pages.ui.state", "pages.model.page"),
        ("pruning_core.export.recipe", "tools.recipe"),
    ],
)
def test_an_arrow_up_or_beside_is_found(arrows: dict[str, set[str]], module: str, target: str) -> None:
    changed = {**arrows, module: arrows[module] | {target}}
    assert wrong(changed) == [f"{module} -> {target}"]


def test_a_circle_is_found(arrows: dict[str, set[str]]) -> None:
    emitter, emission = "pruning_core.graph.removing.emitter", "pruning_core.graph.removing.emission"
    assert circle({**arrows, emitter: arrows[emitter] | {emission}})


@pytest.mark.parametrize("path", [p for n, p in modules().items() if n.startswith(("pruning_core", "tools"))], ids=str)
def test_files_of_the_core_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350
