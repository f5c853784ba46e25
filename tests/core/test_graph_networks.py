"""Real architectures: half of every group removed is the silenced network to rounding, and costs what was said."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pruning_core.graph import Network, Plan, capture, remove, silence
from pruning_core.zoo.architectures import architecture

NETWORKS = {
    "alexnet": 96, "vgg11_bn": 64, "resnet18": 64, "resnet50": 64, "googlenet": 64, "densenet121": 64,
    "mobilenet_v2": 64, "mobilenet_v3_small": 64, "efficientnet_b0": 64, "shufflenet_v2_x1_0": 64,
    "regnet_y_400mf": 64, "squeezenet1_1": 64, "resnext50_32x4d": 64, "convnext_tiny": 64, "swin_t": 64,
}  # fmt: skip
DEMOS = ("digits_resnet", "digits_vgg", "cifar_resnet20", "cifar_resnet20_pad")


def built(name: str) -> tuple[nn.Module, Tensor]:
    """The network in float64 with batch-norm statistics and layer scales that are not the defaults, and two images."""
    torch.manual_seed(0)
    if name in DEMOS:
        entry = architecture(name)
        channels, height, width = entry.input_size
        model, images = entry.build(10, channels), torch.randn(2, channels, height, width)
    else:
        extra = {"init_weights": False} if name == "googlenet" else {}
        model = torchvision.models.get_model(name, weights=None, num_classes=10, **extra)
        images = torch.randn(2, 3, NETWORKS[name], NETWORKS[name])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    for parameter_name, parameter in model.named_parameters():
        if "layer_scale" in parameter_name:
            nn.init.constant_(parameter, 0.5)
    return model.double().eval(), images.double()


def half(network: Network, seed: int) -> Plan:
    rng = np.random.default_rng(seed)
    return Plan({g.key: rng.choice(g.size, g.size // 2, replace=False) for g in network.groups if g.exact})


@pytest.mark.parametrize("name", [*NETWORKS, *DEMOS])
def test_half_of_everything_is_removed_exactly(name: str, one_thread: None) -> None:
    model, images = built(name)
    before = copy.deepcopy(model.state_dict())
    network = capture(model, images[:1])
    assert network.groups
    plan = half(network, 1)
    removal = remove(model, network, plan)
    smaller = removal.model.eval()
    with torch.no_grad():
        expected = silence(model, network, plan)(images)  # other images than those of the removal's own proof
        assert float((smaller(images) - expected).abs().max()) < 1e-10 * float(expected.abs().max())
        assert smaller(images[:1]).shape == (1, 10)
        with FlopCounterMode(display=False) as counter:
            smaller(images[:1])
    cost = network.cost(plan)
    assert cost.parameters == sum(p.numel() for p in smaller.parameters())
    assert cost.macs * 2 == counter.get_total_flops()
    assert sum(layer.macs for layer in network.layer_costs(plan)) == cost.macs
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_smaller_network_trains(one_thread: None) -> None:
    for name in ("resnet18", "shufflenet_v2_x1_0"):  # one as a module, one as a program
        model, images = built(name)
        network = capture(model, images[:1])
        smaller = remove(model, network, half(network, 2)).model.train()
        smaller(images).square().sum().backward()
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in smaller.parameters()), name
