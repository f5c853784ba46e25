"""The walls of the house: who may import whom."""

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "pages").rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [p for p in PAGES if p.parent.name == "ui"], ids=label)
def test_what_pages_share_knows_no_page(path):
    assert not {name for name in imported(path) if name.startswith("pages.") and not name.startswith("pages.ui")}


@pytest.mark.parametrize("path", [p for p in PAGES if p.name == "charts.py"], ids=label)
def test_charts_know_no_streamlit(path):
    assert not {name for name in imported(path) if name.split(".")[0] == "streamlit"}


@pytest.mark.parametrize("path", sorted((ROOT / "pruning_core").rglob("*.py")), ids=label)
def test_the_core_knows_neither_streamlit_nor_plotly_nor_pages(path):
    assert not {name for name in imported(path) if name.split(".")[0] in {"streamlit", "plotly", "pages"}}


def test_pages_stand_in_folders_of_their_own():
    """A script directly in `pages/` would bring back Streamlit's old style of pages."""
    assert not list((ROOT / "pages").glob("*.py"))


@pytest.mark.parametrize("path", [ROOT / "app.py", *PAGES], ids=label)
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def listed() -> set[str]:
    texts = [
        (ROOT / name).read_text()
        for name in ("requirements.txt", "requirements-cluster.txt", "requirements-huggingface.txt")
    ]
    lines = [line for text in texts for line in text.splitlines()]
    return {line.split("==")[0].lower() for line in lines if line and not line.startswith(("#", "-r "))}


def test_every_library_the_product_imports_is_pinned():
    """Also what comes along with another library today: it may stay away tomorrow."""
    files = [ROOT / "app.py", *PAGES, *(ROOT / "pruning_core").rglob("*.py")]
    used = {name.split(".")[0] for path in files for name in imported(path)}
    used -= set(sys.stdlib_module_names) | {"pruning_core", "pages", "starlette"}  # starlette is streamlit's own server
    known = packages_distributions()
    missing = {name for name in used if not {each.lower() for each in known.get(name, [name])} & listed()}
    assert not missing
