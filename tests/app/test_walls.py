"""The walls of the house: who may import whom."""

import ast
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
