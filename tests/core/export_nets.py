"""Small networks that ask something of an export, and a way to run code where this project is not."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pruning_core.export.script import write_script
from pruning_core.graph import Network, Plan, Removal, capture, remove
from tests.core.allocation_nets import Residual


class Written(nn.Module):
    """Its own code has a size written into it, so that pruned it only runs as a program."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.Linear(12 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.norm(self.conv(x)).relu(), 2)
        return self.head(x.view(x.shape[0], 12 * 16))


class Attention(nn.Module):
    """Rows of pixels as tokens; whole heads are removed."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Linear(8, 16), nn.MultiheadAttention(16, 4, batch_first=True)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.squeeze(1))
        x = x + self.mix(x, x, x, need_weights=False)[0]
        return self.head(self.norm(x).mean(1))


class Branches(nn.Module):
    """Concatenation, a depthwise and a grouped convolution, a flattened map."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(1, 10, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.grouped = nn.Conv2d(16, 8, 3, padding=1, groups=2, bias=False)
        self.norm, self.head = nn.GroupNorm(8, 8), nn.Linear(8 * 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(torch.cat([self.a(x), self.b(x)], 1)).relu()
        return self.head(nn.functional.adaptive_avg_pool2d(self.norm(self.grouped(x)), 2).flatten(1))


class Tied(nn.Module):
    """Two layers that share one weight, and a frozen parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Conv2d(1, 6, 1), nn.Conv2d(6, 6, 1)
        self.again, self.head = nn.Conv2d(6, 6, 1), nn.Linear(6, 4)
        self.again.weight = self.middle.weight
        self.first.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(self.middle(self.first(x).relu()).relu()).mean((2, 3)))


NETS: tuple[type[nn.Module], ...] = (Residual, Written, Attention, Branches, Tied)


class Cut(NamedTuple):
    model: nn.Module
    network: Network
    plan: Plan
    removal: Removal


def cut(build: type[nn.Module], ratio: float = 0.4) -> Cut:
    """A network with awkward statistics, a random share of every exact group removed."""
    torch.manual_seed(0)
    model = build().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    network = capture(model, torch.randn(1, 1, 8, 8))
    plan = Plan({g.key: torch.randperm(g.size)[: int(ratio * g.size)].tolist() for g in network.groups if g.exact})
    assert plan
    return Cut(model, network, plan, remove(model, network, plan))


def script(case: Cut, **more: Any) -> str:
    return write_script(*case, title="a network", **more)


def module_of(text: str) -> ModuleType:
    """The script as a module; its import lines show that it does without this project."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
        ):
            assert not name.startswith("pruning_core")
    module = ModuleType("prune")
    exec(compile(tree, "prune.py", "exec"), module.__dict__)
    return module


def elsewhere(arguments: list[str], cwd: Path, *, path: Path | None = None) -> str:
    """What a fresh Python prints, with nothing but its installed packages (and ``path``) to import from."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *([] if path else ["-I"]), *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(got: Any, wanted: Tensor, tolerance: float = 1e-5) -> bool:
    """Equal to ``tolerance`` of the largest number; ``got`` may be nested lists from JSON."""
    gap = (torch.as_tensor(json.loads(got) if isinstance(got, str) else got) - wanted).abs().max()
    return bool(gap <= tolerance * wanted.abs().max())
