"""Weights as safetensors: a format that holds numbers and nothing that could run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.sparsity.weights import prunable
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.load import origin_of
from pruning_core.zoo.origin import KEY, structure

ALIASES = "aliases"  # metadata: names of tensors that share their storage -> the name that is stored


def weights_bytes(model: nn.Module, metadata: Mapping[str, str] | None = None) -> bytes:
    """The state dict as safetensors. Tensors that share storage are stored once, under their first name.

    The file says what else the network is made of (``structure``), so that one of other settings is not taken for it.
    """
    state = model.state_dict()
    aliases = aliases_of(state)
    stored = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
        if name not in aliases
    }
    said = {"format": "pt", ALIASES: json.dumps(aliases), "structure": structure(model), "torch": torch.__version__}
    return _ordered(safetensors.torch.save(stored, {**said, **(metadata or {})}))


def masks_bytes(model: nn.Module, network: Network) -> bytes:
    """Weight name -> bool of its shape, True where a weight is not zero, as safetensors; of weights that multiply."""
    masks = {name: (weight != 0).cpu().contiguous() for name, weight in prunable(model, network).items()}
    return _ordered(safetensors.torch.save(masks, {"format": "pt", "torch": torch.__version__}))


def origin_metadata(loaded: LoadedModel) -> dict[str, str]:
    """What to write beside the weights so that the network is built again from them; {} where no code here can."""
    origin = origin_of(loaded)
    return {} if origin is None else {KEY: origin.to_json()}


def _ordered(data: bytes) -> bytes:
    """The same file with its header in a fixed order: the library shuffles the metadata, and with it the digest."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors stay aligned
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def aliases_of(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of tensors that are another one under a second name -> the first name."""
    first: dict[tuple[object, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and place in first:
            aliases[name] = first[place]
        first.setdefault(place, name)
    return aliases


def read_weights(data: bytes) -> dict[str, Tensor]:
    """The state dict of :func:`weights_bytes`. Raises UserError when the bytes are no such file."""
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        for name, kept in json.loads(metadata.get(ALIASES, "{}")).items():
            tensors[name] = tensors[kept]
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise UserError("These weights are no safetensors file, or a damaged one. Download them again.") from error
    return tensors


def sha256(data: bytes) -> str:
    """The digest (hex) that tells whether a file is the one that was written."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """sha256 (hex) of all tensors of a state dict: names, types, shapes and bytes. The script computes the same."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return total.hexdigest()
