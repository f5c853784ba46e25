"""A Python script that applies a plan to the original network, with nothing but PyTorch."""

from __future__ import annotations

import copy
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core import __version__
from pruning_core.errors import UserError
from pruning_core.export import standalone, standalone_training
from pruning_core.export.builders import Builder
from pruning_core.export.recorded import recorded
from pruning_core.export.slices import changed_attributes, slices_of
from pruning_core.export.weights import aliases_of
from pruning_core.graph import Cost, Network, Plan, Removal
from pruning_core.graph.removing import attention
from pruning_core.graph.removing.surgery import cut
from pruning_core.zoo.origin import Origin

RECORDED = 64  # numbers of the outputs that are kept
IMAGES = 2


def write_script(
    model: nn.Module,
    network: Network,
    plan: Plan,
    removal: Removal,
    *,
    title: str,
    builder: Builder | None = None,
    tuned: nn.Module | None = None,
    origin: Origin | None = None,
    weights_file: str = "",
    file: str = "prune.py",
) -> str:
    """The text of ``file``. ``model`` is the network before the plan, ``removal`` what the plan made of it.

    ``title`` is what to call the network, ``builder`` the code that builds it (without, the person names it), ``tuned``
    the pruned network after training, whose outputs are recorded too; so are those of a removal whose weights were
    mended. ``origin`` says what builds the network and how it was cut, for those who get the weights alone. Where the
    removal has the form of a program, the network's own code cannot run at the new sizes: the script
    then holds the recorded operators, and runs those; on ``weights_file`` alone, where nobody has code that builds the
    network.

    Raises UserError for a network that takes several inputs.
    """
    if len(network.example_shapes) != 1:
        raise UserError(
            "The script can only check networks with a single input. Take the weights and the plan instead."
        )
    shape = _input(model, network)
    found = slices_of(model, network, plan)
    plain = cut(model, network, plan, bold=removal.bold)
    attributes, replaced = changed_attributes(model, plain)
    if tuned is None and _mended(removal.model, plain):
        tuned = removal.model
    title = _plain(title)
    data = [
        f"NETWORK = {title!r}",
        "# kept positions, by the layer that makes them: how many there were, and which stay",
        _table("CHANNELS", "dict[str, tuple[int, str]]", found.channels),
        "# tensor -> dimension -> which of the above it keeps there",
        _table("SLICES", "dict[str, dict[int, str]]", found.slices),
        "# sizes that layers keep beside their tensors",
        _table("ATTRIBUTES", "dict[str, dict[str, Any]]", attributes),
        f"ATTENTION: tuple[str, ...] = {replaced!r}",
        "# where the removed channels are read: zeroed to compare the original with the pruned network",
        _table("SILENCED", "dict[str, dict[int, str]]", found.silenced),
        "# second names of shared tensors",
        _table("ALIASES", "dict[str, str]", aliases_of(model.state_dict())),
        f"EXACT = {all(network.group(key).exact for key in plan)}",
        f"INPUT: tuple[int, ...] = {shape!r}",
        "# outputs recorded when this was written, and the weights that they belong to",
        f"ORIGINAL: dict[str, Any] = {_outputs(_untouched(removal, plain), model, shape)!r}",
        f"TUNED: dict[str, Any] = {_outputs(tuned, tuned, shape) if tuned is not None else {}!r}",
        "# what builds the original, and the plan: it goes with the weights",
        f"ORIGIN = {replace(origin, scores=()).to_json() if origin else ''!r}",
    ]
    imports = list(builder.imports) if builder else []
    code = [builder.code if builder else "build: Any = None"]
    if replaced:
        imports.append("import torch.nn.functional as F")
        code.append(_attention_code())
    else:
        code.append("HeadAttention: Any = None")
    code.append(f"BUILT_WITH_WEIGHTS = {bool(builder and not builder.weights_file)}")
    text, training = inspect.getsource(standalone), inspect.getsource(standalone_training)
    for part in (text, training):
        imports += _marked(part, "imports").splitlines()
    text = _between(text, "imports", _sorted(imports))
    code_of_training = _marked(training, "training").removeprefix("# >>> training\n").strip()
    text = _between(text, "training", f"\n{code_of_training}\n\n")
    text = _between(text, "data", "\n".join(data))
    text = _between(text, "program", _program(removal, plain))
    text = _between(text, "architecture", "\n\n\n".join(part.strip() for part in code))
    body = text[text.index("from __future__") :]
    start = weights_file or (builder.weights_file if builder else "original.pt")
    start = f" --weights {_plain(start)}" if start else ""
    if not builder and not weights_file:
        start = f" --model package.module:function{start}"
    header = _header(
        title, file, (network.cost(), removal.cost), builder, removal.proof.unproven, tuned is not None, start
    )
    return f'#!/usr/bin/env python3\n"""{header}"""\n\n{body}'


def _header(
    title: str, file: str, costs: tuple[Cost, Cost], builder: Builder | None, unproven: str, tuned: bool, start: str
) -> str:
    """``start``: the arguments that give it the original network."""
    before, after = costs
    name = file.removesuffix(".py")
    lines = [
        f"Prune {title}.",
        "",
        f"Written by PruneScope {__version__} with PyTorch {torch.__version__}; it needs PyTorch and nothing else"
        + (" (and torchvision, to build the original)." if builder and "torchvision" in builder.code else "."),
        "",
        f"    MACs per image {before.macs:>16,} -> {after.macs:,}",
        f"    parameters     {before.parameters:>16,} -> {after.parameters:,}",
        "",
        f"    python {file}{start} --out pruned.pt",
        "",
    ]
    lines += [
        "or from Python:",
        "",
        f"    from {name} import original, prune" if name.isidentifier() else "    # as a module",
        "    small = prune(original(...))",
        "",
        "The pruned network is compared with the original in which the same channels are silenced.",
        "",
        "To train it, --train names what returns the images; with several processes:",
        "",
        f"    torchrun --nproc_per_node 2 {file}{start} \\",
        "        --train images.py:dataset --epochs 10 --out trained.pt",
    ]
    if unproven:
        lines += textwrap.wrap(unproven, 116)
    if tuned:
        lines += ["Weights that changed after the cut (training, new batch-norm statistics) go in with --tuned."]
    return "\n".join(lines) + "\n"


def _input(model: nn.Module, network: Network) -> tuple[int, ...]:
    """The shape of the images that outputs are recorded on: two, or as many as the network insists on."""
    (usual,) = network.example_shapes
    shape = (IMAGES, *usual[1:])
    try:
        standalone.outputs(model, shape)
    except Exception:  # its own code fixes the batch size, in whatever way
        return tuple(usual)
    return shape


def _mended(made: nn.Module, plain: nn.Module) -> bool:
    """Whether a removal has other numbers than cutting alone gives it."""
    cut_alone, state = plain.state_dict(), made.state_dict()
    return any(name in cut_alone and not torch.equal(tensor, cut_alone[name]) for name, tensor in state.items())


def _untouched(removal: Removal, plain: nn.Module) -> nn.Module:
    """The removal with the numbers that cutting alone gives it: what :func:`standalone.prune` returns."""
    if removal.form == "module":
        return plain
    made, cut_alone = copy.deepcopy(removal.model), plain.state_dict()
    made.load_state_dict({name: cut_alone.get(name, tensor) for name, tensor in made.state_dict().items()})
    return made


def _program(removal: Removal, plain: nn.Module) -> str:
    """The recorded operators where the network's own classes do not run, as source."""
    if removal.form == "module":
        return _marked(inspect.getsource(standalone), "program").removeprefix("# >>> program\n")
    found = recorded(removal.model, plain)
    return "\n".join(
        [
            "# the network's own code has sizes written into it: these are its operators, as they were recorded",
            "inf, nan, device = float('inf'), float('nan'), torch.device",
            "",
            "",
            found.code,
            "",
            "",
            f"PARAMETERS: tuple[str, ...] = {found.parameters!r}",
            f"BUFFERS: tuple[str, ...] = {found.buffers!r}",
            "# tables that the recording made: type, shape, numbers",
            _table("CONSTANTS", "dict[str, tuple[str, tuple[int, ...], str]]", found.constants),
            "# what runs as a module: its class in torch.nn and how it is made",
            _table("MODULES", "dict[str, tuple[str, dict[str, Any]]]", found.modules),
        ]
    )


def _outputs(network: nn.Module, weights: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    values = standalone.outputs(network, shape)[:RECORDED]
    state: Mapping[str, Tensor] = weights.state_dict()
    return {"fingerprint": standalone.fingerprint(dict(state)), "outputs": [float(f"{v:.7g}") for v in values.tolist()]}


def _table(name: str, kind: str, entries: Mapping[str, Any]) -> str:
    rows = "".join(f"    {key!r}: {value!r},\n" for key, value in entries.items())
    return f"{name}: {kind} = {{\n{rows}}}" if rows else f"{name}: {kind} = {{}}"


def _marked(text: str, mark: str) -> str:
    return text[text.index(f"# >>> {mark}\n") : text.index(f"# <<< {mark}\n")]


def _sorted(imports: Iterable[str]) -> str:
    """Import statements merged and in the usual order: the standard library first."""
    whole: set[str] = set()
    names: dict[str, set[str]] = {}
    for line in imports:
        if line.startswith("import "):
            whole.add(line)
        elif line.startswith("from "):
            module, _, listed = line.removeprefix("from ").partition(" import ")
            names.setdefault(module, set()).update(name.strip() for name in listed.split(","))
    parts = sorted(whole) + [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]
    ours = [line for line in parts if line.split()[1].startswith("torch")]
    return "\n".join([line for line in parts if line not in ours] + ["", *ours])


def _between(text: str, mark: str, new: str) -> str:
    """``text`` with what stands between the marks replaced, and the marks gone."""
    start, end = text.index(f"# >>> {mark}\n"), text.index(f"# <<< {mark}\n")
    return text[:start] + new + "\n" + text[end + len(f"# <<< {mark}\n") :]


def _attention_code() -> str:
    """The attention that holds fewer heads than its embedding suggests, as source."""
    parts = [inspect.getsource(attention.HeadAttention), inspect.getsource(attention._merged)]
    return "\n\n".join(parts)


def _plain(title: str) -> str:
    """A title that can stand in a docstring: it may come from the name of an uploaded file."""
    return "".join(c if c.isprintable() and c not in "\\\"'" else "_" for c in title)[:200]
