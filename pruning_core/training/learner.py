"""One network being trained: the copy, its optimizer, its gradients and steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pruning_core.errors import UserError
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import set_mode_if_able
from pruning_core.storage.memory import out_of_memory
from pruning_core.training.begun import Begun
from pruning_core.training.checkpoint import Checkpoint
from pruning_core.training.config import FineTune
from pruning_core.training.hooks import Hook, Moment
from pruning_core.training.loss import Forward, Objective

FLAT = "view size is not compatible"  # of what torch says where code reads a tensor as if it lay contiguous


class Unviewable(UserError):
    """The network's own code reads its tensors in their order in memory, which channels-last changes."""


class Learner:
    """A copy of ``model`` on ``device`` in training mode, to be equipped before it learns. What is frozen stays so.

    Raises UserError when nothing in it can be trained.
    """

    hooks: Begun
    optimizer: torch.optim.Optimizer

    def __init__(self, model: nn.Module, config: FineTune, device: str) -> None:
        self.device, self._config = device, config
        self._mixed, self._last = config.mixed(device), config.channels_last(device)
        self.model = copied(model).to(device)
        if self._last:
            self.model = self.model.to(memory_format=torch.channels_last)
        if not self._trainable():
            raise UserError(
                "Nothing in this network can be trained: it has no parameters, or all of them are frozen. "
                "Load it with its architecture, or unfreeze some of it."
            )
        self.training_mode(True)

    def equip(self, hooks: Begun, objective: Objective) -> None:
        """Make the optimizer; what the hooks train is trained with the network."""
        self.hooks, self._objective = hooks, objective
        spared = {id(parameter) for parameter in hooks.undecayed}
        decayed = [parameter for parameter in self._trainable() if id(parameter) not in spared]
        rest = [parameter for parameter in self._trainable() if id(parameter) in spared]
        groups: list[dict[str, Any]] = [{"params": decayed}] if decayed else []
        if rest or hooks.parameters:
            groups.append({"params": [*rest, *hooks.parameters], "weight_decay": 0.0})
        self.optimizer = _optimizer(groups, self._config)

    def training_mode(self, on: bool) -> None:
        """Switch between training and evaluation; an exported program stays in the mode it was exported in."""
        set_mode_if_able(self.model, on)

    def load(self, checkpoint: Checkpoint) -> None:
        """Raises ValueError for a checkpoint that was made with other hooks."""
        self.hooks.load(checkpoint.hooks)
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)

    def learn(self, x: Tensor, y: Tensor, moment: Moment, seed: int) -> tuple[Tensor, Tensor | None]:
        """One step on x (n, C, H, W), y (n,); returns (main loss, penalty), on the device and not yet waited for."""
        moment = replace(moment, labels=y)
        with self.dice(seed):
            losses = self._backward(x, y, moment)
            self.hooks.at(Hook.after_backward, moment)
            for group in self.optimizer.param_groups:
                group["lr"] = moment.rate
            self.optimizer.step()
            self.hooks.at(Hook.after_step, moment)
        return losses

    def tell(self, what: Callable[[Hook, Moment], None], moment: Moment, seed: int) -> None:
        """Let the hooks take part in what happens between steps."""
        with self.dice(seed):
            self.hooks.at(what, moment)

    @torch.no_grad()
    def measured(self, moment: Moment, seed: int) -> tuple[nn.Module, Mapping[str, Tensor]]:
        """The network to evaluate, and what is exchanged in it."""
        with self.dice(seed):
            overrides = {name: tensor.detach() for name, tensor in self.hooks.overrides(moment).items()}
        return (_Exchanged(self.model, overrides) if overrides else self.model), overrides

    @contextlib.contextmanager
    def dice(self, seed: int) -> Iterator[None]:
        """Dropout and hooks draw from the global generator: set it for now and put it back, so that steps repeat."""
        gpu = self.device.startswith("cuda")
        with torch.random.fork_rng(devices=[self.device] if gpu else []):
            torch.default_generator.manual_seed(seed)
            if gpu:
                with torch.cuda.device(self.device):  # manual_seed seeds the current device
                    torch.cuda.manual_seed(seed)
            yield

    @contextlib.contextmanager
    def viewable(self) -> Iterator[None]:
        """Around what runs the network. Raises Unviewable where channels-last is why it cannot."""
        try:
            yield
        except (RuntimeError, UserError) as error:
            if not self._last or FLAT not in str(error):
                raise
            raise Unviewable(
                "This network's code reads its tensors in the order in which they lie in memory, so it cannot be "
                "trained channels-last. Choose the contiguous memory layout, and float32."
            ) from error

    def _backward(self, x: Tensor, y: Tensor, moment: Moment) -> tuple[Tensor, Tensor | None]:
        self.optimizer.zero_grad(set_to_none=True)
        try:
            with torch.enable_grad(), self.viewable():
                if self._last and x.dim() == 4:
                    x = x.contiguous(memory_format=torch.channels_last)
                total, loss = self._objective.loss(self._forward(self.hooks.overrides(moment)), x, y)
                penalty = self.hooks.penalty(moment)
                (total if penalty is None else total + penalty).backward()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise UserError(
                f"The memory is not enough to train with batches of {len(x)}. Choose a smaller batch size."
            ) from None
        return loss.detach(), None if penalty is None else penalty.detach()

    def _forward(self, exchanged: Mapping[str, Tensor]) -> Forward:
        def forward(x: Tensor, overrides: Mapping[str, Tensor] | None = None) -> Any:
            tensors = {**exchanged, **(overrides or {})}
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self._mixed):
                return functional_call(self.model, tensors, (x,)) if tensors else self.model(x)

        return forward

    def _trainable(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]


class _Exchanged(nn.Module):
    """``model`` with some of its tensors exchanged, in evaluation mode as it is."""

    def __init__(self, model: nn.Module, overrides: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.model, self.overrides = model, dict(overrides)
        self.training = False  # not eval(): an exported program refuses it

    def forward(self, x: Tensor) -> Any:
        return functional_call(self.model, self.overrides, (x,))


def _optimizer(groups: list[dict[str, Any]], config: FineTune) -> torch.optim.Optimizer:
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )
