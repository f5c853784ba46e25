"""A criterion that nobody has heard of, for tests of what the pages make of a new line in the registry."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning_core.criteria import Criterion, Site
from pruning_core.taxonomy import Data, Family, channel_card


@dataclass(frozen=True)
class Alphabet(Criterion):
    """Channels in the order of their number."""

    card = channel_card(
        "alphabet", "Alphabetical order", idea="The first channel goes first.", formula=r"s_c = c",
        family=Family.CONTROL, data=Data.NONE, cost="none", fails="always",
    )  # fmt: skip

    def score(self, site: Site) -> Tensor:
        return torch.arange(site.channels, dtype=torch.float64)
