"""It is the cut network that runs: code that reaches the original object is told apart, and what runs is counted."""

from __future__ import annotations

import copy
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Plan, Removal, capture, remove, silence
from pruning_core.graph.removing.agreement import Unlike
from pruning_core.graph.removing.examination import Examination
from pruning_core.graph.removing.identity import Bound
from pruning_core.graph.removing.surgery import cut
from tests.core.graph_checks import assert_untouched, counted, difference, head, image, outputs, randomise, state_of

X = image()
KNOWN: dict[str, nn.Module] = {}
LATELY: list[nn.Module] = []


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b, self.h = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3), head(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.h(self.b(self.n(self.a(x)).relu()))


class Rebuilt(Plain):
    """Copies of it are made anew."""

    def __deepcopy__(self, memo: Any) -> Rebuilt:
        other = Rebuilt()
        other.load_state_dict(self.state_dict())
        return other.train(self.training)


class Reduced(Plain):
    def __reduce__(self) -> Any:
        return (_whole, (self.state_dict(),))


def _whole(state: dict[str, Tensor]) -> Reduced:
    net = Reduced()
    net.load_state_dict(state)
    return net


class Itself(Plain):
    """Copies of it are itself."""

    def __deepcopy__(self, memo: Any) -> Itself:
        return self


def closure() -> nn.Module:
    net = Plain()
    net.forward = lambda x: net.h(net.b(net.n(net.a(x)).relu()))  # type: ignore[method-assign]  # as wrappers do
    return net


def bound_method() -> nn.Module:
    net, inner = Plain(), Plain()
    net.inner = inner
    net.run = inner.forward  # type: ignore[assignment]
    net.forward = lambda x: net.run(x)  # type: ignore[method-assign, operator]
    return net


def partial() -> nn.Module:
    net = Plain()
    net.forward = functools.partial(Plain.forward, net)  # type: ignore[method-assign]
    return net


def weak() -> nn.Module:
    class Weakly(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.me = weakref.ref(self)

        def forward(self, x: Tensor) -> Tensor:
            me = self.me()
            assert me is not None
            return me.h(me.b(me.n(me.a(x)).relu()))

    return Weakly()


def listed() -> nn.Module:
    """Layers that stand in a list of names as well."""

    class Listed(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.steps = [self.a, self.n, nn.ReLU(), self.b, self.h]

        def forward(self, x: Tensor) -> Tensor:
            for step in self.steps:
                x = step(x)
            return x

    return Listed()


def hooked() -> nn.Module:
    """A hook computes what the layer should, with the layers that it closes over."""
    net = Plain()
    net.n.register_forward_hook(lambda module, args, out: net.n.forward(net.a(net.last)))  # type: ignore[arg-type]
    net.register_forward_pre_hook(lambda module, args: setattr(net, "last", args[0]))
    return net


def looked_up() -> nn.Module:
    net = Plain()
    KNOWN["net"] = net
    net.forward = types.MethodType(lambda self, x: Plain.forward(KNOWN["net"], x), net)  # type: ignore[method-assign, arg-type]
    return net


def half_looked_up() -> nn.Module:
    """Only one layer comes from somewhere else."""

    class Half(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return self.h(self.b(self.n(LATELY[-1](x)).relu()))

    net = Half()
    LATELY.append(net.a)
    return net


def looked_up_by_default() -> nn.Module:
    net = Plain()

    class Found(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return Plain.forward(KNOWN["default"], x)  # type: ignore[arg-type]

    KNOWN["default"] = found = Found()
    found.load_state_dict(net.state_dict())
    return found


EVERY = [
    *(Plain, Rebuilt, Reduced, Itself, closure, bound_method, partial, weak, listed, hooked, looked_up),
    *(half_looked_up, looked_up_by_default),
]


def removed(net: nn.Module, drop: tuple[int, ...] = (0, 3, 5)) -> tuple[Removal, Plan, Any]:
    network = capture(net, X.double())
    (key,) = [g.key for g in network.groups if g.size == 8]
    plan = Plan({key: drop})
    return remove(net, network, plan), plan, network


@pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
def test_what_is_cut_is_what_runs(make: Callable[[], nn.Module]) -> None:
    net = randomise(make()).double().eval()
    before = state_of(net)
    done, plan, network = removed(net)
    assert_untouched(net, before)
    quiet = silence(net, network, plan)
    for batch in (1, 3):
        x = (torch.randn(batch, 3, 8, 8, dtype=torch.float64),)
        assert difference(outputs(done.model, x), outputs(quiet, x)) < 1e-10
        assert difference(outputs(quiet, x), outputs(net, x)) > 1e-3, "nothing was silenced"
    assert counted(done.model, (X.double(),)) == done.cost.macs
    if make is not hooked:  # its program leaves out what the hook makes superfluous
        assert done.cost.macs == network.cost(plan).macs
    assert sum(p.numel() for p in done.model.parameters()) == network.cost(plan).parameters == done.cost.parameters
    assert done.proof.exact and not done.proof.unproven


@pytest.mark.parametrize("make", EVERY, ids=lambda make: make.__name__)
def test_what_is_given_back_is_whole_by_itself(make: Callable[[], nn.Module]) -> None:
    """Training changes what runs, and a copy of it is another one: as whoever trains it on a copy relies on."""
    net = randomise(make()).double().eval()
    done, _, _ = removed(net)
    other = copy.deepcopy(done.model)
    before = outputs(done.model, (X.double(),))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    assert difference(outputs(other, (X.double(),)), before) > 1e-3
    assert difference(outputs(done.model, (X.double(),)), before) == 0


def test_code_bound_in_training_mode_is_asked_for_another() -> None:
    net = randomise(looked_up()).eval()
    network = capture(net, X)
    with pytest.raises(UserError, match=r"Call eval\(\) on it first"):
        remove(net.train(), network, Plan({network.groups[0].key: [0]}))


# -- the checks themselves --------------------------------------------------------------------------------------------
def examined(change: Callable[[nn.Module, nn.Module], object]) -> None:
    net = randomise(Plain()).eval()
    network = capture(net, X)
    plan = Plan({"a": [0, 3, 5]})
    examination = Examination(net, network, plan, None)
    small = cut(net, network, plan)
    assert examination.examine(small, whole=True).cost == network.cost(plan)
    change(small, net)
    examination.examine(small, whole=True)


def _shares(small: nn.Module, net: nn.Module) -> None:
    small.h[2].weight = net.h[2].weight  # type: ignore[index, union-attr]


def _reads(small: nn.Module, net: nn.Module) -> None:
    weight = net.h[2].weight  # type: ignore[index, union-attr]
    small.h[2].forward = lambda x: nn.functional.linear(x, weight)  # type: ignore[index, method-assign, union-attr]


def _was_not_cut(small: nn.Module, net: nn.Module) -> None:
    small.n = copy.deepcopy(net.n)


def _does_not_run(small: nn.Module, net: nn.Module) -> None:
    """Another layer of the same values runs."""
    own, other = small.n, copy.deepcopy(small.n)
    small.n.forward = other.forward  # type: ignore[method-assign, union-attr]
    assert own is not other


def _multiplies_more(small: nn.Module, net: nn.Module) -> None:
    inner = small.b.forward
    small.b.forward = lambda x: inner(x) + 0 * inner(x)  # type: ignore[method-assign, union-attr, operator]


def _holds_more(small: nn.Module, net: nn.Module) -> None:
    small.more = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_shares, Bound, "it shares h.2.weight with the original"),
        (_reads, Bound, "it reads h.2.weight of the original"),
        (_was_not_cut, Unlike, r"n\.\w+ was not cut"),
        (_does_not_run, Bound, r"n\.\w+ was cut, but is not what runs"),
        (_multiplies_more, Unlike, "MACs are run"),
        (_holds_more, Unlike, "parameters, the plan leaves"),
    ],
)
def test_each_check_can_fail(change: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        examined(change)
