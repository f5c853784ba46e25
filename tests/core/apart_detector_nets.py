"""Detectors whose boxes and scores have an output each, with torchvision's heads or as DETR has it, and pictures with
boxes around what such a network finds."""

from __future__ import annotations

import io
import json

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssd import SSDHead
from torchvision.ops import box_convert

from pruning_core.numeric.box_layout import Form, Layout, Nothing, Says
from tests.core.detector_nets import KINDS, SIDE, block, scenes
from tests.core.test_datasets_uploads import zipped

SSD = Layout(boxes=0, scores=1, form=Form.CORNERS, pixels=True, nothing=Nothing.FIRST)
DETR = Layout(1, 0, pixels=False, says=Says.SOFTMAX, nothing=Nothing.LAST, doubles=False)


class Backbone(nn.Module):
    """48 × 48 -> maps of 12 × 12 and 6 × 6."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(block(3, width, 2), block(width, 2 * width, 2), block(2 * width, 2 * width))
        self.deep = nn.Sequential(block(2 * width, 2 * width, 2), block(2 * width, 2 * width))

    def forward(self, x: Tensor) -> list[Tensor]:
        fine = self.stem(x)
        return [fine, self.deep(fine)]


class SingleShot(nn.Module):
    """SSD with torchvision's head: boxes as corners in pixels (N, A, 4) and probabilities (N, A, 1 + 3), the first that
    nothing is there; or, with ``decoded`` False, the head's own offsets and scores."""

    def __init__(self, width: int = 8, decoded: bool = True) -> None:
        super().__init__()
        self.decoded, self.body = decoded, Backbone(width)
        anchors = AnchorGenerator(((10.0, 16.0), (14.0, 20.0)), ((1.0,), (1.0,)))
        self.head = SSDHead([2 * width, 2 * width], anchors.num_anchors_per_location(), 1 + len(KINDS))
        images = ImageList(torch.zeros(1, 3, SIDE, SIDE), [(SIDE, SIDE)])
        (corners,) = anchors(images, [torch.zeros(1, 1, 12, 12), torch.zeros(1, 1, 6, 6)])
        self.register_buffer("anchors", box_convert(corners, "xyxy", "cxcywh"))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = self.head(self.body(x))
        offsets, logits = found["bbox_regression"], found["cls_logits"]
        if not self.decoded:
            return {"locations": offsets, "confidences": logits}
        centres = self.anchors[:, :2] + offsets[..., :2] / 10 * self.anchors[:, 2:]
        halves = self.anchors[:, 2:] * (offsets[..., 2:] / 5).exp() / 2
        return {"boxes": torch.cat([centres - halves, centres + halves], 2), "scores": logits.softmax(2)}


class Queries(nn.Module):
    """As DETR: queries look at an encoded map, and each gives scores with one for nothing, and a box."""

    def __init__(self, width: int = 8, queries: int = 12) -> None:
        super().__init__()
        wide = 2 * width
        self.body, self.project = Backbone(width), nn.Conv2d(wide, wide, 1)
        self.places = nn.Parameter(0.5 * torch.randn(36, wide))
        self.queries = nn.Parameter(torch.randn(queries, wide))
        self.encoder = nn.TransformerEncoderLayer(wide, 2, 2 * wide, 0.0, batch_first=True)
        self.decoder = nn.TransformerDecoderLayer(wide, 2, 2 * wide, 0.0, batch_first=True)
        self.classes = nn.Linear(wide, len(KINDS) + 1)
        self.boxes = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, 4))
        y, x = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij")
        points = torch.stack([(x.flatten() + 0.5) / 4, (y.flatten() + 0.5) / 3], 1)[:queries]
        self.register_buffer("around", torch.cat([points, torch.full_like(points, 0.3)], 1).logit())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        seen = self.project(self.body(x)[1]).flatten(2).transpose(1, 2) + self.places
        asked = self.queries.unsqueeze(0).expand(x.shape[0], -1, -1)
        found = self.decoder(asked, self.encoder(seen))
        return {"pred_logits": self.classes(found), "pred_boxes": (self.boxes(found) + self.around).sigmoid()}


class Split(nn.Module):
    """The boxes and scores of a network that gives both in one output, (N, numbers, candidates)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        rows = self.network(x).transpose(1, 2)
        return {"boxes": rows[..., :4], "scores": rows[..., 4:]}


class Final(nn.Module):
    """The best twenty of another one, each with the number of its class: no score for the others is left."""

    def __init__(self, network: nn.Module, best: int = 20) -> None:
        super().__init__()
        self.network, self.best = network, best

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = self.network(x)
        scores, labels = found["scores"][..., 1:].max(2)
        scores, at = scores.topk(self.best, 1)
        boxes = found["boxes"].gather(1, at.unsqueeze(2).expand(-1, -1, 4))
        return {"labels": labels.gather(1, at), "boxes": boxes, "scores": scores}


class Headed(nn.Module):
    """torchvision's head of RetinaNet or FCOS on one map, as it is: nothing decodes what it gives."""

    def __init__(self, head: type[nn.Module], width: int = 8) -> None:
        super().__init__()
        self.body = Backbone(width)
        self.head = head(32, 1, len(KINDS), **({"num_convs": 1} if head is FCOSHead else {}))
        self.wide = nn.Conv2d(2 * width, 32, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.head([F.relu(self.wide(self.body(x)[0]))])


HEADS = (RetinaNetHead, FCOSHead)


def made(network: nn.Module, seed: int = 0) -> nn.Module:
    """With random weights, those of scores larger, so that a network is sure of something; the same ones each time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, 0.0, 1.5 / module.weight[0].numel() ** 0.5)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        if isinstance(network, SingleShot):
            for each in network.head.classification_head.module_list:
                each.bias.data.view(-1, 1 + len(KINDS))[:, 0] += 3  # nearly nothing is anything
        if isinstance(network, Queries):
            network.classes.bias.data[-1] += 4
        with torch.no_grad():
            network.train()(torch.from_numpy(scenes(64)[0]).permute(0, 3, 1, 2) / 255)
    return network.eval()


def found_by(network: nn.Module, pictures: np.ndarray, layout: Layout) -> list[list[tuple[int, list[float]]]]:
    """Of each of (N, 48, 48, 3) uint8 (class, corners in pixels) of the surest three, one for each class; worked out
    here and not by what is to be tested."""
    with torch.no_grad():
        outputs = list(network(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255).values())
    boxes, scores = outputs[layout.boxes], outputs[layout.scores]
    if layout.form is Form.CENTRE:
        boxes = box_convert(boxes, "cxcywh", "xyxy")
    boxes = boxes if layout.pixels else boxes * SIDE
    scores = scores.softmax(2) if layout.says is Says.SOFTMAX else scores
    scores = {Nothing.FIRST: scores[..., 1:], Nothing.LAST: scores[..., :-1]}.get(layout.nothing, scores)
    best = scores.max(1).indices  # (N, classes)
    return [[(kind, boxes[at, each[kind]].tolist()) for kind in range(len(KINDS))] for at, each in enumerate(best)]


def as_zip(network: nn.Module, layout: Layout, count: int = 60, shaken: float = 0.7) -> io.BytesIO:
    """Pictures with COCO's JSON around what ``network`` finds in them, each box ``shaken`` by so many pixels: so that a
    network that was never trained has something to lose."""
    dice = np.random.RandomState(5)
    pictures, _ = scenes(count)
    members, things = {}, []
    for at, (picture, told) in enumerate(zip(pictures, found_by(network, pictures, layout), strict=True)):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        members[f"images/{at:04}.png"] = file.getvalue()
        for kind, corners in told:
            x1, y1, x2, y2 = np.clip(np.array(corners) + dice.normal(0, shaken, 4), 0, SIDE)
            if x2 - x1 >= 1 and y2 - y1 >= 1:
                things.append({"id": len(things) + 1, "image_id": at, "category_id": 10 * (kind + 1), "iscrowd": 0,
                               "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)})  # fmt: skip
    text = {
        "images": [{"id": at, "file_name": f"{at:04}.png", "width": SIDE, "height": SIDE} for at in range(count)],
        "annotations": things,
        "categories": [{"id": 10 * (kind + 1), "name": name} for kind, name in enumerate(KINDS)],
    }
    return zipped(members | {"instances.json": json.dumps(text).encode()})
