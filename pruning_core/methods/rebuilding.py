"""Ways to a network of another build: which edits bring it within a budget. The phase ``Rebuild`` performs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass

from torch import nn

from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.graph.edits import Drop, Edit
from pruning_core.knobs import Knobbed
from pruning_core.methods.blocks import NO_BLOCKS, Block, removable

JUDGED_ON = 1024  # fitted images
Work = Generator[float, None, tuple[Edit, ...]]


@dataclass(frozen=True)
class Target:
    """At most ``limit`` of ``kind`` (MACs or parameters) may be left."""

    kind: str
    limit: float

    def of(self, macs: float, parameters: float) -> float:
        return macs if self.kind == "macs" else parameters


@dataclass(frozen=True)
class Rebuilding(Knobbed, ABC):
    """A frozen dataclass; yields the share done and returns the edits."""

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return False

    @abstractmethod
    def edits(self, model: nn.Module, network: Network, target: Target, images: Dataset, seed: int) -> Work:
        """Those that bring ``model`` within ``target``; ``images`` are labelled and fitted, and none that is tested on.

        Raises UserError where that is out of reach.
        """

    def why_not(self, model: nn.Module, network: Network, target: Target) -> str:
        """The sentence that :meth:`edits` would end with, as far as it can be known without images; else ""."""
        return ""


@dataclass(frozen=True)
class WithoutBlocks(Rebuilding):
    """Residual blocks leave, the least valuable first, until the rest keeps to the target."""

    @abstractmethod
    def values(
        self, model: nn.Module, network: Network, blocks: list[Block], images: Dataset, seed: int
    ) -> Generator[float, None, dict[str, float]]:
        """Block name -> what it is worth; higher is kept."""

    def why_not(self, model: nn.Module, network: Network, target: Target) -> str:
        return out_of_reach(removable(model, network), network, target)

    def edits(self, model: nn.Module, network: Network, target: Target, images: Dataset, seed: int) -> Work:
        blocks = removable(model, network)
        if obstacle := out_of_reach(blocks, network, target):
            raise UserError(obstacle)
        values = yield from self.values(model, network, blocks, images, seed)
        cost = network.cost()
        left = target.of(cost.macs, cost.parameters)
        found: list[Edit] = []
        for block in sorted(blocks, key=lambda each: values[each.name]):
            if left <= target.limit:
                break
            found.append(Drop(block.name))
            left -= target.of(block.macs, block.parameters)
        return tuple(found)


def out_of_reach(blocks: list[Block], network: Network, target: Target) -> str:
    """ "" where the network without all its ``blocks`` keeps to the target."""
    if not blocks:
        return NO_BLOCKS
    cost = network.cost()
    whole = target.of(cost.macs, cost.parameters)
    least = whole - sum(target.of(block.macs, block.parameters) for block in blocks)
    if least <= target.limit:
        return ""
    return (
        f"Without its {len(blocks)} removable block{'' if len(blocks) == 1 else 's'} this network still has "
        f"{100 * least / whole:.0f} % of its {'MACs' if target.kind == 'macs' else 'parameters'}. Choose a "
        "budget of at least that, or a method that removes channels."
    )
