"""Feature boosting and suppression: every layer chooses, image by image, which of its channels run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.graph.gated import Boost, Boosted, TopChannels, share_open
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.normed import HAS_GATES, Normed, has_gates, normed
from pruning_core.methods.phases import Phase, Rebuild, Train
from pruning_core.methods.rebuilding import Rebuilding, Target, Work
from pruning_core.methods.settling import settled
from pruning_core.methods.staged import staged
from pruning_core.methods.units import without_modules
from pruning_core.taxonomy import Card, Data, Execution, Family, Paper, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

NO_NORMS = (
    "Gates are put around a plain convolution and the batch norm behind it, and this network has none behind its first "
    "one. Choose a method that removes channels or sets weights to zero."
)
IN_MACS = (
    "A network with gates keeps all its parameters and leaves products out, so it can keep to a budget in MACs only. "
    "Choose MACs, or a method that removes channels."
)


@dataclass(frozen=True)
class Boosting(Rebuilding):
    """Every convolution with a batch norm, but the first one, gets a gate; the same share stays open everywhere.

    That share is the largest with which every image keeps to the target, closed outputs alone counted: what closed
    inputs save comes on top.
    """

    def why_not(self, model: nn.Module, network: Network, target: Target) -> str:
        try:
            self._pairs_and_density(model, network, target)
        except UserError as error:
            return str(error)
        return ""

    def edits(self, model: nn.Module, network: Network, target: Target, images: Dataset, seed: int) -> Work:
        pairs, density = self._pairs_and_density(model, network, target)
        yield 1.0
        return tuple(Boost(pair.conv, pair.norm, density, seed + place) for place, pair in enumerate(pairs))

    def _pairs_and_density(self, model: nn.Module, network: Network, target: Target) -> tuple[list[Normed], float]:
        if target.kind != "macs":
            raise UserError(IN_MACS)
        pairs = normed(model, network)[1:]
        if not pairs:
            raise UserError(NO_NORMS)
        return pairs, self.density(model, network, pairs, target.limit)

    def density(self, model: nn.Module, network: Network, pairs: list[Normed], limit: float) -> float:
        """Raises UserError where one open channel in every layer is too much."""
        macs = {layer.name: layer.macs for layer in network.layer_costs()}
        layers = [(macs[pair.conv], model.get_submodule(pair.conv)) for pair in pairs]
        shapes = [(own, conv.out_channels, conv.in_channels) for own, conv in layers if isinstance(conv, nn.Conv2d)]
        fixed = network.cost().macs + sum(made * read - own for own, made, read in shapes)

        def cost(density: float) -> float:
            return fixed + sum(own * share_open(density, made) / made for own, made, _ in shapes)

        steps = sorted({kept / made for _, made, _ in shapes for kept in range(1, made + 1)})
        within = [density for density in steps if cost(density) <= limit]
        if not within:
            raise UserError(
                f"Even with one open channel in every layer {cost(0.0):,.0f} MACs are left, and {limit:,.0f} were "
                "asked for. Choose a larger budget, or a method that removes channels."
            )
        return within[-1]


@dataclass(frozen=True)
class BoostTraining(HookSpec):
    """All channels are open at first, and ever fewer until the target; ``strength`` times the sum of gates is added."""

    watches: ClassVar = (Watch("open", "Open channels", "share"), Watch("gates", "Gates", "value"))
    strength: Annotated[float, Range(0.0, 1e-2, "Penalty on gates")] = 1e-8

    def begin(self, model: nn.Module, network: Network) -> Hook:
        """Raises UserError for a network without such gates."""
        found = {name: module for name, module in model.named_modules() if isinstance(module, Boosted)}
        if not found:
            raise UserError(NO_NORMS)
        return _BoostTraining(self.strength, {f"{name}.choice": module for name, module in found.items()})


class _BoostTraining(Hook):
    def __init__(self, strength: float, layers: dict[str, Boosted]) -> None:
        self.strength = strength
        self.layers = {name: (layer.conv.out_channels, int(layer.choice.kept)) for name, layer in layers.items()}
        self.gates, self.chosen = list[Tensor](), list[Tensor]()  # of this step; of this evaluation
        self.handles = [layer.choice.register_forward_hook(self._note) for layer in layers.values()]

    def overrides(self, moment: Moment) -> dict[str, Tensor]:
        self.gates.clear()
        self.chosen.clear()
        way = settled(moment.done)
        device = next(moment.model.parameters()).device
        return {
            f"{name}.kept": torch.tensor(math.ceil(channels - way * (channels - target) - 1e-9), device=device)
            for name, (channels, target) in self.layers.items()
        }

    def penalty(self, moment: Moment) -> Tensor:
        return self.strength * torch.stack([gates.sum(1).mean() for gates in self.gates]).sum()

    def watched(self, moment: Moment) -> dict[str, Tensor]:
        values = torch.cat([each.flatten() for each in self.chosen])
        return {"open": (values != 0).double().mean(), "gates": values}

    def stop(self, model: nn.Module) -> None:
        for handle in self.handles:
            handle.remove()

    def _note(self, choice: TopChannels, given: tuple[Tensor], chosen: Tensor) -> None:
        if choice.training:
            self.gates.append(given[0].relu())
        else:
            self.chosen.append(chosen)


@dataclass(frozen=True)
class FeatureBoosting(Method):
    r"""Let every layer guess from the means of its input channels which of its outputs matter, and run only those.

    $y = \pi(x) \odot \mathrm{norm}(W * x)$, where $\pi$ keeps the largest $\lceil dC \rceil$ of
    $g(x) = \mathrm{ReLU}(A\bar{x} + b)$ for this image and is exactly 0 elsewhere. $d$ falls from 1 while it trains.

    When it fails: all weights stay in memory, and a dense machine computes every channel before it is multiplied by
    zero. Only hardware or kernels that skip channels per image turn fewer MACs into time.
    """

    card: ClassVar = Card(
        key="fbs", name="Feature boosting and suppression", family=Family.DYNAMIC, data=Data.TRAINING,
        time=Time.DURING, execution=Execution.DYNAMIC, cost="one training, with a small matrix in every layer",
        paper=Paper(
            "Dynamic Channel Pruning: Feature Boosting and Suppression", "Gao, Zhao, Dudziak, Mullins, Xu", "ICLR",
            2019, "1810.05331",
        ),
        published=(
            Published("M-CifarNet", "CIFAR-10", "91.37 to 90.54 %, 174 to 57 million MACs", "authors' code", True),
        ),
    )  # fmt: skip
    outcome: ClassVar = Outcome.DYNAMIC
    scaled_down: ClassVar[str] = (
        "The paper trains from scratch and replaces the scales of batch norms by the gates; here a trained network "
        "keeps its norms, and the share of open channels falls within a few epochs."
    )
    in_paper: ClassVar = (
        InPaper("strength", "1e-8", False),
        InPaper("epochs", UNREAD),
    )

    strength: Annotated[float, Range(0.0, 1e-2, "Penalty on gates")] = 1e-8

    def obstacle(self, network: Network) -> str:
        if obstacle := without_modules(network) or (HAS_GATES if has_gates(network) else ""):
            return obstacle
        kinds = [layer.kind for layer in network.layer_costs()]
        return "" if sum(pair == ("Conv2d", "BatchNorm2d") for pair in itertools.pairwise(kinds)) > 1 else NO_NORMS

    def phases(self, goal: Goal) -> Iterator[Phase]:
        if goal.budget.kind == "parameters":
            raise UserError(IN_MACS)
        yield Rebuild(Boosting(), staged(goal, 1), name="gates around convolutions")
        yield Train(hooks=(BoostTraining(self.strength),), keep="last", name="with ever fewer open channels")
