"""The filters of a group as arrays, for tables and pictures. No streamlit, no plotly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pruning_core.errors import UserError
from pruning_core.graph import Group
from pruning_core.probe.places import members_at, rows
from pruning_core.probe.site import Place

SHADES = " ░▒▓█"


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def pictures(model: nn.Module, group: Group) -> NDArray[np.float64]:
    """(C, h, w): each filter of the group's first layer, averaged over the channels it reads.

    A layer without an extent (linear, 1×1) gives its weights as a nearly square picture, padded with NaN.
    """
    known = tensors(model)
    members = members_at(group, Place.PRODUCER, known)
    if not members:
        raise UserError(f"No weights compute the channels of {group.key}, so there are no filters to show.")
    weight = known[members[0].parameter].detach().double().cpu()
    own = rows(weight, members[0])
    extent = tuple(weight.shape[2:])
    if len(extent) == 2 and extent[0] * extent[1] > 1:
        return own.reshape(len(own), -1, *extent).mean(1).numpy()
    side = int(np.ceil(np.sqrt(own.shape[1])))
    padded = np.full((len(own), side * side), np.nan)
    padded[:, : own.shape[1]] = own.numpy()
    return padded.reshape(len(own), side, side)


def drawn(picture: NDArray[np.float64], widest: int = 9) -> str:
    """A picture in shades of text, for a tooltip: dark is large. Empty when it is too wide."""
    if picture.shape[1] > widest or picture.shape[0] > widest:
        return ""
    low, high = float(np.nanmin(picture)), float(np.nanmax(picture))
    level = np.nan_to_num((picture - low) / (high - low)) if high > low else np.zeros_like(picture)
    steps = np.minimum((level * len(SHADES)).astype(int), len(SHADES) - 1)
    return "<br>".join("".join(SHADES[step] * 2 for step in row) for row in steps)
