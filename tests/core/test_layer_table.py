"""The table of layers: every row is right or says nothing, and the columns add up to the card, through every door."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from pruning_core.graph import Network, Plan, capture
from pruning_core.zoo import DEMOS, load_model


def exported(model: nn.Module, shape: tuple[int, ...], folder: Path) -> Network:
    """Through the door of ``.pt2`` files."""
    from pruning_core.zoo import import_model

    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (torch.randn(2, *shape),), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "net.pt2")
    return capture(import_model(folder / "net.pt2", "net.pt2", folder).model, torch.zeros(1, *shape))


def adds_up(network: Network, plan: Plan | None = None) -> None:
    rows, cost = network.layer_costs(plan), network.cost(plan)
    assert sum(row.macs for row in rows) == cost.macs
    assert sum(row.parameters for row in rows) == cost.parameters
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.shape_in and row.shape_out for row in rows if row.kind != "functional")


def test_an_exported_network_has_the_rows_of_the_network_that_it_was(tmp_path: Path) -> None:
    loaded = load_model(DEMOS[0].ref)
    own = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    door = exported(loaded.model, loaded.input_size, tmp_path)
    adds_up(own)
    adds_up(door)
    plan = Plan({door.groups[1].key: (0, 1)})
    adds_up(door, plan)
    rows = {r.name: (r.shape_in, r.shape_out, r.macs, r.parameters) for r in door.layer_costs() if r.parameters}
    assert rows == {r.name: (r.shape_in, r.shape_out, r.macs, r.parameters) for r in own.layer_costs() if r.parameters}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit_b_32", "swin_t", "shufflenet_v2_x0_5"])
def test_the_columns_add_up(name: str) -> None:
    model = torchvision.models.get_model(name, weights=None).eval()
    size = 224 if name.startswith(("vit", "swin")) else 64
    adds_up(capture(model, torch.zeros(1, 3, size, size)))


def test_attention_counts_its_output_projection_by_name() -> None:
    model = nn.MultiheadAttention(16, 4, batch_first=True).eval()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.attention(x, x, x, need_weights=False)[0]
            return out

    rows = {row.name: row for row in capture(Net().eval(), torch.zeros(1, 5, 16)).layer_costs()}
    assert rows["attention.out_proj"].macs == 5 * 16 * 16
    assert rows["attention"].macs == 5 * 16 * 48 + 2 * 5 * 5 * 16
