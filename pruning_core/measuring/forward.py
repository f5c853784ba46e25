"""Running somebody's network once, safely: in evaluation mode, without touching it, and reading what comes out."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.storage.memory import out_of_memory


def ready(model: nn.Module, device: str) -> nn.Module:
    """``model`` in evaluation mode on ``device``: itself when it is there already, else a copy.

    The caller's model is never changed, because other threads may be using it.
    """
    target = torch.device(device)
    tensors = [*model.parameters(), *model.buffers()]
    if not any(module.training for module in model.modules()) and all(t.device == target for t in tensors):
        return model
    model = copy.deepcopy(model)
    with contextlib.suppress(NotImplementedError):  # an exported program has the mode it was exported in
        model.eval()
    return model.to(target)


def precision(model: nn.Module) -> torch.dtype:
    """The floating type of the parameters, which the input must have too (float32 when there are none)."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def main_output(output: Any) -> Tensor:
    """The class scores among what a network returned: a tensor, the "out" or first entry, the first element.

    Raises UserError when there is no tensor to be found.
    """
    if isinstance(output, Mapping) and output:
        output = output["out"] if "out" in output else next(iter(output.values()))
    elif isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise UserError(
            f"The network returns {type(output).__name__}, not class scores. "
            "It must return a tensor (images, classes), or have one as its first output."
        )
    return output


@torch.no_grad()
def class_scores(model: nn.Module, x: Tensor, classes: int | None) -> Tensor:
    """Scores (n, K) of the images ``x`` (n, C, H, W), with K equal to ``classes`` where that is given.

    Raises UserError when the network cannot read the images, returns something else, or returns NaN or infinity; an
    exhausted memory is passed on as it is.
    """
    try:
        scores = main_output(model(x))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        if out_of_memory(error):
            raise
        size = " × ".join(str(side) for side in x.shape[1:])
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"The network cannot read images of {size} (channels × height × width). It says: {said}. "
            "Choose the input size it was made for."
        ) from error
    if scores.ndim != 2 or len(scores) != len(x):
        shape = " × ".join(str(side) for side in scores.shape)
        raise UserError(
            f"The network returns an output of {shape or 'no dimensions'} for {len(x)} images. "
            f"A classifier returns one row of class scores per image: {len(x)} × classes."
        )
    if classes is not None and scores.shape[1] != classes:
        raise UserError(
            f"The network tells {scores.shape[1]} classes apart, the data has {classes}. "
            "Choose data and a network with the same classes."
        )
    if not bool(torch.isfinite(scores).all()):
        raise UserError(
            "The network returns NaN or infinite scores. Its weights may be damaged, or the images may not be "
            "normalised as it expects: check the weights, the mean and the standard deviation."
        )
    return scores
