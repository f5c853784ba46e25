"""Discrimination-aware pruning (DCP) with its inserted losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.criteria import DiscriminationAware
from pruning_core.graph import Network
from pruning_core.graph.modules import named_tensors
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.inserted_losses import AtPlace, InsertedLoss, inserted, noting
from pruning_core.methods.phases import Cut, Learnt, Phase, Train, Widths
from pruning_core.methods.staged import staged
from pruning_core.methods.units import cuttable, uniform_counts
from pruning_core.probe.places import members_at, rows
from pruning_core.probe.site import Place, Site
from pruning_core.taxonomy import Card, Data, Family, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

BATCH = 64


@dataclass(frozen=True)
class Discrimination(HookSpec):
    """Train with ``losses`` more losses behind inner layers; then select channels by them, layer by layer.

    ``weight`` (lambda) is that of the inserted losses. A layer is judged by the first of them behind it, on the last
    ``images`` that the training saw, and the layers behind all of them by the loss of the network.
    """

    watches: ClassVar = (
        Watch("inserted", "Loss of the inserted classifiers", "nats"),
        Watch("importance", "Order in which channels were asked for", "rounds from the end"),
    )
    losses: Annotated[int, Range(1, 8, "Inserted losses", step=1)] = 2
    weight: Annotated[float, Range(0.0, 10.0, "Weight of the inserted losses")] = 1.0
    rounds: Annotated[int, Range(1, 64, "Rounds of selection", step=1)] = 4
    images: Annotated[int, Range(8, 1024, "Images to select on", step=8)] = 64

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _Discrimination(self, model, network)


class _Discrimination(Hook):
    def __init__(self, spec: Discrimination, model: nn.Module, network: Network) -> None:
        self._spec, self._model = spec, model
        tensors = named_tensors(model)
        self._members = {group.key: members_at(group, Place.CONSUMER, tensors) for group in cuttable(network)}
        groups = [group for group in cuttable(network) if self._members[group.key]]
        self._losses = inserted(model, network, groups, spec.losses)
        self._at = {group.key: self._behind(number) for number, group in enumerate(groups)}
        self._values = {group.key: torch.zeros(group.size, dtype=torch.float64) for group in groups}
        self._chosen = False
        self._inserted = torch.tensor(0.0)
        self._images, self._labels = torch.zeros(0), torch.zeros(0, dtype=torch.long)
        self._listening = ExitStack()
        self._features = self._listening.enter_context(noting(model, [loss.layer for _, loss in self._losses]))
        self._listening.callback(model.register_forward_pre_hook(self._reader()).remove)

    def _behind(self, number: int) -> InsertedLoss | None:
        """The first inserted loss that lies behind this group."""
        return next((loss for before, loss in self._losses if number < before), None)

    def _reader(self) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        """No method of this object: copies of the network take its hooks along, and would copy this object too."""

        def read(model: nn.Module, inputs: tuple[Any, ...]) -> None:
            if model.training:
                self._batch: Tensor = inputs[0].detach()

        return read

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for _, loss in self._losses for parameter in loss.parameters]

    def penalty(self, moment: Moment) -> Tensor:
        assert moment.labels is not None
        found = [loss(self._features[loss.layer], moment.labels, training=True) for _, loss in self._losses]
        self._features.clear()
        self._remember(moment.labels)
        total = torch.stack(found).sum()
        self._inserted = (total / len(found)).detach().cpu()
        return self._spec.weight * total

    def _remember(self, labels: Tensor) -> None:
        """The last images seen: what channels are selected on."""
        if len(self._labels):
            self._batch = torch.cat([self._images, self._batch])
            labels = torch.cat([self._labels, labels])
        self._images, self._labels = self._batch[-self._spec.images :], labels[-self._spec.images :]

    def epoch_end(self, moment: Moment) -> None:
        if moment.done >= 1 and not self._chosen:
            self._values = {key: self._selected(key).cpu() for key in self._values}
            self._chosen = True

    def _selected(self, key: str) -> Tensor:
        members, tensors = self._members[key], named_tensors(self._model)
        trial = AtPlace(self._model, members, self._batches, self._at[key])
        weight = torch.cat([rows(tensors[member.parameter], member).double() for member in members], 1)
        judge = DiscriminationAware(self._spec.rounds, images=self._spec.images)
        return judge.score(Site(weight, key, trial=trial))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self._images.split(BATCH), self._labels.split(BATCH))

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        return {"inserted": self._inserted, "importance": torch.cat(list(self._values.values()))}

    def learnt(self) -> Mapping[str, Tensor]:
        return self._values

    def stop(self, model: nn.Module) -> None:
        self._listening.close()

    def state(self) -> Mapping[str, Any]:
        return {
            "values": self._values,
            "chosen": self._chosen,
            "inserted": self._inserted,
            "images": self._images,
            "labels": self._labels,
            "statistics": [(loss.mean, loss.variance) for _, loss in self._losses],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        where = next(self._model.parameters()).device
        self._values, self._chosen, self._inserted = dict(state["values"]), state["chosen"], state["inserted"]
        self._images, self._labels = state["images"].to(where), state["labels"].to(where)
        for (_, loss), (mean, variance) in zip(self._losses, state["statistics"]):
            loss.mean.copy_(mean)
            loss.variance.copy_(variance)


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
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper adds one loss after the other, trains with it and prunes the layers before it (3 losses for "
        "ResNet-56), channel by channel, and trains 400 epochs at the end; here all losses are trained at once for a "
        "few epochs, all layers are judged in the unpruned network, and several channels are selected per round."
    )

    losses: Annotated[int, Range(1, 5, "Inserted losses", step=1)] = 2
    weight: Annotated[float, Range(0.0, 10.0, "Weight of the inserted losses", step=0.1)] = 1.0
    rounds: Annotated[int, Range(1, 64, "Rounds of selection", step=1)] = 4
    images: Annotated[int, Range(8, 1024, "Images to select on", step=8)] = 64

    def phases(self, goal: Goal) -> Iterator[Phase]:
        counts = uniform_counts(goal.network, staged(goal, 1))
        hook = Discrimination(self.losses, self.weight, self.rounds, self.images)
        yield Train(0.4, (hook,), keep="last", name="with inserted losses")
        yield Cut(Learnt(), Widths(counts), name="what the losses did not ask for")
        yield Train(0.6, name="what is left")
