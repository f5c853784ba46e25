"""The network that lessons and myths measure on: the demo, whatever is on the desk; and what they show of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import plotly.graph_objects as go
from torch import Tensor, nn

from pages.ui import engine, provenance, state
from pages.ui.desk import Desk
from pages.ui.language import N_, _
from pages.ui.provenance import Provenance
from pages.ui.ranking import ranking
from pruning_core.allocation.lowest import lowest
from pruning_core.analysis.slider import Measured
from pruning_core.criteria import Criterion, L1Norm
from pruning_core.datasets import Dataset, hold_out
from pruning_core.graph import Group, Network, Plan
from pruning_core.studies.inputs import fitted
from pruning_core.zoo import DEMOS

HALF = 0.5  # of the channels: what goes wherever lessons and myths cut every layer alike
Ranks = Mapping[str, Tensor]
COUNTED = provenance.derived(N_("counted from the demo network's weights."))


@dataclass(frozen=True, eq=False)
class Shown:
    """A figure, what fills the named places of a sentence, and where the numbers come from.

    ``unclear``: why nothing can be told from what was measured; it stands in place of the sentence.
    """

    figure: go.Figure
    values: Mapping[str, str]
    sources: tuple[Provenance, ...]
    unclear: str = ""


@dataclass(frozen=True)
class Demo:
    """``desk``: the demo network with its data and no plan."""

    desk: Desk

    @staticmethod
    def first() -> Demo:
        return Demo(Desk(DEMOS[0].ref, DEMOS[0].data))

    @property
    def network(self) -> Network:
        return state.network(self.desk.model)

    @property
    def model(self) -> nn.Module:
        return state.loaded(self.desk.model).model

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        return tuple(group for group in self.network.groups if group.exact)

    @cached_property
    def widest(self) -> Group:
        """The widest group that lies inside a block: cutting it touches nothing else."""
        return max(self.groups, key=lambda group: (group.size, -len(group.layers)))

    @cached_property
    def inner(self) -> tuple[str, ...]:
        """Keys of the groups that lie inside a block: cutting one touches the fewest layers."""
        least = min(len(group.layers) for group in self.groups)
        return tuple(group.key for group in self.groups if len(group.layers) == least)

    def ranks(self, criterion: Criterion) -> Ranks:
        """(C,) by group key, higher is kept."""
        return ranking(self.desk.model, self.network, criterion, self.desk.data).values

    def measured(self, plan: Plan) -> Measured:
        return engine.measure(self.desk, self.network, plan)[0]

    def cut(self, ranks: Ranks, ratio: float, keys: tuple[str, ...] = ()) -> Plan:
        """The lowest ``ratio`` of the channels of these groups, or of all."""
        return Plan(
            {
                group.key: lowest(ranks[group.key], min(int(ratio * group.size), group.size - 1))
                for group in self.groups
                if group.key in (keys or tuple(g.key for g in self.groups)) and group.key in ranks
            }
        )

    def half(self) -> Plan:
        """The cut that the lessons share: half of the channels of every layer, by the L1 norm."""
        return self.cut(self.ranks(L1Norm()), HALF)

    def left(self, plan: Plan) -> float:
        """The share of the network's MACs that the plan leaves."""
        return self.network.cost(plan).macs / self.network.cost().macs

    def parts(self) -> tuple[Dataset, Dataset]:
        """(images to look at, images to measure on), both of the training part."""
        loaded, data = state.loaded(self.desk.model), replace(self.desk.data, split="test")
        fit, held_out = hold_out(state.splits(data)[0], data)
        return fitted(fit, data, loaded), fitted(held_out, data, loaded)

    def source(self, note: str = "") -> Provenance:
        """Where accuracies come from."""
        seen = self.measured(Plan()).accuracy
        title = engine.of(self.desk, self.network).title
        return provenance.measured(
            _("{images}, the demo network").format(images=provenance.part_of(seen.dataset)),
            images=seen.images,
            device=title,
            note=note,
        )
