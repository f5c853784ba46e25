"""State dicts in the data directory: safetensors, named by their content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pruning_core.errors import UserError
from pruning_core.storage.uploads import Root, artifacts


def store_weights(tensors: Mapping[str, Tensor], root: Root, notes: tuple[str, ...] = ()) -> str:
    """Keep a state dict, and notes on where it came from, in the data directory; returns its digest."""
    apart = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    return artifacts(root).put(save(apart, {"notes": json.dumps(notes)}))


def stored_weights(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(state dict, notes) as stored. Raises UserError when the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {}).get("notes", "[]"))
            return {key: file.get_tensor(key) for key in file.keys()}, tuple(notes)  # noqa: SIM118 (it has no iterator)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError("The stored weights of this network are damaged. Upload or compute them again.") from error
