"""Discrimination-aware pruning (DCP) with its inserted losses."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.criteria import DiscriminationAware
from pruning_core.datasets import Dataset
from pruning_core.graph import Group, Network
from pruning_core.graph.modules import named_tensors
from pruning_core.knobs import Range
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import precision
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.inserted_losses import OBSTACLE, AtPlace, inserted, noting
from pruning_core.methods.judgement import Judgement, Judging
from pruning_core.methods.phases import Cut, Judge, Learnt, Phase, Train, Widths
from pruning_core.methods.staged import staged
from pruning_core.methods.units import cuttable, uniform_counts
from pruning_core.probe.places import members_at, rows
from pruning_core.probe.site import Place, Site
from pruning_core.taxonomy import Card, Data, Family, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

BATCH = 64


@dataclass(frozen=True)
class InsertedLosses(HookSpec):
    """Train with so many more losses, behind inner layers; ``weight`` (lambda) is theirs. Learnt is what they are."""

    watches: ClassVar = (Watch("inserted", "Loss of the inserted classifiers", "nats"),)
    losses: Annotated[int, Range(1, 8, "Inserted losses", step=1)] = 2
    weight: Annotated[float, Range(0.0, 10.0, "Weight of the inserted losses")] = 1.0

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return True

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _InsertedLosses(self, model, network)


class _InsertedLosses(Hook):
    def __init__(self, spec: InsertedLosses, model: nn.Module, network: Network) -> None:
        self._weight = spec.weight
        self._losses = [loss for _, loss in inserted(model, network, judged(model, network), spec.losses)]
        self._shown = torch.tensor(0.0)
        self._listening = ExitStack()
        self._features = self._listening.enter_context(noting(model, [loss.layer for loss in self._losses]))

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for loss in self._losses for parameter in loss.parameters]

    def penalty(self, moment: Moment) -> Tensor | None:
        if not self._losses:  # a network with a single group has no layer between
            return None
        assert moment.labels is not None
        found = [loss(self._features[loss.layer], moment.labels, training=True) for loss in self._losses]
        self._features.clear()
        total = torch.stack(found).sum()
        self._shown = total.detach() / len(found)
        return self._weight * total

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"inserted": self._shown.cpu()}

    def learnt(self) -> Mapping[str, Tensor]:
        return {
            part_of(number, place): tensor.clone()
            for number, loss in enumerate(self._losses)
            for place, tensor in enumerate(loss.tensors)
        }

    def stop(self, model: nn.Module) -> None:
        self._listening.close()

    def state(self) -> Mapping[str, Any]:
        return {"shown": self._shown, "statistics": [(loss.mean, loss.variance) for loss in self._losses]}

    def load(self, state: Mapping[str, Any]) -> None:
        self._shown = state["shown"]
        for loss, (mean, variance) in zip(self._losses, state["statistics"]):
            loss.mean.copy_(mean)
            loss.variance.copy_(variance)


def judged(model: nn.Module, network: Network) -> list[Group]:
    """The groups whose readers can be tried with other weights."""
    tensors = named_tensors(model)
    return [group for group in cuttable(network) if members_at(group, Place.CONSUMER, tensors)]


def part_of(loss: int, place: int) -> str:
    """The name under which a part of an inserted loss is learnt; no group has it."""
    return f"inserted loss {loss}, tensor {place}"


@dataclass(frozen=True)
class DiscriminationJudgement(Judgement):
    """Build up what reads each group from nothing, in ``rounds``, by the first inserted loss behind it.

    What lies behind all of them is judged by the loss of the network itself.
    """

    losses: Annotated[int, Range(1, 8, "Inserted losses", step=1)] = 2
    rounds: Annotated[int, Range(1, 64, "Rounds of selection", step=1)] = 4

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return True

    def judging(
        self, model: nn.Module, network: Network, images: Dataset, learnt: Mapping[str, Tensor], device: str
    ) -> Judging:
        where = choose_device(device)
        run = copy.deepcopy(model).to(where)
        groups, tensors, found = judged(run, network), named_tensors(run), {}
        losses = inserted(run, network, groups, self.losses)
        for number, (_, loss) in enumerate(losses):
            loss.load(learnt[part_of(number, place)] for place in range(len(loss.tensors)))
        for number, group in enumerate(groups):
            at = next((loss for before, loss in losses if number < before), None)
            members = members_at(group, Place.CONSUMER, tensors)
            trial = AtPlace(run, members, lambda: images.batches(BATCH, where, precision(run)), at)
            weight = torch.cat([rows(tensors[member.parameter], member).double() for member in members], 1)
            score = DiscriminationAware(self.rounds).score(Site(weight, group.key, trial=trial))
            found[group.key] = score.cpu()
            yield (number + 1) / len(groups)
        return found


@dataclass(frozen=True)
class DiscriminationPruning(Method):
    r"""Train with more losses behind inner layers, then give back to each layer the channels that its loss asks for.

    $\mathcal{L} = \tfrac{1}{2}\operatorname{mean}\|O - O_\mathcal{A}\|^2 + \lambda\, \mathcal{L}_S^p, \quad
    \mathcal{A} \leftarrow \mathcal{A} \cup \arg\max_{c \notin \mathcal{A}}
    \left\| \frac{\partial\mathcal{L}}{\partial W_{:,c}} \right\|_F$: every layer starts from reading nothing; the
    gradients at what has been selected so far say which channel is missed most, both for writing what the layer wrote
    and for telling the classes apart a few layers later, where a small classifier of averaged features stands.

    When it fails: selection takes many passes per layer. Widths are fixed beforehand, the same share for every layer.
    An inserted classifier that had no time to learn tells nothing apart, and then it selects at random.
    """

    card: ClassVar = Card(
        key="dcp-losses",
        name="Discrimination-aware, with its losses (DCP)",
        family=Family.GRADIENT,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="two trainings, and rounds x 2 passes over some images per layer between them",
        paper=DiscriminationAware.card.paper,
        published=DiscriminationAware.card.published,
        builds_on=("thinet", "cp-lasso"),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper adds one loss after the other, trains with it and prunes the layers before it (3 losses for "
        "ResNet-56), channel by channel, and trains 400 epochs at the end; here all losses are trained at once for a "
        "few epochs, all layers are judged in the unpruned network, and several channels are selected per round."
    )
    in_paper: ClassVar = (
        InPaper("losses", "3 (ResNet-50 and 56), 2 (VGG, ResNet-18)"),
        InPaper("weight", "1"),
        InPaper("rounds", "one channel at a time"),
        InPaper("images", UNREAD),
        InPaper("epochs", "400 in the end (CIFAR-10)"),
        InPaper("lr", "0.1; 0.01 while channels are selected"),
    )

    losses: Annotated[int, Range(1, 5, "Inserted losses", step=1)] = 2
    weight: Annotated[float, Range(0.0, 10.0, "Weight of the inserted losses", step=0.1)] = 1.0
    rounds: Annotated[int, Range(1, 64, "Rounds of selection", step=1)] = 4
    images: Annotated[int, Range(8, 1024, "Images to select on", step=8)] = 64

    def obstacle(self, network: Network) -> str:
        """Layers of a program have other kinds than modules."""
        return OBSTACLE if any(layer.kind == "Convolution" for layer in network.layer_costs()) else ""

    def phases(self, goal: Goal) -> Iterator[Phase]:
        counts = uniform_counts(goal.network, staged(goal, 1))
        hook = InsertedLosses(self.losses, self.weight)
        yield Train(0.4, (hook,), keep="last", name="with inserted losses")
        yield Judge(DiscriminationJudgement(self.losses, self.rounds), self.images, name="channels they ask for")
        yield Cut(Learnt(), Widths(counts), name="what the losses did not ask for")
        yield Train(0.6, name="what is left")
