"""Whether a network is a classifier: images in, (N, classes) out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError, clip
from pruning_core.zoo.meaning import Outputs, look_like

LOUD = (10, 100)  # times the usual brightness
BATCHES = (2, 1)  # one image is tried where two are refused: programs can be exported for exactly one


def check_output(model: nn.Module, input_size: tuple[int, int, int]) -> int:
    """Run ``model`` on random images of ``input_size`` (C, H, W) and return its number of classes.

    The model is left in the mode it was in. Raises UserError when it cannot run on such images, gives anything but
    finite (N, classes), or fewer than two classes.
    """
    return look(model, input_size).width


def look(model: nn.Module, input_size: tuple[int, int, int]) -> Outputs:
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


def _outputs(model: nn.Module, input_size: tuple[int, int, int]) -> Outputs:
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
        return look_like(torch.cat([rows, *(each for each in loud if each is not None)]))
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
    if not isinstance(output, Tensor) or output.ndim != 2 or not bool(torch.isfinite(output).all()):
        return None
    return output


def _judged(output: object, batch: int) -> Tensor:
    if not isinstance(output, Tensor):
        raise UserError(
            f"The network gives {_named(output)} instead of one tensor (N, classes). Give it a forward that returns "
            "the class scores alone."
        )
    if output.ndim != 2 or output.shape[0] != batch or output.shape[1] < 2:
        raise UserError(
            f"The network turns {batch} images into a tensor of shape {tuple(output.shape)}; a classifier gives "
            f"({batch}, classes) with at least two classes. Only classifiers can be explored here."
        )
    if not output.is_floating_point() or not bool(torch.isfinite(output).all()):
        raise UserError(
            "The network's scores are not finite numbers, even on harmless images. Its weights or running statistics "
            "are broken; upload an earlier checkpoint."
        )
    return output


def _named(output: object) -> str:
    if isinstance(output, dict):
        return f"a dictionary ({', '.join(clip(str(key)) for key in list(output)[:4])})"
    if isinstance(output, tuple | list):
        return f"{len(output)} results"
    return f"a {type(output).__name__}"
