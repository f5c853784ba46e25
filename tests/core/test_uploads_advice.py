"""The line that refusals recommend for a whole network is one line, and what it writes takes any number of images."""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning_core.errors import UserError
from pruning_core.zoo import advice, import_model, recognise, stand_ins
from pruning_core.zoo.stand_ins import Name

ROOT = Path(__file__).parents[2]
EXPORTING = "torch.export.export(model"


def sentences(source: str) -> list[str]:
    """Text in a module's code, as it would be printed; what stands in documentation alone is not printed."""
    tree = ast.parse(source)
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.value for node in found if id(node) not in documentation]


def test_the_line_is_written_once() -> None:
    sources = {p.stem: p.read_text() for room in ("pruning_core", "pages") for p in (ROOT / room).rglob("*.py")}
    assert len(sources) > 100
    naming = {stem: sentences(text) for stem, text in sources.items() if EXPORTING in text}
    assert [stem for stem, texts in naming.items() if any(EXPORTING in text for text in texts)] == ["advice"]


def test_refusals_print_it(tmp_path: Path) -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").writestr("nothing.txt", "")
    old = io.BytesIO()
    with zipfile.ZipFile(old, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    for file in (empty, old):
        file.seek(0)
        with pytest.raises(UserError) as refused:
            import_model(file, "net.pt2", tmp_path)
        assert advice.EXPORT in str(refused.value)
    assert advice.EXPORT in recognise.WAY_OUT
    assert advice.EXPORT in stand_ins.refusal(Name("models", "models.Net"))


def test_what_it_writes_takes_any_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 5, stride=32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    monkeypatch.chdir(tmp_path)
    exec(advice.EXPORT, {"torch": torch, "model": model})
    with open("model.pt2", "rb") as file:
        loaded = import_model(io.BytesIO(file.read()), "model.pt2", tmp_path)
    assert not any("at a time" in note for note in loaded.notes)
    for count in (1, 2, 5):
        x = torch.randn(count, 3, 224, 224)
        with torch.no_grad():
            assert torch.allclose(loaded.model(x), model(x), atol=1e-5)
