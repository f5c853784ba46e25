"""Mended sweeps of networks whose weights are read in other ways: exported programs, attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning_core.analysis.sensitivity import NotMended, sweep
from pruning_core.datasets import DIGITS, Dataset, load_splits
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.measuring.measures import Cell
from pruning_core.mending import Refits, mend
from pruning_core.zoo import DEMOS, import_model, load_model
from tests.core.upload_files import exported

pytestmark = pytest.mark.usefixtures("one_thread")


def swept(model: nn.Module, network: Network, data: Dataset, fit: Tensor) -> tuple[dict[str, Cell], list[NotMended]]:
    """Half of every group removed, mended."""
    scores = {group.key: torch.arange(group.size).float() for group in network.groups}
    refits = Refits(model, network, list(scores), fit, positions=10_000)
    events = list(sweep(model, network, data, scores, (0.5,), device="cpu", refits=refits))
    return {e.group: e for e in events if isinstance(e, Cell)}, [e for e in events if isinstance(e, NotMended)]


def test_an_exported_program_is_mended_as_the_network_that_it_came_from(tmp_path: Path) -> None:
    loaded = load_model(DEMOS[0].ref)
    train, test = load_splits(DIGITS)
    data, fit = test.subset(100, 0), train.normalised(train.images[:48])
    program = import_model(exported(loaded.model, torch.randn(2, *loaded.input_size)), "digits.pt2", tmp_path).model
    found = []
    for model in (loaded.model, program):
        network = capture(model, torch.zeros(1, *loaded.input_size))
        cells, named = swept(model, network, data, fit)
        assert not named and all(cell.mended for cell in cells.values())
        found.append([(cell.top1, cell.lost, cell.gained) for cell in cells.values()])
    assert found[0] == found[1]


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention = nn.Linear(8, 16), nn.MultiheadAttention(16, 4, batch_first=True)
        self.one, self.two, self.head = nn.Linear(16, 32), nn.Linear(32, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        t = self.embed(x.squeeze(1))
        t = t + self.attention(t, t, t, need_weights=False)[0]
        return self.head((t + self.two(self.one(t).relu())).mean(1))


def test_heads_are_mended_and_what_a_fused_call_hides_is_named() -> None:
    torch.manual_seed(0)
    model, generator = Attending().eval(), torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8, generator=generator)
    data = Dataset(images, torch.zeros(200, dtype=torch.long), tuple("0123456789"), (0.5,), (0.3,), "noise")
    inputs, fit = data.normalised(images), torch.randn(90, 1, 8, 8, generator=generator)
    with torch.no_grad():
        data = replace(data, labels=model(inputs).argmax(1))
    network = capture(model, torch.zeros(1, 1, 8, 8))
    cells, named = swept(model, network, data, fit)
    assert [(each.key, each.partly) for each in named] == [("embed", True)]
    assert "in_proj_weight" in named[0].why and "fused call" in named[0].why
    for key in ("attention", "one"):
        plan = Plan({key: range(network.group(key).size // 2)})
        small = remove(mend(model, network, plan, fit, positions=10_000).model, network, plan).model
        with torch.no_grad():
            right = int((small(inputs).argmax(1) == data.labels).sum())
        assert round(200 * cells[key].top1) == right and cells[key].mended
