"""Whatever a network is made of, capture and remove leave the caller's as it was; what they cannot do is a sentence."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as masks

from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from tests.core.graph_checks import assert_untouched, image, state_of


class OwnCopy(nn.Conv2d):
    """Copies itself in a way of its own."""

    def __deepcopy__(self, memo: Any) -> OwnCopy:
        new = OwnCopy(self.in_channels, self.out_channels, 1)
        new.load_state_dict(self.state_dict())
        return new


def keeps_a_feature_map(net: nn.Sequential) -> None:
    net.kept = {}
    net[0].register_forward_hook(lambda m, given, out: net.kept.update(map=out.detach()))
    net(image())


def has_gradients(net: nn.Sequential) -> None:
    net(image()).sum().backward()


def old_weight_norm(net: nn.Sequential) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(net[0])


def tied(net: nn.Sequential) -> None:
    net[4].weight = net[2].weight


def own_copy(net: nn.Sequential) -> None:
    net[2] = OwnCopy(8, 8, 1)


def holds(value: Callable[[nn.Sequential], Any]) -> Callable[[nn.Sequential], None]:
    return lambda net: setattr(net, "held", value(net))


ODD: dict[str, Callable[[nn.Sequential], None]] = {
    "feature map": keeps_a_feature_map,
    "gradients": has_gradients,
    "old weight norm": old_weight_norm,
    "weight norm": lambda net: parametrizations.weight_norm(net[0]) and None,
    "spectral norm": lambda net: parametrizations.spectral_norm(net[6]) and None,
    "mask": lambda net: masks.l1_unstructured(net[4], "bias", 0.3) and None,
    "tied": tied,
    "own copy": own_copy,
    "lazy": lambda net: net.__setitem__(4, nn.LazyConv2d(8, 1)),
    "frozen": lambda net: net[0].requires_grad_(False) and None,
    "partly training": lambda net: net[3].train() and None,
    "lock": holds(lambda net: threading.Lock()),
    "library": holds(lambda net: torch),
    "itself, weakly": holds(weakref.ref),
    "function": holds(lambda net: lambda x: net(x)),
    "list of layers": holds(lambda net: [net[0], nn.Conv2d(3, 3, 1)]),
    "tensor": holds(lambda net: torch.ones(8)),
}


def network(names: list[str], training: bool) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1), nn.Dropout()]
    net = nn.Sequential(*layers, nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train(training)
    for name in ODD:  # in one order: some want to run the network, which a lazy layer ends
        if name in names and not ("lazy" in names and name in ("feature map", "gradients")):
            ODD[name](net)
    return net


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(ODD)), min_size=1, max_size=4, unique=True), st.booleans())
def test_the_callers_network_stays_whatever_it_is_made_of(names: list[str], training: bool) -> None:
    if {"tied", "own copy"} <= set(names) or {"old weight norm", "weight norm"} <= set(names):
        names = names[:1]
    net = network(names, training)
    before = None if "lazy" in names else state_of(net)
    held = {name: dict(module.__dict__) for name, module in net.named_modules()}
    try:
        found = capture(net, image())
        if found.groups:
            remove(net, found, Plan({found.groups[0].key: [0, 3]}))
    except UserError as error:
        assert str(error).endswith(".")
    else:
        assert "lazy" not in names
    if before is not None:
        assert_untouched(net, before)
    for name, module in net.named_modules():
        assert module.__dict__.keys() == held[name].keys()
        assert all(module.__dict__[key] is value for key, value in held[name].items()), name
