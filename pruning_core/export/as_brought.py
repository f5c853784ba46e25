"""A network with the inputs and outputs that it was brought with, which is how it goes home."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning_core.export.onnx_file import NAMES, Names
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.gpt import Gpt
from pruning_core.zoo.interface import Input
from pruning_core.zoo.programs.packing import FEW, around, restored, unpacked


def as_brought(loaded: LoadedModel) -> tuple[nn.Module, tuple[Tensor, ...], Names]:
    """(network, one example of each input, names); of a program that was packed to be called with one tensor, as its
    file had it."""
    told = loaded.interface
    if told is None:
        return loaded.model, (torch.zeros(1, *loaded.input_size),), NAMES
    model = restored(loaded.model)
    as_it_is = isinstance(model, Gpt) or not (told.packed or told.measured)  # that one reads both floats and tokens
    if model is loaded.model and not as_it_is:  # what was put into it is gone
        bare = unpacked(model, told.inputs) if told.packed else model
        model = around(bare, told.inputs, told.measured, told.packed and bare is model)
    named = loaded.ref.origin.architecture in ("onnx", "keras")
    inputs = tuple(each.name for each in told.inputs) if named or len(told.inputs) > 1 else ()
    outputs = tuple(each.name for each in told.outputs) if named else ()
    return model, tuple(_example(each) for each in told.inputs), Names(inputs, outputs)


def _example(each: Input) -> Tensor:
    """Of whole numbers the largest one, which says how many there are."""
    if not each.whole:
        return torch.zeros(1, *each.shape)
    return torch.full((1, *each.shape), (each.known or FEW) - 1, dtype=each.dtype)
