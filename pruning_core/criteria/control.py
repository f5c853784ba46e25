"""Chance: what every criterion must beat."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness
from pruning_core.knobs import Range
from pruning_core.probe.site import Site
from pruning_core.taxonomy import Card, Data, Family, Paper


@dataclass(frozen=True)
class Random(Criterion):
    r"""The control: remove channels by lot.

    Uniform random scores, the same for the same seed and group.

    $s_c \sim U(0, 1)$. The control: a criterion that does not beat several seeds of this one has found nothing.

    When it fails: it is surprisingly strong after fine-tuning, because the weights that remain are trained again
    anyway.
    """

    joint: ClassVar = True  # coupled layers get one draw, not a sum that would no longer be uniform
    fair: ClassVar = Fairness("none", "chance is the same everywhere")
    card: ClassVar = Card(
        key="random",
        name="Random",
        family=Family.CONTROL,
        data=Data.NONE,
        cost="none",
        paper=Paper(
            "Revisiting Random Channel Pruning for Neural Network Compression",
            "Li, Adamczewski, Li, Gu, Timofte, Van Gool",
            "CVPR",
            2022,
            "2205.05676",
        ),
        builds_on=("scratch-b",),
    )
    seed: Annotated[int, Range(0, 10_000, "Seed", step=1)] = 0

    def score(self, site: Site) -> Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(site.name.encode()) * 10_007 + self.seed)
        return torch.rand(site.channels, generator=generator, dtype=torch.float64).to(site.weight.device)
