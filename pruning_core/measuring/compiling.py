"""A network as torch.compile makes it, or the sentence that says why not."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pruning_core.errors import UserError, clip

WORDS = 160  # characters of what torch says


def compiled(network: nn.Module, x: torch.Tensor, *, beside: bool = False) -> nn.Module:
    """``network`` compiled in one piece for inputs like ``x``; it was run once. ``beside``: others stay compiled.

    Raises UserError where that cannot be: without a C++ compiler on a CPU, in a process that may start none, and for
    code that is no single graph. Nothing falls back silently to how it was.
    """
    import torch._dynamo
    import torch._inductor.config

    if not beside:
        torch._dynamo.reset()  # after eight networks of one class it would give up and run them as they are
    made: Any = torch.compile(network, fullgraph=True, dynamic=False)
    try:
        # In this process: its pool of compiling processes would outlive a run.
        with torch.no_grad(), torch._inductor.config.patch(compile_threads=1):
            made(x)
    except Exception as error:  # whatever a compiler of a stranger's code comes to
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"torch.compile does not work for this network here: {clip(said, WORDS)} Time it as PyTorch runs it."
        ) from None
    found: nn.Module = made
    return found
