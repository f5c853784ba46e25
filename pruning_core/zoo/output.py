"""What a network gives for images: a row of numbers each, or a map of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pruning_core.errors import UserError, clip
from pruning_core.numeric.box_layout import proposed
from pruning_core.numeric.outputs import Takes, every
from pruning_core.zoo.meaning import Outputs, look_like

LOUD = (10, 100)  # times the usual brightness
BATCHES = (2, 1)  # one image is tried where two are refused: programs can be exported for exactly one


def check_output(model: nn.Module, input_size: tuple[int, ...]) -> int:
    """Run ``model`` on random images of ``input_size`` (C, H, W) and return its number of classes.

    The model is left in the mode it was in. Raises UserError when it cannot run on such images, or gives anything but
    finite scores (N, classes) of two classes or more: for architectures that are classifiers.
    """
    found = look(model, input_size)
    if found.places or found.width < 2:
        raise UserError(
            f"The network gives {found} for an image; a classifier gives one row of scores (N, classes) with at least "
            "two classes. Bring it as .pt2 or .onnx, which hold the network itself."
        )
    return found.width


def look(model: nn.Module, input_size: tuple[int, ...]) -> Outputs:
    """Run ``model`` on random images of ``input_size`` (C, H, W), plain and loud, and say what its outputs look like.

    The model is left in the mode it was in. Raises UserError as ``check_output`` does.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        return _outputs(model, input_size)
    finally:
        for module, training in modes.items():
            module.training = training


def _outputs(model: nn.Module, input_size: tuple[int, ...]) -> Outputs:
    generator = torch.Generator().manual_seed(0)
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    error: Exception | None = None
    for batch in BATCHES:
        images = torch.rand((batch, *input_size), generator=generator).to(first.device, first.dtype)
        try:
            with torch.no_grad():
                output = model(images)
        except Exception as raised:  # a stranger's network may raise anything; all of it means the same
            error = error or raised
            continue
        rows = _judged(output, batch)
        with torch.no_grad():
            loud = [_loud(model, factor * (images - 0.5)) for factor in LOUD]
        found = look_like(torch.cat([rows, *(each for each in loud if each is not None)]))
        more = len([leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]) - 1
        several = every(output, Takes.ALL)
        several = several if several and several[0] is rows else [rows]  # what is judged is read first
        beside = tuple(tuple(each.shape[1:]) for each in several[1:])
        found = replace(found, layout=proposed(several, max(input_size[1:], default=0)), beside=beside)
        return replace(found, evidence=f"{found.evidence}; {more} more with it") if more else found
    shape = " x ".join(map(str, input_size))
    reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    raise UserError(
        f"The network does not run on images of {shape} (channels, height, width): {reason}. Choose the input size it "
        "was made for."
    ) from error


def _loud(model: nn.Module, images: Tensor) -> Tensor | None:
    """Its outputs for images far from usual ones, where scores go their ways; None where it has none."""
    try:
        output = model(images)
    except Exception:  # a stranger's network may raise anything, and need not read such images
        return None
    found = _main(output)
    return found if found is not None and bool(torch.isfinite(found).all()) else None


def _main(output: object) -> Tensor | None:
    """The one that is measured: a tensor, the "out" or first entry, the first element; None where there is none."""
    if isinstance(output, dict) and output:
        output = output["out"] if "out" in output else next(iter(output.values()))
    elif isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def _judged(output: object, batch: int) -> Tensor:
    found = _main(output)
    if found is None:
        raise UserError(
            f"The network gives {_named(output)} instead of a tensor (N, …). Give it a forward that returns a tensor, "
            "or several with the one to be measured first."
        )
    if found.ndim == 0 or found.shape[0] != batch or 0 in found.shape:
        raise UserError(
            f"The network turns {batch} images into a tensor of shape {tuple(found.shape)}, which is not one row or "
            "map for each image. Give it a forward that returns a tensor with one entry per image."
        )
    if not found.is_floating_point():
        raise UserError(
            f"The network gives whole numbers ({found.dtype}), so it has decided already, and how far it changes "
            "cannot be seen. Give it a forward that returns the scores that it decides by."
        )
    if not bool(torch.isfinite(found).all()):
        raise UserError(
            "The network's outputs are not finite numbers, even on harmless images. Its weights or running statistics "
            "are broken; upload an earlier checkpoint."
        )
    return found


def _named(output: object) -> str:
    if isinstance(output, dict):
        return f"a dictionary ({', '.join(clip(str(key)) for key in list(output)[:4])})"
    if isinstance(output, tuple | list):
        return f"{len(output)} results"
    return f"a {type(output).__name__}"
