"""What a network returned, as tensors with a row for each image."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


class Takes(Enum):
    """Which of a network's outputs something looks at."""

    MAIN = "the main one"
    NUMBERS = "all that are no whole numbers"
    ALL = "all"


def every(output: Any, takes: Takes = Takes.NUMBERS) -> list[Tensor]:
    """The tensors among what a network returned that ``takes`` says, in their order, as far as they have a row for each
    image; [] for the main one, which is not told from others by its type."""
    found = [each for each in tree_leaves(output) if isinstance(each, Tensor)]
    first = next((each for each in found if each.is_floating_point() and each.ndim), None)
    if first is None or takes is Takes.MAIN:
        return []
    wanted = [each for each in found if each.is_floating_point() or (takes is Takes.ALL and each.dtype != torch.bool)]
    return [each for each in wanted if each.ndim and len(each) == len(first)]


def behind_one_another(tensors: Sequence[Tensor]) -> Tensor:
    """(n, …) each -> (n, all their numbers)."""
    return torch.cat([each.reshape(len(each), -1) for each in tensors], 1)
