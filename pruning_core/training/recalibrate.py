"""New batch-norm statistics for a network whose weights or widths changed.

Source: B. Li et al., EagleEye, ECCV 2020 (arXiv 2007.02491): candidates are ranked by the accuracy that they have with
statistics of their own, not with those of the unpruned network. 50 to 100 batches of training images are usual.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pruning_core.errors import UserError
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import set_mode_if_able
from pruning_core.work import finished


def keeping_statistics(model: nn.Module) -> list[_BatchNorm]:
    """The batch-norm layers whose statistics can be measured anew."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> nn.Module:
    """A copy of ``model`` in eval mode whose batch-norm statistics are the plain averages over ``batches``.

    ``batches`` are normalised images (N, C, H, W) of the training split, on the model's device, N > 1. Weights stay as
    they are, and a network without batch norm comes back unchanged. Raises UserError when there is no batch, or one of
    a single image that leaves a single value per channel.
    """
    return finished(recalibrating(model, batches))


def recalibrating(model: nn.Module, batches: Iterable[Tensor]) -> Generator[int, None, nn.Module]:
    """As :func:`recalibrate`; yields the number of batches seen after each of them."""
    clone = copied(model)
    set_mode_if_able(clone, False)
    norms = keeping_statistics(clone)
    if not norms:
        return clone
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the cumulative average: every batch counts the same
        norm.train()
    seen = 0
    for batch in batches:
        _pass(clone, batch)
        seen += 1
        yield seen
    if not seen:
        raise UserError("Batch-norm statistics need images. Choose at least one batch of training images.")
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
        norm.eval()
    return clone


@torch.no_grad()
def _pass(network: nn.Module, batch: Tensor) -> None:
    try:
        network(batch)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise UserError("Batch-norm statistics need several images at a time. Choose a larger batch.") from error
        raise
