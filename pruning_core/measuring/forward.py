"""Running somebody's network once, safely: in evaluation mode, without touching it, and reading what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import set_mode_if_able
from pruning_core.numeric.detections import as_rows
from pruning_core.numeric.outputs import Takes, behind_one_another, every
from pruning_core.storage.memory import out_of_memory

BOXES = ("boxes", "scores", "labels")  # what torchvision's detectors say of each image


def ready(model: nn.Module, device: str) -> nn.Module:
    """``model`` in evaluation mode on ``device``: itself when it is there already, else a copy.

    The caller's model is never changed, because other threads may be using it.
    """
    target = torch.device(device)
    tensors = [*model.parameters(), *model.buffers()]
    if not any(module.training for module in model.modules()) and all(t.device == target for t in tensors):
        return model
    model = copied(model)
    set_mode_if_able(model, False)
    return model.to(target)


def precision(model: nn.Module) -> torch.dtype:
    """The floating type of the parameters, which the input must have too (float32 when there are none)."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def main_output(output: Any) -> Tensor:
    """The main one among what a network returned: a tensor, the "out" or first entry, the first element; of boxes,
    scores and labels for each image as torchvision's detectors return them, all of them as rows (n, 100, 6).

    Raises UserError when there is no tensor to be found.
    """
    if isinstance(output, list | tuple) and output and all(_of_boxes(each) for each in output):
        return as_rows(output)
    if isinstance(output, Mapping) and output:
        output = output["out"] if "out" in output else next(iter(output.values()))
    elif isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise UserError(
            f"The network returns {type(output).__name__}, no tensor. "
            "It must return a tensor (images, …), or have one as its first output."
        )
    return output


def _of_boxes(output: Any) -> bool:
    return isinstance(output, Mapping) and all(isinstance(output.get(name), Tensor) for name in BOXES)


def taken(output: Any, takes: Takes) -> Tensor:
    """The main output, or those that ``takes`` says, behind one another: (n, all their numbers); one as it is.

    Raises UserError when there is no tensor to be found.
    """
    found = every(output, takes)
    return behind_one_another(found) if len(found) > 1 else main_output(output)


def class_scores(model: nn.Module, x: Tensor, classes: int | None) -> Tensor:
    """Scores (n, K) of the images ``x`` (n, C, H, W), with K equal to ``classes`` where that is given.

    Raises UserError as ``outputs_for`` does, and where the network gives something else.
    """
    scores = outputs_for(model, x)
    check_scores(scores, classes)
    return scores


def check_scores(scores: Tensor, classes: int | None) -> None:
    """Raise UserError for outputs that are no scores of so many classes (n, K)."""
    if scores.ndim != 2:
        shape = " × ".join(str(side) for side in scores.shape)
        raise UserError(
            f"The network returns an output of {shape or 'no dimensions'} for {len(scores)} images. "
            f"A classifier returns one row of class scores per image: {len(scores)} × classes."
        )
    if classes is not None and scores.shape[1] != classes:
        raise UserError(
            f"The network tells {scores.shape[1]} classes apart, the data has {classes}. "
            "Choose data and a network with the same classes."
        )


@torch.no_grad()
def outputs_for(model: nn.Module, x: Tensor, takes: Takes = Takes.MAIN) -> Tensor:
    """The main output (n, …) for the images ``x`` (n, C, H, W), or those that ``takes`` says, as ``taken`` gives them.

    Raises UserError when the network cannot read the images, returns no row for each of them, or returns NaN or
    infinity; an exhausted memory is passed on as it is.
    """
    try:
        output = model(x)
        found = taken(output, takes)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        if out_of_memory(error):
            raise
        size = " × ".join(str(side) for side in x.shape[1:])
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(
            f"The network cannot read images of {size} (channels × height × width). It says: {said}. "
            "Choose the input size it was made for."
        ) from error
    if found.ndim == 0 or len(found) != len(x):
        shape = " × ".join(str(side) for side in found.shape)
        raise UserError(
            f"The network returns an output of {shape or 'no dimensions'} for {len(x)} images, not a row for each of "
            "them, so no image can be judged by it."
        )
    if not bool(torch.isfinite(found).all()):
        raise UserError(
            "The network returns NaN or infinite numbers. Its weights may be damaged, or the images may not be "
            "normalised as it expects: check the weights, the mean and the standard deviation."
        )
    return found
