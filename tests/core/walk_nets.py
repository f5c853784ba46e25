"""One small network of every task, with the data that go with it, as files that people send."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.interface_nets import Decoder, Siamese, WideAndDeep
from tests.core.task_nets import Bell, Enlarger, Landmarks, Painter, archive, pictures
from tests.core.test_datasets_sounds import tone, wav
from tests.core.test_datasets_uploads import zipped

DICE = np.random.default_rng(3)
TOWNS, KINDS = [f"town {at:02}" for at in range(40)], [f"kind {at}" for at in range(9)]


class Keywords(nn.Module):
    """Convolutions over a recording, a GRU over what they make of it, scores of two words."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(1, 8, 64, 32), nn.Conv1d(8, 12, 8, 8)
        self.memory, self.head = nn.GRU(12, 10, batch_first=True), nn.Linear(10, 2)

    def forward(self, sound: Tensor) -> Tensor:
        x = F.relu(self.second(F.relu(self.first(sound)))).transpose(1, 2)
        return self.head(self.memory(x)[0][:, -1])


class Volumes(nn.Module):
    """A U-Net of two levels in three dimensions: scores of three classes at every place."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv3d(1, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv3d(width, 2 * width, 3, padding=1), nn.BatchNorm3d(2 * width), nn.ReLU())
        self.up, self.head = nn.ConvTranspose3d(2 * width, width, 2, 2), nn.Conv3d(2 * width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.down(x)
        return self.head(torch.cat([left, self.up(self.deep(F.max_pool3d(left, 2)))], 1))


@dataclass(frozen=True)
class Walk:
    """``network``: its class; ``inputs``: one example of each, without the batch; ``data``: the name and bytes of the
    file; ``chosen``: what is said on Load beside it; ``form``: how the network is sent; ``plain``: pixels go in as they
    are, from 0 to 1."""

    task: str
    network: Callable[[], nn.Module]
    inputs: tuple[Tensor, ...]
    data: Callable[[], tuple[str, io.BytesIO]]
    measure: str
    called: str
    chosen: dict[str, Any] = field(default_factory=dict)
    form: str = "pt2"
    names: Sequence[str] = ()
    plain: bool = False
    size: tuple[int, int, int] | None = None

    def made(self, seed: int = 0) -> nn.Module:
        """With random weights, and statistics of what goes in."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = self.network()
            if any(isinstance(each, nn.modules.batchnorm._BatchNorm) for each in network.modules()):
                with torch.no_grad():
                    network.train()(*(torch.rand(16, *each.shape) for each in self.inputs))
            return network.eval()

    def sent(self) -> io.BytesIO:
        """The network's file, for any number of examples."""
        given = tuple(each.expand(2, *each.shape) for each in self.inputs)
        batch = torch.export.Dim("batch", min=1, max=4096)
        shapes = tuple({0: batch} for _ in given)
        if self.form == "onnx":
            written = torch.onnx.export(
                self.made(), given, dynamo=True, dynamic_shapes=shapes, input_names=list(self.names), verbose=False
            )
            assert written is not None
            return io.BytesIO(written.model_proto.SerializeToString())
        file = io.BytesIO()
        torch.export.save(torch.export.export(self.made(), given, dynamic_shapes=shapes), file)
        file.seek(0)
        return file


def _marks() -> tuple[str, io.BytesIO]:
    images = pictures(80)
    return "faces.npz", archive(images=images, labels=images.reshape(80, -1)[:, :10].astype(np.float32) / 255)


def _bell() -> tuple[str, io.BytesIO]:
    images = pictures(80)
    high = images.reshape(80, -1).mean(1)
    return "rings.npz", archive(images=images, labels=(high > np.median(high)).astype(np.int64))


def _tags() -> tuple[str, io.BytesIO]:
    images = pictures(80)
    return "tags.npz", archive(images=images, labels=(images.reshape(80, -1)[:, :10] > 127).astype(np.int64))


def _pairs() -> tuple[str, io.BytesIO]:
    left, right = (DICE.random((80, 1, 12, 12), np.float32) for _ in range(2))
    apart = np.square(left - right).mean((1, 2, 3)).astype(np.float32)
    return "pairs.npz", archive(**{"inputs/left": left, "inputs/right": right, "labels": apart})


def _words() -> tuple[str, io.BytesIO]:
    members = {
        f"words/{word}/{at}.wav": wav((32767 * tone(8000, hertz + 5 * at, 0.25)).astype(np.int16))
        for word, hertz in (("no", 200), ("yes", 700))
        for at in range(24)
    }
    return "words.zip", zipped(members)


def _volumes() -> tuple[str, io.BytesIO]:
    rough = torch.from_numpy(DICE.random((40, 1, 4, 4, 4), np.float32))
    inputs = F.interpolate(rough, (8, 8, 8), mode="trilinear").numpy()
    return "scans.npz", archive(inputs=inputs, labels=(3 * inputs[:, 0]).astype(np.int64).clip(0, 2))


def _table() -> tuple[str, io.BytesIO]:
    frame = pd.DataFrame(DICE.normal(size=(120, 7)), columns=list("abcdefg"))
    frame["town"] = [TOWNS[at % 40] for at in range(120)]
    frame["kind"] = [KINDS[at % 9] for at in range(120)]
    frame["part"] = ["train"] * 90 + ["test"] * 30
    frame["income"] = frame.a - frame.b + 0.1 * DICE.normal(size=120)
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    file.seek(0)
    return "incomes.parquet", file


def _masks() -> tuple[str, io.BytesIO]:
    images = pictures(60)
    return "scenes.npz", archive(images=images, labels=(images.mean(3) // 64).astype(np.int64))


def _small() -> tuple[str, io.BytesIO]:
    images = pictures(60)
    return "photos.npz", archive(images=images, labels=images.repeat(2, 1).repeat(2, 2))


def _tokens() -> tuple[str, io.BytesIO]:
    text = (np.arange(60)[:, None] * 7 + np.arange(13)[None] * 3) % 50
    return "text.npz", archive(inputs=text[:, :-1], labels=text[:, 1:])


PICTURE = (torch.zeros(3, 16, 16),)
SIZE = (3, 16, 16)
WALKS = (
    Walk("landmarks", Landmarks, PICTURE, _marks, "r2", "image", plain=True, size=SIZE),
    Walk("one logit", Bell, PICTURE, _bell, "auc", "image", plain=True, size=SIZE),
    Walk("several labels", Landmarks, PICTURE, _tags, "auc", "image", plain=True, size=SIZE),
    Walk("pairs of pictures", Siamese, (torch.zeros(1, 12, 12), torch.zeros(1, 12, 12)), _pairs, "r2", "example"),
    Walk("spoken words", Keywords, (torch.zeros(1, 2000),), _words, "top1", "recording", {"samples": 2000}),
    Walk("volumes", Volumes, (torch.zeros(1, 8, 8, 8),), _volumes, "miou", "volume"),
    Walk(
        "a table", WideAndDeep, (torch.zeros(7), torch.tensor(0), torch.tensor(0)), _table, "r2", "row",
        {"target": "income", "part": "part", "coded": True}, "onnx", ("numbers", "town", "kind"),
    ),
    Walk("masks", Painter, PICTURE, _masks, "miou", "image", plain=True, size=SIZE),
    Walk("enlarging", Enlarger, PICTURE, _small, "psnr", "image", plain=True, size=SIZE),
    Walk("text", Decoder, (torch.zeros(12, dtype=torch.long),), _tokens, "positions_right", "sequence"),
)  # fmt: skip
