"""A network as an exported program (.pt2): it runs wherever PyTorch does, without the code that built it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.export.traced import difference, trace


@dataclass(frozen=True, eq=False)
class Exported:
    """A file's ``data``, and how far it was checked against the network.

    ``max_rel`` is the largest difference of any output over the batch sizes ``checked``, relative to the largest
    output. ``any_batch`` is False when it takes one batch size only; ``notes`` say why.
    """

    data: bytes
    any_batch: bool
    max_rel: float
    checked: tuple[int, ...]
    notes: tuple[str, ...] = ()


def export_pt2(model: nn.Module, example: Tensor | tuple[Tensor, ...]) -> Exported:
    """``model`` in eval mode as a .pt2 file; ``example`` (N, C, H, W), or several inputs, gives their sizes.

    ``torch.export.load("model.pt2").module()`` runs it. Raises UserError when the network cannot be exported, or the
    exported one does not compute the same.
    """
    traced = trace(model, example)
    worst = difference(traced, traced.program.module())
    out = io.BytesIO()
    torch.export.save(traced.program, out)
    return Exported(out.getvalue(), traced.any_batch, worst, traced.batches, traced.notes)
