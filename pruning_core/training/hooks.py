"""Hooks: how a pruning method takes part in a training.

A :class:`HookSpec` is frozen data: knobs, no tensors, storable. When a training begins, every spec begins a
:class:`Hook` of its own, which lives as long as that training. Two examples::

    @dataclass(frozen=True)
    class ScaleDecay(HookSpec):                      # an L1 penalty on the scales of batch norms
        strength: Annotated[float, Range(0, 1, "Strength")] = 1e-4

        def begin(self, model: nn.Module, network: Network) -> Hook:
            return _ScaleDecay(self.strength, [m.weight for m in model.modules() if isinstance(m, nn.BatchNorm2d)])

    class _ScaleDecay(Hook):
        def __init__(self, strength: float, scales: list[Tensor]) -> None:
            self.strength, self.scales = strength, scales

        def penalty(self, moment: Moment) -> Tensor:
            return self.strength * torch.stack([scale.abs().sum() for scale in self.scales]).sum()

    class _Gates(Hook):                              # one trained factor per output channel of a layer
        def __init__(self, weight: nn.Parameter) -> None:
            self.weight, self.gates = weight, nn.Parameter(torch.ones_like(weight[:, 0, 0, 0]))

        def parameters(self) -> list[nn.Parameter]:
            return [self.gates]

        def overrides(self, moment: Moment) -> dict[str, Tensor]:
            return {"conv1.weight": self.weight * self.gates[:, None, None, None]}

        def learnt(self) -> dict[str, Tensor]:
            return {"conv1": self.gates.detach().abs()}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.knobs import Knobbed
from pruning_core.training.watch import Watch


@dataclass(frozen=True, eq=False)
class Moment:
    """Where the training stands: ``epoch`` counts from 1, ``step`` of ``steps`` in this epoch; ``done`` in [0, 1].

    ``model`` is the training's own copy, in training mode during steps and in evaluation mode while it is measured.
    ``labels`` (n,) are those of the batch, during a step.
    """

    model: nn.Module
    epoch: int
    step: int
    steps: int
    done: float
    rate: float
    labels: Tensor | None = None


class Hook:
    """One hook of one training. Override what is needed: what is not overridden is never called and costs nothing.

    It may change gradients, parameters and buffers in place, and keep what it likes; it never replaces a module's
    methods or parameters. Whatever it draws from torch's global generator repeats with the training's seed. After the
    training, also after an error, ``stop`` is called exactly once.
    """

    def parameters(self) -> Sequence[nn.Parameter]:
        """What is trained with the network, at its learning rate and without weight decay; asked once, at the start.

        Their values are part of every checkpoint by themselves.
        """
        return ()

    def undecayed(self) -> Sequence[Tensor]:
        """Parameters of the network that no weight decay acts on in this training; asked once, at the start.

        What a penalty of its own draws to zero would be drawn twice.
        """
        return ()

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        """Parameter or buffer name -> the tensor that stands for it in this forward pass; gradients flow through it.

        Asked before every step's forward pass and before every evaluation. Nothing is put into the network for it.
        The weights that a training keeps are those that were evaluated, so with these exchanges made. Two hooks of a
        training may not exchange the same name.
        """
        return {}

    def penalty(self, moment: Moment) -> Tensor | None:
        """A scalar added to the loss of this step. Events report it beside the loss, never inside it."""
        return None

    def epoch_start(self, moment: Moment) -> None:
        """Before the first batch of an epoch."""

    def after_backward(self, moment: Moment) -> None:
        """Gradients are there, the step is not yet made: change or mask them."""

    def after_step(self, moment: Moment) -> None:
        """Parameters have moved: apply masks again."""

    def epoch_end(self, moment: Moment) -> None:
        """After the last batch, before the epoch is evaluated: soft pruning, new masks."""

    def learnt(self) -> Mapping[str, Tensor]:
        """What this training found out, such as a (C,) importance by group key; asked once, as of the kept weights."""
        return {}

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        """After each epoch: for every :class:`.watch.Watch` of its spec a scalar, or values for a histogram."""
        return {}

    def stop(self, model: nn.Module) -> None:
        """The training is over, however it ended."""

    def state(self) -> Mapping[str, Any]:
        """All that a resumed training needs to go on as if undisturbed: tensors, numbers, texts, and lists of these.

        Without ``parameters()``. It is copied at once.
        """
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what an earlier hook of the same spec said in :meth:`state`; tensors come on the CPU."""
        if state:
            raise NotImplementedError(f"{type(self).__name__} keeps a state, so it must be able to load it")


@dataclass(frozen=True)
class HookSpec(Knobbed, ABC):
    """A subclass is a frozen dataclass of plain values whose annotated fields are its knobs.

    ``watches`` are the plots that its hook feeds while it trains.
    """

    watches: ClassVar[tuple[Watch, ...]] = ()

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return False

    @abstractmethod
    def begin(self, model: nn.Module, network: Network) -> Hook:
        """Called before the optimizer is made. ``model`` is the training's own copy, on its device, with the weights
        that the training starts from; ``network`` its capture.

        A resumed training begins its hooks with the same weights and then loads its checkpoint into both, in place.
        Raises UserError for a network that this cannot be done with.
        """

    def given(self, learnt: Mapping[str, Tensor]) -> HookSpec:
        """What begins in its place where a program has ``learnt`` something before: itself, unless it asks for that."""
        return self
