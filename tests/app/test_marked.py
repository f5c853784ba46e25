"""Every text that a page draws is marked, so that it can be translated."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARKS = {"_", "N_", "said", "ngettext"}
# What draws its first argument, whatever object it is called on.
DRAWING = {
    "title", "header", "subheader", "markdown", "caption", "write", "info", "warning", "error", "success", "toast",
    "spinner", "button", "download_button", "link_button", "toggle", "checkbox", "selectbox",
    "multiselect", "segmented_control", "pills", "radio", "slider", "select_slider", "number_input", "text_input",
    "text_area", "file_uploader", "popover", "expander", "tabs", "metric", "number", "pending", "source_line",
    "TextColumn", "NumberColumn", "LinkColumn", "ProgressColumn", "blank", "bars", "points",
}  # fmt: skip
TEXTS = {"help", "placeholder", "label", "alt", "x_title", "y_title", "detail", "note"}
OWN = {
    "PruneScope",
    "PCA",
    "SNE",
    "HTML",
    "JSON",
    "CSV",
    "ONNX",
    "LaTeX",
    "YAML",
    "Language",
}  # the same in every language
# Icons and colours of Markdown, tags, places, code.
ASIDE = re.compile(r":material/\w+:|:[\w-]+\[|</?\w[^>]*>|%\{[^}]*\}|\{[^}]*\}|`[^`]*`|&\w+;|https?://\S+")


def bare(node: ast.AST) -> Iterator[str]:
    """The words that a drawn expression writes itself."""
    match node:
        case ast.Constant(value=str(text)):
            if set(re.findall(r"[A-Za-z]{3,}", ASIDE.sub(" ", text))) - OWN:
                yield text
        case ast.JoinedStr(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.BoolOp(values=parts):
            for part in parts:
                yield from bare(part)
        case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
            yield from bare(left)
            yield from bare(right)
        case ast.Call(func=ast.Attribute(value=value, attr="format" | "strip")):
            yield from bare(value)
        case ast.FormattedValue(value=ast.IfExp() | ast.Constant() as value):
            yield from bare(value)


def unmarked(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        drawn = [each.value for each in node.keywords if each.arg in TEXTS]
        if name in DRAWING and isinstance(node.func, ast.Attribute):
            drawn += node.args[:1]
        to_the_log = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in {"LOG", "log"}
        if name not in MARKS and not to_the_log:
            found += [f"{node.lineno}: {text}" for each in drawn for text in bare(each)]
    return found


def folders() -> list[Path]:
    return sorted(path for path in (ROOT / "pages").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", folders(), ids=lambda path: path.name)
def test_every_drawn_text_is_marked(folder):
    found = [
        f"{path.relative_to(ROOT)}:{text}"
        for path in sorted(folder.rglob("*.py"))
        for text in unmarked(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_what_counts_as_unmarked():
    assert unmarked('st.caption("some words")')
    assert unmarked('place.button(f"Take {n}", help=_("marked"))')
    assert unmarked('charts.blank(_("marked"), x_title="Channels")')
    assert unmarked('st.markdown("a sentence with {n}".format(n=1))')
    assert unmarked('st.tabs([_("One"), "Two"])')
    assert not unmarked('st.caption(_("some words"))')
    assert not unmarked('st.markdown(f":gray[{_(title)}] **{name}** :material/check:")')
    assert not unmarked('st.button(said(label), key="some.key")')
