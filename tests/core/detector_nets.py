"""A small detector of three scales, coloured shapes on noise to train it on, and both as people send them."""

from __future__ import annotations

import io
import json

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor, nn

from pruning_core.measuring.registry import BY_KEY
from pruning_core.numeric.box_layout import Form, Layout
from pruning_core.numeric.detections import Decoder
from tests.core.test_datasets_uploads import zipped

SIDE, KINDS, STRIDES = 48, ("square", "disc", "cross"), (4, 8, 16)
COLOURS = ((220, 60, 50), (60, 200, 80), (70, 90, 230))
DECODED = Layout(columns=True, form=Form.CENTRE, pixels=True)


def scenes(count: int, seed: int = 0) -> tuple[np.ndarray, list[list[tuple[int, float, float, float, float]]]]:
    """(uint8 (N, 48, 48, 3), of each a list of (kind, x, y, width, height) in pixels): one to three shapes on noise."""
    random = np.random.RandomState(seed)
    pictures, told = np.empty((count, SIDE, SIDE, 3), np.uint8), []
    for at in range(count):
        canvas = Image.fromarray(random.randint(0, 120, (SIDE, SIDE, 3), np.uint8))
        pen, things = ImageDraw.Draw(canvas), []
        for _ in range(random.randint(1, 4)):
            kind, side = random.randint(3), random.randint(8, 20)
            x, y = random.randint(0, SIDE - side, 2)
            fill, whole = COLOURS[kind], (x, y, x + side - 1, y + side - 1)
            third = side // 3
            if kind == 0:
                pen.rectangle(whole, fill)
            elif kind == 1:
                pen.ellipse(whole, fill)
            else:
                pen.rectangle((x + third, y, x + side - 1 - third, y + side - 1), fill)
                pen.rectangle((x, y + third, x + side - 1, y + side - 1 - third), fill)
            things.append((kind, float(x), float(y), float(side), float(side)))
        pictures[at] = np.asarray(canvas)
        told.append(things)
    return pictures, told


def as_zip(count: int, seed: int = 0) -> io.BytesIO:
    """Images with COCO's JSON; categories are numbered 10, 20, 30."""
    pictures, told = scenes(count, seed)
    members, things = {}, []
    for at, (picture, boxes) in enumerate(zip(pictures, told, strict=True)):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        members[f"images/{at:04}.png"] = file.getvalue()
        for kind, *box in boxes:
            things.append({"id": len(things) + 1, "image_id": at, "category_id": 10 * (kind + 1), "bbox": box,
                           "area": box[2] * box[3], "iscrowd": 0})  # fmt: skip
    text = {
        "images": [{"id": at, "file_name": f"{at:04}.png", "width": SIDE, "height": SIDE} for at in range(count)],
        "annotations": things,
        "categories": [{"id": 10 * (kind + 1), "name": name} for kind, name in enumerate(KINDS)],
    }
    return zipped(members | {"instances.json": json.dumps(text).encode()})


def block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.SiLU(inplace=True)
    )


class Spotter(nn.Module):
    """Three scales, the coarser ones enlarged and put beside the finer ones; a head on each, as in the YOLO family.

    Gives (N, 4 + 3, 189) boxes by centre and size in pixels with a probability of each class, or, with ``decoded``
    False, the three grids (N, 7, side, side) as the heads give them.
    """

    def __init__(self, width: int = 12, decoded: bool = True) -> None:
        super().__init__()
        self.decoded = decoded
        self.stem = nn.Sequential(block(3, width, 2), block(width, width, 2))
        self.middle, self.deep = block(width, 2 * width, 2), block(2 * width, 3 * width, 2)
        self.down, self.finest = block(5 * width, 2 * width), block(3 * width, width)
        self.heads = nn.ModuleList(nn.Conv2d(n * width, 4 + len(KINDS), 1) for n in (1, 2, 3))
        cells, strides = [], []
        for stride in STRIDES:
            at = torch.arange(SIDE // stride) + 0.5
            y, x = torch.meshgrid(at, at, indexing="ij")
            cells.append(torch.stack([x, y]).flatten(1))
            strides.append(torch.full((1, x.numel()), float(stride)))
        self.register_buffer("cells", torch.cat(cells, 1))
        self.register_buffer("strides", torch.cat(strides, 1))

    def grids(self, x: Tensor) -> list[Tensor]:
        fine = self.stem(x)
        middle = self.middle(fine)
        deep = self.deep(middle)
        middle = self.down(torch.cat([middle, F.interpolate(deep, scale_factor=2.0)], 1))
        fine = self.finest(torch.cat([fine, F.interpolate(middle, scale_factor=2.0)], 1))
        return [head(each) for head, each in zip(self.heads, (fine, middle, deep))]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        grids = self.grids(x)
        if not self.decoded:
            return tuple(grids)
        flat = torch.cat([each.flatten(2) for each in grids], 2)
        centres = (self.cells + flat[:, :2].tanh()) * self.strides
        sizes = 3 * self.strides * flat[:, 2:4].clamp(-4, 4).exp()
        return torch.cat([centres, sizes, flat[:, 4:].sigmoid()], 1)


def targets(told: list[list[tuple[int, float, float, float, float]]]) -> Tensor:
    """As labels of a data set: (N, 3, 6)."""
    out = torch.full((len(told), 3, 6), 0.0)
    out[..., 4] = -1
    for at, things in enumerate(told):
        for number, (kind, x, y, w, h) in enumerate(things):
            out[at, number] = torch.tensor([x / SIDE, y / SIDE, (x + w) / SIDE, (y + h) / SIDE, kind, 0])
    return out


def trained(epochs: int = 12, count: int = 320, seed: int = 0) -> Spotter:
    """About a minute; the same one each time."""
    pictures, told = scenes(count, seed + 100)
    x, y = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255, targets(told)
    loss = BY_KEY["ap"].read_by(Decoder(DECODED, (SIDE, SIDE), len(KINDS))).loss
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Spotter()
        with torch.no_grad():
            for head in network.heads:
                head.bias[4:] = -4.0  # nearly nothing is anything
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
        steps = epochs * -(-count // 16)
        course = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
        for _ in range(epochs):
            for part in torch.randperm(count).split(16):
                optimizer.zero_grad()
                loss(network(x[part]), y[part]).backward()
                nn.utils.clip_grad_norm_(network.parameters(), 10.0)
                optimizer.step()
                course.step()
    return network.eval()


def as_program(network: nn.Module) -> io.BytesIO:
    """As a ``.pt2`` for any number of images."""
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    file = io.BytesIO()
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3, SIDE, SIDE),), dynamic_shapes=(batch,)), file)
    file.seek(0)
    return file
