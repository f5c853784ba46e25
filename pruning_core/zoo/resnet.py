"""Residual networks for small images.

Source: K. He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2. Parameter names follow the
habit of most published CIFAR checkpoints (conv1, bn1, layer1.0.conv1, layer2.0.shortcut.0, linear), so that those load.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

Shortcut = Literal["pad", "projection"]
Shapes = Mapping[str, tuple[int, ...]]
USUAL_WIDTHS = ((16, 32, 64), (64, 128, 256, 512))  # of the paper, and of the networks for large images


class PadShortcut(nn.Module):
    """Option A of the paper: every second pixel, and zeros for the channels that are new. No parameters."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (channels_out - channels_in) // 2
        self.after = channels_out - channels_in - self.before

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)"""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around ``inner`` channels, and a shortcut around both."""

    def __init__(self, channels_in: int, inner: int, channels_out: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, inner, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            if shortcut == "pad":
                self.shortcut = PadShortcut(channels_in, channels_out, stride)
            else:
                projection = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
                self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class CifarResNet(nn.Module):
    """Stages of residual blocks; each stage after the first halves the image.

    blocks, widths: per stage; inner: channels between the two convolutions, per block (the stage's width unless given).
    """

    def __init__(
        self,
        blocks: Sequence[int],
        widths: Sequence[int] = (16, 32, 64),
        shortcut: Shortcut = "projection",
        inner: Sequence[int] = (),
        num_classes: int = 10,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.stages = len(blocks)
        inner_of = iter(inner or [width for count, width in zip(blocks, widths, strict=True) for _ in range(count)])
        channels = widths[0]
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            layers = []
            for block in range(count):
                stride = 2 if stage and not block else 1
                layers.append(ResidualBlock(channels, next(inner_of), width, stride, shortcut))
                channels = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)"""
        out = F.relu(self.bn1(self.conv1(x)))
        for stage in range(self.stages):
            out = self.get_submodule(f"layer{stage + 1}")(out)
        return self.linear(out.mean((2, 3)))

    @staticmethod
    def infer(shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give a network with these parameter shapes, or None when it is of another kind."""
        if not {"conv1.weight", "linear.weight"} <= shapes.keys() or len(shapes["conv1.weight"]) != 4:
            return None
        found = [re.fullmatch(r"layer(\d+)\.(\d+)\.conv1\.weight", key) for key in shapes]
        places = sorted((int(m[1]), int(m[2])) for m in found if m)
        counted = Counter(stage for stage, _ in places)
        stages = [counted[number] for number in range(1, len(places) + 1) if counted[number]]
        if not stages or any(f"layer{s}.{b}.conv2.weight" not in shapes for s, b in places):
            return None
        widths = tuple(shapes[f"layer{stage}.0.conv2.weight"][0] for stage in range(1, len(stages) + 1))
        inner = tuple(shapes[f"layer{stage}.{block}.conv1.weight"][0] for stage, block in places)
        usual = tuple(width for blocks, width in zip(stages, widths, strict=True) for _ in range(blocks))
        projected = any(".shortcut." in key for key in shapes)
        return {
            "blocks": tuple(stages),
            "widths": widths,
            "shortcut": "projection" if projected or len(stages) == 1 else "pad",
            "inner": () if inner == usual else inner,
            "num_classes": shapes["linear.weight"][0],
            "in_channels": shapes["conv1.weight"][1],
        }

    @staticmethod
    def unclear(options: Mapping[str, Any]) -> str:
        """Zeros go half before and half after the channels only in a network that was made with its widths."""
        if options["shortcut"] != "pad" or tuple(options["widths"]) in USUAL_WIDTHS:
            return ""
        widths = "/".join(str(width) for width in options["widths"])
        return (
            f"These are weights of a ResNet whose shortcuts fill up with zeros, and its widths ({widths}) are not the "
            "usual ones. Where the zeros go is written nowhere in weights, and after a removal it is not half on each "
            "side: with a wrong guess the network would load and compute something else."
        )

    @staticmethod
    def describe(options: Mapping[str, Any]) -> str:
        """A title for the network that ``options`` give."""
        depth = 2 * sum(options["blocks"]) + 2
        widths = "/".join(str(width) for width in options["widths"])
        return f"ResNet-{depth} ({widths} channels, {options['shortcut']} shortcuts)"
