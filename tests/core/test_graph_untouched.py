"""The caller's network, and what all networks share, are left as they were: to the bit, whatever the network does."""

from __future__ import annotations

import copy
import random
import threading
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as masks

from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from tests.core.graph_checks import Net, assert_untouched, difference, head, image, outputs, owners, state_of

X = image(3)


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Folding(nn.Linear):
    """A branch of low rank that is part of the weight while evaluating, and beside it while training."""

    def __init__(self, read: int, made: int) -> None:
        super().__init__(read, made)
        self.down, self.up = nn.Parameter(torch.randn(2, read)), nn.Parameter(torch.randn(made, 2))
        self.folded = False

    def train(self, mode: bool = True) -> Folding:
        super().train(mode)
        if mode == self.folded:
            self.weight.data += (-1 if mode else 1) * (self.up @ self.down).detach()
            self.folded = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.folded else super().forward(x) + x @ self.down.T @ self.up.T


class Following(nn.Module):
    """A moving average of its weights, moved by every training pass; and a scale that every pass changes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.scale.data.mul_(0.9)
            if self.training:
                torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 0.1)
        return self.net(x)


class Replacing(nn.Module):
    """Puts other tensors in the place of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
        self.seen: dict[str, Any] = {"deep": [0]}

    def forward(self, x: Tensor) -> Tensor:
        self.b.bias.data = self.b.bias.data + 1
        self.a.weight.requires_grad_(False)
        self.a.note, self.seen["deep"][0] = x, self.seen["deep"][0] + 1
        return self.b(self.a(x).relu())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", [lambda: nn.Sequential(Folding(6, 8), nn.ReLU(), Folding(8, 3)), Following, Replacing])
def test_parameters_that_the_network_itself_changes_stay(make: Any, training: bool) -> None:
    torch.manual_seed(0)
    net, x = make().train(training), torch.randn(2, 6)
    before, seen = state_of(net), copy.deepcopy(getattr(net, "seen", None))
    network = capture(net, x)
    assert_untouched(net, before)
    assert network.groups and network.groups[0].size == 8 and getattr(net, "seen", None) == seen


def test_code_that_reaches_the_original_by_a_name_is_told_apart() -> None:
    """The copy runs the original: its tensors are known by their names, the cut is a program, and nothing changes."""
    known = {}

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.n, self.b = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), head(8)

        def forward(self, x: Tensor) -> Tensor:
            net = globals()["KNOWN"]["net"]
            return net.b(net.n(net.a(x)))

    globals()["KNOWN"] = known
    known["net"] = net = Named().eval()
    before = state_of(net)
    network = capture(net, X)
    assert [(g.key, g.size) for g in network.groups] == [("a", 8)]
    done = remove(net, network, Plan({"a": [0, 5]}))
    assert done.form == "program" and "holds on to the object" in done.notes[0]
    assert_untouched(net, before)
    net.train()
    before = state_of(net)
    with pytest.raises(UserError, match="names from outside"):
        capture(net, X)
    assert_untouched(net, before)


def weight_norm() -> nn.Module:
    net = plain()
    torch.nn.utils.weight_norm(net[0])
    return net


def masked() -> nn.Module:
    net = plain()
    masks.l1_unstructured(net[2], "weight", 0.3)
    return net


def keeping() -> nn.Module:
    net = plain()
    net.seen = {}
    net[0].register_forward_hook(lambda m, i, o: net.seen.update(a=o))
    net(X).sum().backward()
    return net


def holding(**held: Any) -> nn.Module:
    net = plain()
    for name, value in held.items():
        setattr(net, name, value)
    return net


class Trainer:
    def __init__(self, net: nn.Module) -> None:
        self.net, self.lock, self.optimizer = net, threading.Lock(), torch.optim.Adam(net.parameters())


def trained() -> nn.Module:
    net = plain()
    net.trainer = Trainer(net)
    net(X).sum().backward()
    net.trainer.optimizer.step()
    return net


ODD = {
    "old weight norm": weight_norm,
    "masked": masked,
    "kept feature map": keeping,
    "lock": lambda: holding(lock=threading.Lock()),
    "generator": lambda: holding(steps=(n for n in range(3)), noise=torch.Generator()),
    "library": lambda: holding(library=torch),
    "trainer": trained,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_networks_are_cut(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = ODD[name]().eval()
        before, kept = state_of(net), {**net.__dict__}
        network = capture(net, X)
        assert owners(network) == {"0": (8, True)}
        done = remove(net, network, Plan({"0": [0, 5]}))
    assert_untouched(net, before)
    assert all(net.__dict__[key] is value for key, value in kept.items())
    assert difference(outputs(done.model, (X,)), outputs(done.model, (X,))) == 0
    assert not getattr(net, "seen", {}) or net.seen["a"].shape[1] == 8


def test_weak_proxies_among_the_modules() -> None:
    class Proxied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain()
            self.last = weakref.proxy(self.net[2])
            self.training = False

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.net[1](self.net[0](x))).mean((2, 3))

    assert owners(capture(Proxied(), X)) == {"net.0": (8, True)}


def test_layers_without_a_size_are_said() -> None:
    net = plain()
    net[2] = nn.LazyConv2d(4, 3)
    with pytest.raises(UserError, match=r"sizes from their first input \(2.weight\)"):
        capture(net, X)


def test_what_all_networks_share_is_put_back() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        random.random()
        np.random.rand()
        torch.rand(1)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(2)
        torch.backends.cudnn.benchmark = True
        return m.h(m.a(x))

    def shared() -> tuple[Any, ...]:
        drawn = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
        switches = (torch.get_default_dtype(), torch.get_num_threads(), torch.backends.cudnn.benchmark)
        return drawn, switches, torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()

    net = Net(body, a=nn.Conv2d(3, 8, 3), h=head(8)).eval()
    with torch.no_grad():
        before = shared()
        network = capture(net, X)
        assert shared() == before and network.groups
