"""One thorough look at one network of a zoo: capture, a random plan, removal, and everything that must agree."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import Bottleneck
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove, silenced_tensors
from pruning_core.graph.modules import named_tensors
from pruning_core.zoo.architectures import architecture
from tests.core.graph_checks import (
    assert_cost,
    assert_untouched,
    difference,
    gradients,
    images,
    outputs,
    random_plan,
    randomise,
    state_of,
    tensors_of,
)

TORCHVISION = tuple(torchvision.models.list_models(module=torchvision.models))
# in float64 these two, their silenced copy and their pruned one do not fit in 16 GB: float32, to 1e-4 of the output
SINGLE = ("regnet_y_128gf", "vit_h_14")
# the small ones of the list; every other is marked slow
QUICK = ("resnet18", "googlenet", "mobilenet_v3_small", "shufflenet_v2_x0_5", "regnet_y_400mf", "squeezenet1_1")
# families whose smallest member is large, at a few layers and channels: the same code, other numbers
SMALL: dict[str, Callable[[], nn.Module]] = {
    "small_resnet50": lambda: models.ResNet(Bottleneck, [1, 1, 1, 1], width_per_group=16),
    "small_resnext50": lambda: models.ResNet(Bottleneck, [1, 1, 1, 1], groups=8, width_per_group=4),
    "small_densenet": lambda: models.DenseNet(8, (2, 2, 2), 16),
    "small_mobilenet_v2": lambda: models.MobileNetV2(width_mult=0.25),
    "small_convnext": lambda: models.ConvNeXt([CNBlockConfig(24, 40, 2), CNBlockConfig(40, None, 2)]),
    "small_vit": lambda: models.VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=96),
    "small_swin": lambda: models.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4]),
    "small_swin_v2": lambda: models.SwinTransformer(
        [4, 4], 24, [2, 2], [2, 4], [4, 4], block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2
    ),
    "small_maxvit": lambda: models.MaxVit((32, 32), 8, 4, [8, 16], [1, 1], 4, 0.1),
}
DEMOS = ("digits_resnet", "digits_vgg", "cifar_resnet20", "cifar_resnet20_pad")


@dataclass(frozen=True)
class Row:
    """What a look found; ``difference`` is relative to the largest output, ``refused`` a sentence.

    ``blocked`` counts the entries of weights that nothing can remove (other than the outputs), ``why`` says what most
    of them meet.
    """

    name: str
    side: int
    exact: int
    approximate: int
    heads: int
    form: str
    difference: float
    macs: int
    macs_after: int
    refused: str = ""
    blocked: int = 0
    why: str = ""


def smallest_side(name: str) -> int:
    """A small image that the network still accepts."""
    if name in DEMOS:
        return architecture(name).input_size[1]
    if name in SMALL:
        return 32
    if name == "inception_v3":
        return 299  # less is too little for its auxiliary head
    return {"maxvit_t": 224, "vit_h_14": 70}.get(name, 64)  # whole windows, whole patches


def build(name: str, side: int) -> nn.Module:
    """Random weights; nothing is downloaded."""
    torch.manual_seed(0)
    if name in SMALL:
        return SMALL[name]()
    if name in DEMOS:
        demo: nn.Module = architecture(name).build(10, architecture(name).input_size[0])
        return demo
    options: dict[str, object] = {"image_size": side} if name.startswith("vit_") else {}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return model


def examine(
    name: str,
    model: nn.Module,
    side: int,
    *,
    channels: int = 3,
    share: float = 0.5,
    single: bool = False,
    idle: int = 0,
) -> Row:
    """Every exact group loses a random half; removed and silenced are compared at other inputs and batch sizes.
    ``idle``: how many of its parameters nothing reads.

    Raises AssertionError when anything disagrees; a refusal is written into the row.
    """
    dtype = torch.float32 if single else torch.float64
    model = randomise(model).to(dtype).eval()
    example = (torch.randn(1, channels, side, side, dtype=dtype, generator=torch.Generator().manual_seed(1)),)
    before = None if single else state_of(model)
    network = capture(model, example)
    plan = random_plan(network, np.random.default_rng(0), share=share)
    refused, done = "", None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = remove(model, network, plan)
    except UserError as sentence:
        refused = str(sentence)
    if before is not None:
        assert_untouched(model, before)
    worst = 0.0
    if done is not None:
        worst = _compare(model, network, plan, done.model, example, 1e-4 if single else 1e-10)
        assert_cost(network, plan, done.model, example)
        _train(model, done.model, example, idle)
    return Row(
        name,
        side,
        sum(g.exact for g in network.groups),
        sum(not g.exact for g in network.groups),
        heads(network),
        "" if done is None else done.form,
        worst,
        network.cost().macs,
        network.cost(plan).macs,
        refused,
        *_blocked(network),
    )


def _blocked(network: Network) -> tuple[int, str]:
    found: dict[str, int] = {}
    for entry in network.blocked:
        if entry.operator != "output":
            why = f"{entry.operator}: {entry.reason}" if entry.operator else entry.reason
            found[why] = found.get(why, 0) + entry.entries
    return sum(found.values()), max(found, key=lambda why: found[why], default="")


def _compare(
    model: nn.Module, network: Network, plan: Plan, removed: nn.Module, example: tuple[Tensor, ...], tolerance: float
) -> float:
    """The silenced network is the original with its weights exchanged for a moment: nothing is copied."""
    tensors = named_tensors(model)
    kept = {}
    for name, value in silenced_tensors(model, network, plan).items():
        kept[name], tensors[name].data = tensors[name].data, value
    try:
        worst = 0.0
        for batch in (1, 2):
            x = images(example, batch, seed=batch)
            worst = max(worst, difference(outputs(removed.eval(), x), outputs(model, x)))
    finally:
        for name, value in kept.items():
            tensors[name].data = value
        gc.collect()
    assert worst < tolerance, f"removed and silenced differ by {worst:.1e}"
    return worst


def _train(model: nn.Module, removed: nn.Module, example: tuple[Tensor, ...], idle: int) -> None:
    """Forward and backward in training mode; one image only where the original takes one (batch norm of one value)."""
    for batch in (1, 2):
        x = images(example, batch, seed=5)
        try:
            with torch.no_grad():
                shapes = [t.shape for t in tensors_of(model.train()(*x))]
        except ValueError:
            assert batch == 1
            continue
        with torch.no_grad():
            assert [t.shape for t in tensors_of(removed.train()(*x))] == shapes
        if example[0].dtype == torch.float64:
            grads = gradients(removed, x)
            assert len(grads) == len(list(removed.parameters())) - idle
            assert all(g.isfinite().all() for g in grads.values())


def heads(network: Network) -> int:
    """Groups whose units are whole attention heads: several rows of a packed or separate projection per unit."""
    return sum(
        any(
            m.index.shape[1] > 1 and any(part in m.parameter for part in ("qkv", "in_proj", ".q.", "q_proj", "to_q"))
            for m in group.producers
        )
        for group in network.groups
    )
