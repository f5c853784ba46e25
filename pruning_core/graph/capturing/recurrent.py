"""Recurrent layers: their fused kernels are opened, and stacked layers keep one hidden size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from pruning_core.graph.capturing.record import Recording
from pruning_core.graph.labelling.labels import cover
from pruning_core.graph.modules import modules_by_name


def _recurrent(modules: Mapping[str, nn.Module]) -> list[str]:
    return [name for name, module in modules.items() if isinstance(module, nn.RNNBase)]


@contextlib.contextmanager
def plain_recurrence(model: nn.Module) -> Iterator[None]:
    """The fused oneDNN kernel shows nothing of what happens inside; the composite one shows every product."""
    if not _recurrent(modules_by_name(model)):
        yield
        return
    before = torch.backends.mkldnn.set_flags(False, None, None, None)[0]
    try:
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        torch.backends.mkldnn.set_flags(before, None, None, None)


def link_recurrent_layers(model: nn.Module, recording: Recording) -> None:
    """One module has one hidden size: unit j of every layer and direction lives or dies together."""
    for prefix in _recurrent(recording.modules):
        hidden = []
        for name, x in recording.parameters.items():
            if name.startswith(f"{prefix}.weight_hh" if prefix else "weight_hh"):
                hidden += [p.reshape(-1) for p in x.planes if cover(p) == {1}]
        for other in hidden[1:]:
            recording.universe.link(hidden[0], other)
