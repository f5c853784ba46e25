"""The user's own code on their own machine: a function that returns the network, named when the dashboard is started.

Only the name given at the start is ever imported: a stored reference cannot make a server run other code.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from torch import nn

from pruning_core.errors import UserError
from pruning_core.zoo.meaning import Outputs, told_by
from pruning_core.zoo.output import look
from pruning_core.zoo.ref import ModelRef

VARIABLE = "PRUNESCOPE_MODEL"
USUAL_SIZE = (3, 224, 224)


def named_at_start(arguments: Sequence[str] | None = None) -> str | None:
    """``package.module:factory`` from ``--model`` on the command line, else from the environment."""
    words = list(sys.argv if arguments is None else arguments)
    for at, word in enumerate(words):
        if word.startswith("--model="):
            return word.removeprefix("--model=")
        if word == "--model" and at + 1 < len(words):
            return words[at + 1]
    return os.environ.get(VARIABLE) or None


def factory_ref(name: str) -> ModelRef:
    """The reference to the network that ``name`` makes."""
    return ModelRef("factory", name)


def factory_model(ref: ModelRef) -> tuple[nn.Module, tuple[int, ...], Outputs]:
    """(network, its input size (C, H, W), what its outputs look like or ``ref`` says that they are).

    The input size is ``ref.input_size``, else the network's attribute ``input_size``, else 3 x 224 x 224. Raises
    UserError when the name is not the one given at the start, cannot be imported, or does not make a classifier.
    """
    if ref.name != named_at_start():
        raise UserError(
            f"The network {ref.name!r} is made by code of yours. Start the dashboard with --model {ref.name} to use it."
        )
    model = _made(ref.name)
    size = ref.input_size or tuple(getattr(model, "input_size", USUAL_SIZE))
    if len(size) != 3:
        raise UserError(f"The attribute input_size of {ref.name} must be (channels, height, width), not {size!r}.")
    looks = look(model, (size[0], size[1], size[2]))
    return model, (size[0], size[1], size[2]), told_by(ref.options, looks.width) or looks


def _made(name: str) -> nn.Module:
    module, _, function = name.partition(":")
    if not module or not function:
        raise UserError(f"--model takes package.module:factory, not {name!r}.")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        model = getattr(importlib.import_module(module), function)()
    except Exception as error:  # somebody else's code: whatever it raises is what they need to read
        raise UserError(f"{name} could not make the network: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"{name} returns {type(model).__name__}; it must return a torch.nn.Module.")
    return model.eval()
