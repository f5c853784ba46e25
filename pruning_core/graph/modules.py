"""Walking through a network's modules, once."""

from __future__ import annotations

from torch import nn


def modules_by_name(model: nn.Module) -> dict[str, nn.Module]:
    """Every module under its first name, as ``named_modules`` gives them, without its nested generators."""
    found: dict[str, nn.Module] = {}
    seen: set[nn.Module] = set()

    def walk(name: str, module: nn.Module) -> None:
        if module in seen:
            return
        seen.add(module)
        found[name] = module
        prefix = f"{name}." if name else ""
        for child, below in module._modules.items():
            if below is not None:
                walk(prefix + child, below)

    walk("", model)
    return found
