"""A criterion that nobody has heard of, for tests of what the pages make of a new line in the registry."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.criteria import Criterion, Site
from pruning_core.taxonomy import Card, Data, Family


@dataclass(frozen=True)
class Alphabet(Criterion):
    """The first channel goes first.

    $s_c = c$

    When it fails: always.
    """

    card = Card(key="alphabet", name="Alphabetical order", family=Family.CONTROL, data=Data.NONE, cost="none")

    def score(self, site: Site) -> Tensor:
        return torch.arange(site.channels, dtype=torch.float64)
