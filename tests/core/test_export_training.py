"""The exported script trains: by itself, and under torchrun, which is the same training by several processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.core.export_nets import Cut, cut, elsewhere, script

IMAGES = 64
MADE = f"""
import torch
from torch import nn
from torch.utils.data import TensorDataset

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3)
        self.next = nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.next(self.stem(x).relu()).relu().mean((2, 3)))

def dataset():
    torch.manual_seed(1)
    return TensorDataset(torch.randn({IMAGES}, 1, 8, 8), torch.randint(3, ({IMAGES},)))
"""


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cut:
    (tmp_path / "made.py").write_text(MADE)
    monkeypatch.syspath_prepend(tmp_path)
    scope: dict[str, type[nn.Module]] = {}
    exec(MADE, scope)
    case = cut(scope["Small"])
    torch.save(case.model.state_dict(), tmp_path / "original.pt")
    (tmp_path / "prune.py").write_text(script(case))
    return case


def trained(folder: Path, out: str, batch: int, *launcher: str) -> tuple[str, dict[str, Tensor]]:
    asked = ["prune.py", "--model", "made.py:Small", "--weights", "original.pt", "--out", out]
    said = elsewhere([*launcher, *asked, "--train", "made.py:dataset", "--epochs", "2", "--batch", str(batch)], folder)
    return said, torch.load(folder / out, weights_only=True)


def test_two_processes_train_as_one_with_twice_the_batch(case: Cut, tmp_path: Path) -> None:
    said, alone = trained(tmp_path, "alone.pt", IMAGES)
    before = case.removal.model.state_dict()
    assert alone.keys() == before.keys() and not any(torch.equal(alone[name], before[name]) for name in before)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    said_both, both = trained(tmp_path, "both.pt", IMAGES // 2, *launcher)
    assert all(torch.allclose(both[name], alone[name], rtol=1e-4, atol=1e-6) for name in alone)
    lines = [line for line in said.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2 and f"of {IMAGES} training images" in lines[0]
    assert [line for line in said_both.splitlines() if line.startswith("epoch")] == lines, "one process speaks, of all"
    assert said_both.count("wrote both.pt") == 1
