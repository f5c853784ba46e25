"""The body of the script that a person downloads: :mod:`.script` fills in the data and puts a header above it.

It is a module of its own so that it is checked like any other; what it imports of this project is copied into it.
"""

from __future__ import annotations

# >>> imports
import argparse
import base64
import contextlib
import copy
import hashlib
import importlib
import importlib.util
import io
import json
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# <<< imports
# >>> training
from pruning_core.export.standalone_training import logits, rank, train

# <<< training

# >>> data
NETWORK = ""
CHANNELS: dict[str, tuple[int, str]] = {}
SLICES: dict[str, dict[int, str]] = {}
ATTRIBUTES: dict[str, dict[str, Any]] = {}
ATTENTION: tuple[str, ...] = ()
SILENCED: dict[str, dict[int, str]] = {}
ALIASES: dict[str, str] = {}
EXACT = True
INPUT: tuple[int, ...] = ()
ORIGINAL: dict[str, Any] = {}
TUNED: dict[str, Any] = {}
ORIGIN = ""
# <<< data
# >>> program
program: Any = None
PARAMETERS: tuple[str, ...] = ()
BUFFERS: tuple[str, ...] = ()
CONSTANTS: dict[str, tuple[str, tuple[int, ...], str]] = {}
MODULES: dict[str, tuple[str, dict[str, Any]]] = {}
# <<< program
# >>> architecture
build: Any = None
HeadAttention: Any = None
BUILT_WITH_WEIGHTS = False
# <<< architecture

TOLERANCE = 1e-3  # of the largest output


class Mismatch(Exception):
    """The plan, the network and the weights do not belong together."""


def kept(name: str) -> Tensor:
    """The kept positions of an entry of CHANNELS."""
    found: list[int] = []
    for run in filter(None, CHANNELS[name][1].split(",")):
        first, _, last = run.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return torch.tensor(found, dtype=torch.int64)


def smaller(name: str, tensor: Tensor) -> Tensor:
    """The tensor called ``name`` with its kept positions only."""
    for dim, channels in SLICES.get(name, {}).items():
        size = CHANNELS[channels][0]
        if tensor.shape[dim] != size:
            raise Mismatch(f"{name} has size {tensor.shape[dim]} along dimension {dim}; this plan was made for {size}.")
        tensor = tensor.index_select(dim, kept(channels).to(tensor.device))
    return tensor.contiguous()


def prune_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the pruned network, from that of the original."""
    missing = [name for name in SLICES if name not in state]
    if missing:
        raise Mismatch(f"These weights have no {missing[0]}: this plan was made for {NETWORK}.")
    return {name: smaller(ALIASES.get(name, name), tensor) for name, tensor in state.items()}


def prune(model: nn.Module) -> nn.Module:
    """A smaller copy of the original network; the original is left as it is."""
    small = copy.deepcopy(model)
    tensors = named_tensors(small)
    missing = [name for name in SLICES if name not in tensors]
    if missing:
        raise Mismatch(f"This network has no {missing[0]}: this plan was made for {NETWORK}.")
    replaced: dict[int, Tensor] = {}
    for name in SLICES:
        old = tensors[name]
        new = smaller(name, old.detach())
        replaced[id(old)] = nn.Parameter(new, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else new
    for module in small.modules():
        stores: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for store in stores:
            for key, value in store.items():
                if value is not None and id(value) in replaced:  # shared tensors stay shared
                    store[key] = replaced[id(value)]
    for name in ATTENTION:
        parent, _, leaf = name.rpartition(".")
        attention = HeadAttention.from_pruned(small.get_submodule(name))
        setattr(small.get_submodule(parent), leaf, attention)
    for name, attributes in ATTRIBUTES.items():
        module = small.get_submodule(name)
        for attribute, value in attributes.items():
            setattr(module, attribute, value)
        if isinstance(module, nn.RNNBase):
            module._init_flat_weights()
    return Program(named_tensors(small), small) if program else small


class Program(nn.Module):
    """The recorded operators of the pruned network, on its cut ``tensors``: its own code has sizes written into it.

    ``own`` has the layers of the person's own classes; without them, layers that only act in training are left out.
    """

    def __init__(self, tensors: dict[str, Tensor], own: nn.Module | None = None) -> None:
        super().__init__()
        for name, (kind, options) in MODULES.items():
            theirs = own.get_submodule(name) if own is not None else nn.Identity()
            _put(self, name, getattr(nn, kind)(**options) if kind else theirs)
        for name in PARAMETERS:
            value = tensors[name]
            _put(self, name, value if isinstance(value, nn.Parameter) else nn.Parameter(value))
        for name in BUFFERS:
            _put(self, name, tensors[name])
        for name, (kind, shape, text) in CONSTANTS.items():
            numbers = bytearray(zlib.decompress(base64.b85decode(text)))
            _put(self, name, torch.frombuffer(numbers, dtype=getattr(torch, kind)).reshape(shape))

    def forward(self, *images: Tensor) -> Any:
        return program(self, *images)


def _put(root: nn.Module, name: str, value: Any) -> None:
    """Hang a tensor or a module where its dotted name says."""
    *parents, leaf = name.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    if isinstance(value, nn.Module):
        root.add_module(leaf, value)
    elif isinstance(value, nn.Parameter):
        root.register_parameter(leaf, value)
    else:
        root.register_buffer(leaf, value)


def silence(model: nn.Module) -> nn.Module:
    """A copy of the original, at its size, in which no layer reads the channels that are removed."""
    quiet = copy.deepcopy(model)
    tensors = named_tensors(quiet)
    with torch.no_grad():
        for name, dims in SILENCED.items():
            for dim, channels in dims.items():
                gone = torch.ones(CHANNELS[channels][0], dtype=torch.bool)
                gone[kept(channels)] = False
                tensors[name].index_fill_(dim, gone.nonzero().flatten().to(tensors[name].device), 0)
    return quiet


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Under every name that they have."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {**parameters, **dict(model.named_buffers(remove_duplicate=False))}


def outputs(model: nn.Module, shape: tuple[int, ...] = INPUT) -> Tensor:
    """What the network makes of images that are the same everywhere, as one row of float64."""
    model = copy.deepcopy(model)
    with contextlib.suppress(NotImplementedError):  # an exported program has one mode only
        model.eval()
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    count = torch.Size(shape).numel()
    images = torch.sin(torch.arange(count, dtype=torch.float64) * 0.7).reshape(shape).to(like)
    with torch.no_grad():
        found = logits(model(images))
    return found.detach().flatten().double().cpu()


def difference(got: Tensor, wanted: Tensor) -> float:
    """Largest difference, relative to the largest number wanted."""
    scale = float(wanted.abs().max())
    gap = float((got[: len(wanted)] - wanted).abs().max())
    return gap / scale if scale else gap


def fingerprint(state: dict[str, Tensor]) -> str:
    """sha256 of all names, types, shapes and numbers."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return total.hexdigest()


def check(what: str, gap: float) -> None:
    print(f"{what}: they differ by {gap:.1e} of the largest output")
    if not gap <= TOLERANCE:
        raise Mismatch("That is more than rounding: something else than this plan changed the network.")


def check_recorded(what: str, model: nn.Module, state: dict[str, Tensor], recorded: dict[str, Any]) -> None:
    """Compare with the outputs recorded when this script was written, where the weights are the same."""
    if recorded and fingerprint(state) == recorded["fingerprint"]:
        check(
            f"{what} against the recorded outputs",
            difference(outputs(model), torch.tensor(recorded["outputs"]).double()),
        )
    else:
        print(f"{what}: other weights than the recorded ones, so the recorded outputs say nothing about them")


def load_state(file: str) -> dict[str, Tensor]:
    """A state dict from .pt, .pth or .safetensors; nothing in the file is run."""
    if file.endswith(".safetensors"):
        with importlib.import_module("safetensors").safe_open(file, framework="pt") as stored:
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            second = json.loads((stored.metadata() or {}).get("aliases", "{}"))
        state |= {name: state[first] for name, first in second.items() if first in state}
    else:
        state = torch.load(file, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(state.get(key), dict):
            state = state[key]
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for name, first in ALIASES.items():  # a shared tensor may be stored under any one of its names
        if (name in state) != (first in state):
            state.setdefault(name, state.get(first))
            state.setdefault(first, state[name])
    return state


def save_state(state: dict[str, Tensor], file: str, said: str = "") -> None:
    """Weights; what is ``said`` of their network goes beside them, where PruneScope finds it and others do not look."""
    if file.endswith(".safetensors"):
        metadata = {"format": "pt", **({"prunescope": said} if said else {})}
        importlib.import_module("safetensors.torch").save_file({k: v.clone() for k, v in state.items()}, file, metadata)
    else:
        torch.save(state, file)
        if said:
            with zipfile.ZipFile(file, "a") as archive:
                folder = archive.namelist()[0].partition("/")[0]
                archive.writestr(f"{folder}/prunescope.json", said)
    print(f"wrote {file}")


def origin(model: nn.Module) -> str:
    """What builds the network, how it was cut, and what it gives, so that it can be built again from its weights."""
    if not ORIGIN:
        return ""
    return json.dumps({**json.loads(ORIGIN), "scores": [float(f"{v:.9g}") for v in outputs(model)[:64].tolist()]})


def load_model(where: str) -> nn.Module:
    """package.module:function, file.py:function, or the .pt2 file of an exported program."""
    model: nn.Module = torch.export.load(where).module() if where.endswith(".pt2") else made_by(where)
    return model


def made_by(where: str) -> Any:
    """What package.module:function or file.py:function returns."""
    source, _, function = where.rpartition(":")
    if source.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(source).stem, source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[Path(source).stem] = module
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, "")
        module = importlib.import_module(source)
    return getattr(module, function)()


def original(model: str | None = None, weights: str | None = None) -> nn.Module:
    """The network before pruning, from ``model`` (see load_model) or the builder above, with ``weights`` loaded."""
    if model is None and build is None:
        raise Mismatch("Say how to build the original network: --model package.module:function, or --model file.pt2")
    if model is None and weights is None and not BUILT_WITH_WEIGHTS:
        raise Mismatch("Name the original weights: --weights file.pt")
    built: nn.Module = load_model(model) if model else build()
    if weights:
        built.load_state_dict(load_state(weights))
    return built


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--model", help="package.module:function or file.py:function that builds the original, or a .pt2"
    )
    parser.add_argument("--weights", help="state dict of the original (.pt, .pth, .safetensors)")
    parser.add_argument("--tuned", help="weights that changed after the cut, to load instead of the cut ones")
    parser.add_argument("--out", default="pruned.pt", help="where the pruned state dict goes (default: %(default)s)")
    parser.add_argument(
        "--train", help="package.module:function or file.py:function that returns a Dataset of (image, class)"
    )
    parser.add_argument("--epochs", type=int, default=10, help="of training (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="images per step and process (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0.01, help="learning rate at first (default: %(default)s)")
    chosen = parser.parse_args()
    if rank():  # of the processes that torchrun started, one speaks
        sys.stdout = io.StringIO()
    if program and build is None and not chosen.model and chosen.weights:
        state = load_state(chosen.weights)
        pruned: nn.Module = Program(prune_state(state))
        print("the weights alone hold no code of the original, so there is no silenced network to compare with")
    else:
        whole = original(chosen.model, chosen.weights)
        state, pruned = whole.state_dict(), prune(whole)
        if EXACT:
            check(
                "pruned network against the original with the same channels silenced",
                difference(outputs(pruned), outputs(silence(whole))),
            )
        else:
            print("a normalisation over channels makes this plan approximate: no silenced network to compare with")
    check_recorded("pruned network", pruned, state, ORIGINAL)
    if chosen.tuned:
        pruned.load_state_dict(load_state(chosen.tuned))
        check_recorded("trained network", pruned, pruned.state_dict(), TUNED)
    if chosen.train:
        train(pruned, made_by(chosen.train), chosen.epochs, chosen.batch, chosen.rate)
    if not rank():
        save_state(pruned.state_dict(), chosen.out, origin(pruned))


if __name__ == "__main__":
    try:
        main()
    except Mismatch as mismatch:
        sys.exit(f"error: {mismatch}")
