"""On a narrow page the words of a control go on in a second line: in a column, Streamlit cuts them off by itself."""

import ast
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "pages"
CUT = {"segmented_control", "pills", "multiselect", "toggle", "popover", "button", "download_button"}
OURS = {"started", "outbox"}  # have buttons of their own; links of the latter wrap by themselves


def calls(path: Path) -> list[ast.Call]:
    found = [each for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(each, ast.Call)]
    return [each for each in found if isinstance(each.func, ast.Attribute) and each.func.attr in CUT]


@pytest.mark.parametrize("path", sorted(PAGES.rglob("*.py")), ids=lambda path: str(path.relative_to(PAGES)))
def test_every_control_may_wrap(path: Path) -> None:
    for call in calls(path):
        assert isinstance(call.func, ast.Attribute)
        owner = call.func.value
        wraps = {each.arg for each in call.keywords} & {"wrap"}
        assert wraps or (isinstance(owner, ast.Name) and owner.id in OURS), f"{path.name}:{call.lineno}"
