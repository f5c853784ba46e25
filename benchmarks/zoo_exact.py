"""Every torchvision classifier: half of every exact group removed, against the same units silenced, in float64.

    python -m benchmarks.zoo_exact [NAME ...]

Prints one row per network. Takes about half an hour and up to 16 GB for all of them.
"""

from __future__ import annotations

import gc
import sys

import numpy as np
import torch
import torchvision
from torch import nn

from pruning_core.graph import Plan, capture, remove

TOO_LARGE = ("vit_h_14", "regnet_y_128gf")  # more than 16 GB in float64


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, **extra)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    for key, parameter in model.named_parameters():
        if "layer_scale" in key:  # starts so small that nothing behind it would show
            nn.init.constant_(parameter, 0.5)
        elif key == "class_token" or "relative_position_bias_table" in key or key.endswith("in_proj_bias"):
            nn.init.normal_(parameter, 0, 0.2)
        elif key.startswith(("heads.head", "head.")):
            nn.init.normal_(parameter, 0, 0.05)
    return model.double().eval()


def row(name: str) -> str:
    pixels = 299 if name == "inception_v3" else 224
    model, images = built(name), torch.randn(2, 3, pixels, pixels, dtype=torch.float64)
    network = capture(model, images[:1])
    rng = np.random.default_rng(0)
    plan = Plan({g.key: rng.choice(g.size, g.size // 2, replace=False) for g in network.groups if g.exact})
    removal = remove(model, network, plan, images)
    full, left = network.cost(), network.cost(plan)
    counted = sum(p.numel() for p in removal.model.parameters())
    removal.model.train()(images)
    return (
        f"| {name} | {removal.form} | {removal.proof.max_rel:.1e} | {full.macs / left.macs:.2f}x "
        f"| {full.parameters / left.parameters:.2f}x | {'equal' if counted == left.parameters else 'DIFFERENT'} |"
    )


def main() -> None:
    torch.set_num_threads(1)
    names = sys.argv[1:] or [n for n in torchvision.models.list_models(module=torchvision.models) if n not in TOO_LARGE]
    print("| network | form | relative difference | MACs | parameters | parameters counted and derived |")
    print("|---|---|---|---|---|---|")
    for name in names:
        print(row(name), flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
