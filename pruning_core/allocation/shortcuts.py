"""What becomes of the channels that an addition ties together, as residual networks add every block to its shortcut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from pruning_core.graph import Group, Network, Plan
from pruning_core.taxonomy import Card, Data, Family, Paper

NOTHING_INSIDE = (
    "Additions tie all channels of this network that could be removed, so nothing lies inside its blocks alone. Choose "
    "to cut shortcuts with their blocks."
)


@dataclass(frozen=True)
class Shortcuts(ABC):
    """Which groups may lose channels, by whether an addition couples several layers in them (``Group.coupled``)."""

    card: ClassVar[Card]
    projects: ClassVar[bool] = False  # whether it asks for a network into which projections were inserted

    @abstractmethod
    def leaves_whole(self, group: Group) -> bool: ...

    def narrowed(self, network: Network) -> Network:
        """``network``, in which the other groups are to stay whole."""
        whole = network.whole | {group.key for group in network.groups if self.leaves_whole(group)}
        return replace(network, whole=whole)

    def of_plan(self, plan: Plan, network: Network) -> Plan:
        """What ``plan`` removes from the groups that may lose channels."""
        return Plan({key: units for key, units in plan.items() if not self.leaves_whole(network.group(key))})

    def why_not(self, network: Network) -> str:
        """ "" where it leaves something to remove, else the sentence that says why it does not."""
        open_ = [group for group in network.groups if not self.leaves_whole(group)]
        return NOTHING_INSIDE if network.groups and not open_ else ""


@dataclass(frozen=True)
class Coupled(Shortcuts):
    r"""Layers whose outputs are added lose the same channels, the shortcut with them.

    All tensors of a sum share one set of channels: the last layers of the blocks, the projection, the stem, and
    everything that reads them. One score per channel stands for all of them.

    $y_c = x_c + F(x)_c \;\Rightarrow\; c \notin x \Leftrightarrow c \notin F(x)$

    When it fails: one channel may matter to one block and to no other, and leaves all of them or none.
    """

    card: ClassVar = Card(
        key="shortcuts-coupled",
        name="Coupled, shortcuts too",
        family=Family.SHORTCUTS,
        data=Data.NONE,
        cost="nothing",
        paper=Paper(
            "Gate Decorator: Global Filter Pruning Method for Accelerating Deep Convolutional Neural Networks",
            "You, Yan, Ye, Ma, Wang",
            "NeurIPS",
            2019,
            "1909.08174",
        ),
    )

    def leaves_whole(self, group: Group) -> bool:
        return False


@dataclass(frozen=True)
class InsideBlocks(Shortcuts):
    r"""Only channels inside residual blocks go; what is added to a shortcut keeps its width.

    Of a basic block that is its first convolution, of a bottleneck its first two. The easiest rule, and that of ThiNet
    (recalled) and REPrune.

    $y = x + F(x), \quad \dim y = \dim x \text{ as before}$

    When it fails: the width of the stream sets a floor to the cost; a small budget empties the blocks or is out of
    reach.
    """

    card: ClassVar = Card(
        key="shortcuts-inside",
        name="Inside blocks only",
        family=Family.SHORTCUTS,
        data=Data.NONE,
        cost="nothing",
        paper=Paper(
            "ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression",
            "Luo, Wu, Lin",
            "ICCV",
            2017,
            "1707.06342",
        ),
    )

    def leaves_whole(self, group: Group) -> bool:
        return group.coupled


@dataclass(frozen=True)
class Projected(InsideBlocks):
    r"""A 1x1 convolution ends every branch, so that its last layer may be cut without the shortcut.

    The projection $P$ begins as the identity. Once channels $S$ of the branch are left, it scatters them to where they
    were, and the sum gets zeros for the others: $y = x + P_{:,S}\,F(x)_S$.

    When it fails: the projections cost parameters and multiply-adds of their own, which a small cut does not earn back;
    the usual choices are the other two.
    """

    card: ClassVar = Card(
        key="shortcuts-projected",
        name="With a projection inserted",
        family=Family.SHORTCUTS,
        data=Data.NONE,
        cost="one 1x1 convolution per branch",
    )
    projects: ClassVar = True


SHORTCUTS: tuple[type[Shortcuts], ...] = (Coupled, InsideBlocks, Projected)
