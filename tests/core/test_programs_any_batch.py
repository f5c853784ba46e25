"""Programs exported with one example take any number of images here, or are run in pieces of as many as they want."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning_core.datasets import DIGITS, load_splits
from pruning_core.graph import Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.zoo import LoadedModel, import_model, load_model
from pruning_core.zoo.programs.any_batch import InPieces
from tests.core.upload_files import exported

pytestmark = pytest.mark.usefixtures("one_thread")


class Rows(nn.Module):
    """Rows of pixels as tokens, a token of its own before them, heads taken apart by written sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.token = nn.Linear(8, 12), nn.Parameter(torch.randn(1, 1, 12))
        self.qkv, self.out, self.head = nn.Linear(12, 36), nn.Linear(12, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        t = self.embed(x.squeeze(1))
        t = torch.cat([self.token.expand(len(x), -1, -1), t], 1)
        q, k, v = self.qkv(t).reshape(len(x), 9, 3, 3, 4).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.head((t + self.out(mixed.transpose(1, 2).reshape(len(x), 9, 12)))[:, 0])


class Windows(nn.Module):
    """Windows of pixels beside the images, and a mask for each window."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix, self.head = nn.Conv2d(1, 6, 1), nn.Linear(6, 6), nn.Linear(6, 10)
        self.mask = nn.Buffer(torch.randn(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        t = self.conv(x).view(len(x), 6, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(len(x) * 4, 16, 6)
        t = self.mix(t).view(len(x), 4, 16, 6) + self.mask.unsqueeze(0)
        t = t.view(len(x) * 4, 16, 6).relu()
        return self.head(t.view(len(x), 64, 6).mean(1))


class Written(nn.Module):
    """The number of images is written into the code itself, and a row for each of them is made."""

    def __init__(self, images: int = 1) -> None:
        super().__init__()
        self.images, self.conv, self.head = images, nn.Conv2d(1, 6, 3, 2), nn.Linear(54, 10)
        self.row = nn.Parameter(torch.randn(1, 54))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.conv(x).relu().view(self.images, 54)
        return self.head(torch.cat([flat, self.row.expand(self.images, 54)], 1)[:, :54] + torch.ones(self.images, 54))


class Among(nn.Module):
    """Every image is seen relative to the others of its batch: for another number of images it is another network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 6, 3, 2), nn.Linear(54, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.conv(x) - 0.5 * self.conv(x).mean(0)).relu().flatten(1))


def brought(model: nn.Module, batch: int, tmp_path: Path) -> LoadedModel:
    return import_model(exported(model.eval(), torch.randn(batch, 1, 8, 8), dynamic=False), "net.pt2", tmp_path)


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("build", [Rows, Windows, Written])
def test_what_one_example_wrote_into_a_program_is_taken_out(tmp_path, build, batch):
    torch.manual_seed(0)
    model = build(batch) if build is Written else build()
    loaded = brought(model, batch, tmp_path)
    assert f"exactly {batch} image(s) at a time; rewritten for any number" in loaded.notes[1]
    x = torch.randn(6, 1, 8, 8)
    with torch.no_grad():
        wanted = torch.cat([model(x[at : at + batch]) for at in range(0, 6, batch)])
        for each in (loaded.model, load_model(loaded.ref, tmp_path).model):
            for count in (1, 5, 6):
                assert torch.allclose(each(x[:count]), wanted[:count], atol=1e-5)
    network = capture(loaded.model, torch.zeros(1, 1, 8, 8))
    plan = Plan({g.key: range(g.size // 3) for g in network.groups if g.exact})
    assert plan and remove(loaded.model, network, plan).proof.max_rel < 1e-4


@pytest.mark.parametrize("batch", [2, 3])
def test_a_network_that_compares_images_runs_in_pieces(tmp_path, batch):
    torch.manual_seed(0)
    model = Among()
    loaded = brought(model, batch, tmp_path)
    assert f"exactly {batch} image(s) at a time, so it runs in pieces" in loaded.notes[1]
    x = torch.randn(7, 1, 8, 8)
    with torch.no_grad():
        short = torch.cat([x[6:], *[x[6 - 6 % batch : 7 - 6 % batch]] * (batch - 1)])[:batch]
        whole = [x[at : at + batch] for at in range(0, 7 - batch + 1, batch)]
        wanted = torch.cat([model(piece) for piece in whole])
        assert short.shape[0] == batch
        for each in (loaded.model, load_model(loaded.ref, tmp_path).model):
            assert torch.allclose(each(x)[: len(wanted)], wanted, atol=1e-5)
            assert len(each(x)) == 7 and len(each(x[:1])) == 1
    assert isinstance(loaded.model, InPieces)
    assert evaluate(loaded.model, load_splits(DIGITS)[1]).images > 400
    network = capture(loaded.model, torch.zeros(1, 1, 8, 8))
    assert remove(loaded.model, network, Plan({network.groups[0].key: [0, 1]})).proof.max_rel < 1e-4
