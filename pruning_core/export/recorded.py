"""A removal in program form as source code: what a script runs where the network's own code has sizes written in it."""

from __future__ import annotations

import base64
import inspect
import zlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

Packed = tuple[str, tuple[int, ...], str]  # type, shape, and the numbers: compressed, as text
Layer = tuple[str, dict[str, Any]]  # class of torch.nn and its arguments


@dataclass(frozen=True)
class Recorded:
    """``code`` defines ``program(self, x)``; ``self`` holds what the rest names.

    ``parameters`` and ``buffers`` are the network's, cut; ``constants`` were made by the recording. ``modules`` are
    those that run as modules (batch norms, dropout); one of the person's own classes has no class name here.
    """

    code: str
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    constants: dict[str, Packed]
    modules: dict[str, Layer]


def recorded(program: nn.Module, cut: nn.Module) -> Recorded:
    """``program`` is what :func:`pruning_core.graph.remove` gave, ``cut`` the network's own classes with its sizes."""
    assert isinstance(program, fx.GraphModule)  # every recorded removal is one
    buffers = dict(program.named_buffers(remove_duplicate=False))
    before = {name for name, _ in cut.named_buffers(remove_duplicate=False)}
    called = dict.fromkeys(str(node.target) for node in program.graph.nodes if node.op == "call_module")
    return Recorded(
        program.graph.python_code("self").src.strip().replace("def forward(", "def program(", 1),
        tuple(name for name, _ in program.named_parameters(remove_duplicate=False)),
        tuple(name for name in buffers if name in before),
        {name: _packed(value) for name, value in buffers.items() if name not in before},
        {name: _layer(program.get_submodule(name)) for name in called},
    )


def _layer(module: nn.Module) -> Layer:
    """Its class and the arguments it was made with, which torch's own layers keep under their names."""
    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind:
        return "", {}
    names = inspect.signature(kind).parameters
    return kind.__name__, {name: vars(module)[name] for name in names if name in vars(module)}


def _packed(value: Tensor) -> Packed:
    numbers: Any = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    text = base64.b85encode(zlib.compress(numbers.tobytes(), 9)).decode()
    return str(value.dtype).removeprefix("torch."), tuple(value.shape), text
