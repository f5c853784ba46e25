"""Generative adversarial learning (GAL): soft masks shrink while a discriminator keeps the outputs as they were."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.graph import Network
from pruning_core.graph.modules import set_mode_if_able
from pruning_core.knobs import Range, Toggle
from pruning_core.measuring.forward import main_output
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.gates import Gates
from pruning_core.methods.in_paper import InPaper
from pruning_core.methods.ista import shrunk
from pruning_core.methods.own_optimizer import OwnAdam
from pruning_core.methods.phases import Cut, Learnt, Phase, Recover, Train, Within
from pruning_core.methods.soft_cost import SoftCost, allowed
from pruning_core.methods.staged import staged
from pruning_core.methods.units import without_channels
from pruning_core.taxonomy import Card, Data, Family, Paper, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.loss import Forward, Objective, ObjectiveSpec, training_loss
from pruning_core.training.watch import Watch

HIDDEN = (128, 256, 128)  # the discriminator's layers, as in the authors' code
HALF = Budget("macs", fraction=0.5)
PACE = 0.1  # how far a weight of the discriminator can move in the first epoch


@dataclass(frozen=True)
class FromHooks(ObjectiveSpec, Objective):
    """Nothing but what hooks ask for: labels teach nothing, and the cross-entropy with them is only reported."""

    @property
    def needs_classes(self) -> bool:
        """Whether labels must name the class of each image."""
        return True

    def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
        return self

    def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        main = training_loss(forward(x), y, 0.0)[1].detach()
        return torch.zeros_like(main), main


def fista(mask: Tensor, before: Tensor, gradient: Tensor, momentum: float, rate: float, sparsity: float) -> Tensor:
    """One step: extrapolate from the last two masks, descend, then the proximal step; never below zero."""
    ahead = mask + momentum * (mask - before)
    return shrunk(ahead - rate * gradient, rate * sparsity).clamp(min=0)


def told_apart(judge: nn.Module, original: Tensor, masked: Tensor) -> Tensor:
    """The discriminator's loss: scores (n, K) of the original network are 1, those of the masked one 0.

    Neither network learns from it.
    """
    yes, no = judge(original.detach()), judge(masked.detach())
    real = F.binary_cross_entropy_with_logits(yes, torch.ones_like(yes))
    return real + F.binary_cross_entropy_with_logits(no, torch.zeros_like(no))


@dataclass(frozen=True)
class AdversarialMasks(HookSpec):
    """One soft mask per channel; the masked network imitates the one it began as, and is to be mistaken for it.

    ``imitation``: weight of the squared distance of scores. ``rounds`` of the masks in an epoch, each a proximal step
    of size ``rate`` with the penalty ``sparsity``, which rests while what is not closed keeps to ``budget``. Without an
    ``adversary`` imitation is all there is.
    """

    watches: ClassVar = (
        Watch("masks", "Soft masks", "factor"),
        Watch("zeros", "Masks that are exactly zero", "share"),
        Watch("apart", "Outputs that the discriminator told apart", "share"),
    )
    budget: Budget = HALF
    sparsity: Annotated[float, Range(0.0, 10.0, "Penalty on masks")] = 0.02
    imitation: Annotated[float, Range(0.0, 10.0, "Weight of the imitation")] = 1.0
    rate: Annotated[float, Range(0.001, 1.0, "Step size of masks")] = 0.25
    rounds: Annotated[int, Range(1, 100, "Steps of masks in an epoch", step=1)] = 10
    adversary: bool = True

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _AdversarialMasks(self, model, network)


class _AdversarialMasks(Hook):
    def __init__(self, spec: AdversarialMasks, model: nn.Module, network: Network) -> None:
        self._spec, self._gates = spec, Gates.of(model, network)
        device = next(iter(tensor.device for _, tensor, _, _ in self._gates.places))
        self._masks = {key: torch.ones(size, device=device) for key, size in self._gates.sizes.items()}
        self._before = {key: mask.clone() for key, mask in self._masks.items()}
        self._age = 1.0  # FISTA's a
        self._cost, self._allowed = SoftCost(network, spec.budget.kind, device), allowed(network, spec.budget)
        for mask in self._masks.values():
            mask.requires_grad_(True)
        self._original = _still(model)
        self._judge = _judge(self._original, network, device)
        self._own = OwnAdam(list(self._judge.parameters()), PACE)
        self._apart = torch.tensor(0.5)
        self._seen: list[tuple[Tensor, Any]] = []
        self._listening = model.register_forward_hook(_noting(self._seen))

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        return self._gates.exchanged(self._masks)

    def epoch_start(self, moment: Moment) -> None:
        """The masks' momentum begins anew; the paper does so when the learning rate falls."""
        self._age = 1.0

    def penalty(self, moment: Moment) -> Tensor:
        """What the masked network is to be: like the original in its scores, and mistaken for it."""
        x, output = self._seen[-1]
        scores = main_output(output).float()
        with torch.no_grad():
            wanted = main_output(self._original(x)).float()
        self._pair = wanted, scores.detach()
        loss = self._spec.imitation * (scores - wanted).square().mean()
        if self._spec.adversary:
            mistaken = self._judge(scores)
            loss = loss + F.binary_cross_entropy_with_logits(mistaken, torch.ones_like(mistaken))
        return loss

    def after_backward(self, moment: Moment) -> None:
        self._seen.clear()
        if self._spec.adversary:
            self._learn_to_tell(moment)
        every = max(1, moment.steps // self._spec.rounds)
        if (moment.step + 1) % every == 0:
            self._shrink()
        for mask in self._masks.values():
            mask.grad = None

    def _learn_to_tell(self, moment: Moment) -> None:
        """A step of the discriminator alone: what it heard from the network's own loss is forgotten."""
        self._own.forget()
        wanted, scores = self._pair
        with torch.enable_grad():
            told_apart(self._judge, wanted, scores).backward()
        with torch.no_grad():
            right = torch.cat([self._judge(wanted) > 0, self._judge(scores) <= 0])
        self._apart = right.float().mean()
        self._own.step(moment)

    @torch.no_grad()
    def _shrink(self) -> None:
        older, self._age = self._age, (1 + sqrt(1 + 4 * self._age**2)) / 2
        momentum = (older - 1) / self._age
        open_ = {key: (mask > 0).to(mask.dtype) for key, mask in self._masks.items()}
        sparsity = self._spec.sparsity if self._cost.share(open_) > self._allowed else 0.0
        for key, mask in self._masks.items():
            gradient = torch.zeros_like(mask) if mask.grad is None else mask.grad
            new = fista(mask, self._before[key], gradient, momentum, self._spec.rate, sparsity)
            largest = mask.argmax(0, keepdim=True)
            new.scatter_(0, largest, torch.where(new.any(), new[largest], mask[largest]))  # no layer is left empty
            self._before[key] = mask.detach().clone()
            mask.copy_(new)

    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        masks = torch.cat(list(self._masks.values()))
        return {"masks": masks, "zeros": (masks == 0).float().mean(), "apart": self._apart}

    def learnt(self) -> Mapping[str, Tensor]:
        return {key: mask.detach().double().cpu() for key, mask in self._masks.items()}

    def stop(self, model: nn.Module) -> None:
        self._listening.remove()

    def state(self) -> Mapping[str, Any]:
        masks = {key: mask.detach() for key, mask in self._masks.items()}
        return {
            "masks": masks,
            "before": self._before,
            "age": self._age,
            "judge": self._own.state(),
            "apart": self._apart,
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        for key, mask in self._masks.items():
            mask.copy_(state["masks"][key])
            self._before[key].copy_(state["before"][key])
        self._age, self._apart = state["age"], state["apart"]
        self._own.load(state["judge"])


def _noting(seen: list[tuple[Tensor, Any]]) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    """No method of the hook: copies of the network take its hooks along, and would copy the hook too."""

    def note(model: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if torch.is_grad_enabled():
            seen[:] = [(inputs[0].detach(), output)]

    return note


def _still(model: nn.Module) -> nn.Module:
    """A copy that only answers."""
    copied = copy.deepcopy(model).requires_grad_(False)
    set_mode_if_able(copied, False)
    return copied


@torch.no_grad()
def _judge(original: nn.Module, network: Network, device: torch.device) -> nn.Module:
    """From class scores to one number: above 0 for the original."""
    scores = main_output(original(*(a.to(device) if isinstance(a, Tensor) else a for a in network.example)))
    layers: list[nn.Module] = []
    for read, wrote in zip((scores.shape[1], *HIDDEN), (*HIDDEN, 1)):
        layers += [nn.Linear(read, wrote), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).to(device)


@dataclass(frozen=True)
class AdversarialPruning(Method):
    r"""Shrink soft masks of all channels while the network must pass for the one it was; cut those that reach zero.

    $\min_{W, m} \max_D\; \mathcal{L}_{adv}(D) + \mu \|f_b(x) - f_m(x)\|^2 + \lambda \|m\|_1$: the masked network $f_m$
    imitates the scores of the given one $f_b$, and a small discriminator $D$ that learns to tell them apart must fail.
    Labels are not needed. Masks move by proximal steps with momentum (FISTA), so that they become exactly zero.

    When it fails: what it was taught by is all it learns, mistakes included. Batch norms forget by
    how much all channels shrink together, so masks part slowly, and statistics lag behind: the accuracy that is shown
    falls, and comes back once they are renewed. Masks that do not reach zero in a few epochs are cut by their size.
    """

    card: ClassVar = Card(
        key="gal",
        name="Adversarial masks (GAL)",
        family=Family.PROXY,
        data=Data.UNLABELLED,
        time=Time.DURING,
        cost="a training in which the unpruned network runs along, and a training after the cut",
        paper=Paper(
            "Towards Optimal Structured CNN Pruning via Generative Adversarial Learning",
            "Lin S., Ji, Yan, Zhang, Cao, Ye, Huang, Doermann",
            "CVPR",
            2019,
            "1903.09291",
        ),
        published=(
            Published("ResNet-50", "ImageNet", "10.88 % top-5 error at 3.7x speed-up", "ShaohuiLin/GAL", True),
            Published("ResNet-50", "ImageNet", "71.80 % at 55.0 % fewer MACs", "tables of PPSM, 2022", False),
            Published("ResNet-50", "ImageNet", "69.31 % at 72.9 % fewer MACs", "tables of PPSM, 2022", False),
        ),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The paper trains 100 epochs with a step of the masks every 200 batches, masks of channels, branches and "
        "blocks that begin as random numbers, a penalty of 0.001 to 0.8, and a regulariser of the discriminator; here "
        "it is a few epochs with ten larger steps of the masks in each, masks of channels alone that begin at 1, a "
        "penalty that rests at the budget, and no regulariser. The training after the cut uses labels."
    )
    in_paper: ClassVar = (
        InPaper("sparsity", "0.6 to 0.8 (ResNet-56), 1e-3 (VGG), 1e-2 (GoogLeNet, DenseNet)"),
        InPaper("imitation", "1 (ResNet-56), 0.1 (the others)"),
        InPaper("rate", "that of the weights", False),
        InPaper("adversary", "on"),
        InPaper("epochs", "100"),
        InPaper("lr", "0.01, a tenth every 30 epochs"),
        InPaper("weight_decay", "2e-4"),
    )

    sparsity: Annotated[float, Range(1e-4, 10.0, "Penalty on masks", log=True)] = 0.02
    imitation: Annotated[float, Range(0.0, 10.0, "Weight of the imitation", step=0.1)] = 1.0
    rate: Annotated[float, Range(0.001, 1.0, "Step size of masks", log=True)] = 0.25
    adversary: Annotated[bool, Toggle("Discriminator", help="off: GAL without its adversary, imitation alone")] = True

    def obstacle(self, network: Network) -> str:
        return without_channels(network)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        budget = staged(goal, 1)
        masks = AdversarialMasks(budget, self.sparsity, self.imitation, self.rate, adversary=self.adversary)
        yield Train(0.5, (masks,), FromHooks(), keep="last", name="masks shrink")
        yield Cut(Learnt(), Within(GlobalThreshold(normalise="none"), budget), name="zero and smallest masks")
        yield Recover(name="statistics")
        yield Train(0.5, name="what is left")
