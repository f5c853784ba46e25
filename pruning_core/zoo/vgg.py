"""VGG networks with batch normalisation for small images.

Source: K. Simonyan, A. Zisserman, Very Deep Convolutional Networks, ICLR 2015; batch normalisation and the short
classifier as is usual for CIFAR. Parameter names (features.N, classifier) are those of published checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]
POOL = 0
"""Stands in a plan of widths for a pooling layer."""

VGG11 = (64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL)
VGG16 = (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL)
VGG19 = (64, 64, POOL, 128, 128, POOL, *(256,) * 4, POOL, *(512,) * 4, POOL, *(512,) * 4, POOL)


class VggBn(nn.Module):
    """Convolution, batch norm, ReLU for each width of ``plan``, halving the image at each POOL; then the classifier.

    hidden: widths of hidden layers of the classifier; bias: whether convolutions have one, as most checkpoints do.
    """

    def __init__(
        self,
        plan: Sequence[int],
        hidden: Sequence[int] = (),
        bias: bool = True,
        num_classes: int = 10,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width in plan:
            if width == POOL:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=bias), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*layers)
        head: list[nn.Module] = []
        for width in hidden:
            head += [nn.Linear(channels, width), nn.ReLU(), nn.Dropout()]
            channels = width
        last = nn.Linear(channels, num_classes)
        self.classifier = nn.Sequential(*head, last) if head else last
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)"""
        return self.classifier(self.features(x).mean((2, 3)))

    @staticmethod
    def infer(shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give a network with these parameter shapes, or None when it is of another kind."""
        found = [re.fullmatch(r"features\.(\d+)\.weight", key) for key in shapes]
        convolutions = sorted(int(m[1]) for m in found if m and len(shapes[m[0]]) == 4)
        if not convolutions or any(f"features.{at + 1}.running_mean" not in shapes for at in convolutions):
            return None
        plan: list[int] = []
        for at, following in zip(convolutions, [*convolutions[1:], None], strict=True):
            plan.append(shapes[f"features.{at}.weight"][0])
            # A pooling layer has no parameters: it shows as a gap in the numbering. The last one is usual.
            if following is None or following - at == 4:
                plan.append(POOL)
        heads = [re.fullmatch(r"classifier(\.\d+)?\.weight", key) for key in shapes]
        widths = [shapes[m[0]][0] for m in sorted((m for m in heads if m), key=lambda m: int((m[1] or ".0")[1:]))]
        if not widths:
            return None
        return {
            "plan": tuple(plan),
            "hidden": tuple(widths[:-1]),
            "bias": f"features.{convolutions[0]}.bias" in shapes,
            "num_classes": widths[-1],
            "in_channels": shapes[f"features.{convolutions[0]}.weight"][1],
        }

    @staticmethod
    def describe(options: Mapping[str, Any]) -> str:
        """A title for the network that ``options`` give."""
        widths = [width for width in options["plan"] if width != POOL]
        return f"VGG-{len(widths) + len(options['hidden']) + 1} with batch norm ({min(widths)}-{max(widths)} channels)"
