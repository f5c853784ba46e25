"""Source code that builds a network without this project: what a downloaded script starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pruning_core.export.excerpt import excerpt
from pruning_core.zoo import torchvision_models
from pruning_core.zoo.architectures import FAMILIES, architecture
from pruning_core.zoo.demos import demo
from pruning_core.zoo.ref import ModelRef


@dataclass(frozen=True)
class Builder:
    """``imports`` and ``code`` define ``build()``, which takes nothing and returns the network before pruning.

    ``weights_file`` is what the file with its weights is called; "" when ``build`` returns it with them.
    """

    imports: tuple[str, ...]
    code: str
    weights_file: str = ""


def builder_of(ref: ModelRef) -> Builder | None:
    """None where no code can build it: an uploaded program is its own file, a pruned network has its own script."""
    families = {family.name for family in FAMILIES}
    match ref.source:
        case "demo":
            chosen = demo(ref.name)
            known = json.loads(chosen.provenance_path.read_text(encoding="utf-8"))
            made = architecture(chosen.architecture)
            sizes = {"num_classes": len(known["classes"]), "in_channels": len(known["mean"])}
            return _of_family(made.family.name, {**made.options, **sizes}, chosen.weights_path.name)
        case "torchvision" if ref.weights == "pretrained":
            return Builder((), _of_torchvision(ref.name, {"weights": "DEFAULT"}))
        case "torchvision":
            options = {"weights": None, "num_classes": ref.num_classes or 1000, **_plain(ref.name)}
            return Builder((), _of_torchvision(ref.name, options, seed=ref.seed))
        case "upload" if ref.plan:
            return None  # it was cut before: what was cut first is not here
        case "upload" if ref.architecture in families:
            return _of_family(ref.architecture, dict(ref.options), ref.name)
        case "upload" if ref.architecture in torchvision_models.names():
            options = {"weights": None, **_plain(ref.architecture), **dict(ref.options)}
            return Builder((), _of_torchvision(ref.architecture, options), ref.name)
        case _:
            return None


def _of_family(name: str, options: Mapping[str, Any], weights_file: str) -> Builder:
    made = next(family.build for family in FAMILIES if family.name == name)
    imports, code = excerpt(made)
    build = f"def build() -> nn.Module:\n    return {made.__name__}({_arguments(options)})\n"
    return Builder(imports, f"{code}\n\n\n{build}", weights_file)


def _of_torchvision(name: str, options: Mapping[str, Any], seed: int | None = None) -> str:
    lines = ["def build() -> nn.Module:", "    from torchvision.models import get_model", ""]
    if seed is not None:
        lines.append(f"    torch.manual_seed({seed})")
    lines.append(f"    model: nn.Module = get_model({name!r}, {_arguments(options)})")
    if name == "inception_v3" and options["weights"]:
        lines.append("    model.aux_logits, model.AuxLogits = False, None  # a head that only helps training")
    return "\n".join([*lines, "    return model", ""])


def _arguments(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


def _plain(name: str) -> dict[str, Any]:
    return {"aux_logits": False, "init_weights": False} if name in torchvision_models.AUXILIARY else {}
