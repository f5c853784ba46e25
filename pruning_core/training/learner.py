"""One network being trained: the copy, its optimizer, its gradients and steps."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.storage.memory import out_of_memory
from pruning_core.training.checkpoint import Checkpoint
from pruning_core.training.config import FineTune
from pruning_core.training.loss import training_loss


class Learner:
    """A copy of ``model`` on ``device`` in training mode. Frozen parameters stay as they are.

    Raises UserError when nothing in it can be trained.
    """

    def __init__(self, model: nn.Module, config: FineTune, device: str) -> None:
        self.device, self._config = device, config
        self._fast = device.startswith("cuda")
        self.model = copy.deepcopy(model).to(device)
        if self._fast:
            self.model = self.model.to(memory_format=torch.channels_last)
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        if not trainable:
            raise UserError(
                "Nothing in this network can be trained: it has no parameters, or all of them are frozen. "
                "Load it with its architecture, or unfreeze some of it."
            )
        self.optimizer = _optimizer(trainable, config)
        self.training_mode(True)

    def training_mode(self, on: bool) -> None:
        """Switch between training and evaluation; an exported program stays in the mode it was exported in."""
        with contextlib.suppress(NotImplementedError):
            self.model.train(on)

    def load(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)

    def backward(self, x: Tensor, y: Tensor, seed: int) -> Tensor:
        """Gradients for x (n, C, H, W), y (n,); returns the main loss, on the device and not yet waited for."""
        self.optimizer.zero_grad(set_to_none=True)
        try:
            with self._dice(seed), torch.enable_grad():
                if self._fast:
                    x = x.contiguous(memory_format=torch.channels_last)
                with torch.autocast("cuda", torch.bfloat16, enabled=self._fast):
                    output = self.model(x)
                total, loss = training_loss(output, y, self._config.label_smoothing)
                total.backward()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise UserError(
                f"The memory is not enough to train with batches of {len(x)}. Choose a smaller batch size."
            ) from None
        return loss.detach()

    def step(self, rate: float) -> None:
        """Move the parameters along their gradients."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    @contextlib.contextmanager
    def _dice(self, seed: int) -> Iterator[None]:
        """Dropout draws from the global generator: set it for this step and put it back, so that steps repeat."""
        with torch.random.fork_rng(devices=[self.device] if self._fast else []):
            torch.default_generator.manual_seed(seed)
            if self._fast:
                with torch.cuda.device(self.device):  # manual_seed seeds the current device
                    torch.cuda.manual_seed(seed)
            yield


def _optimizer(parameters: list[nn.Parameter], config: FineTune) -> torch.optim.Optimizer:
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )
