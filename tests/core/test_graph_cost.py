"""The closed form equals, to the last digit, what PyTorch's own counter counts on the really pruned network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.graph import Network, Plan, capture, remove
from tests.core.graph_checks import Net, assert_cost, counted, head, randomise
from tests.core.graph_zoo import build


def conv(i: int, o: int, k: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **options)  # type: ignore[arg-type]  # options are keyword arguments


def mixed() -> Net:
    """Residuals, depthwise, grouped and transposed convolutions, a gate, slices that differ and a flatten."""

    def body(m: Net, x: Tensor) -> Tensor:
        y = F.relu(m.n(m.a(x)))
        y = y + m.c(F.relu(m.dw(m.b(y))))
        y = m.t(F.relu(m.g(y)))
        gate = torch.sigmoid(m.e(F.relu(m.s(y.mean((2, 3), keepdim=True)))))
        y = y * gate
        return m.h(torch.cat([m.p(y[:, :6]), y[:, 6:]], 1).flatten(1))

    return Net(
        body,
        a=conv(3, 12),
        n=nn.BatchNorm2d(12),
        b=conv(12, 8),
        dw=conv(8, 16, groups=8),
        c=conv(16, 12),
        g=conv(12, 9, groups=3),
        t=nn.ConvTranspose2d(9, 10, 2, stride=2),
        s=conv(10, 4, 1),
        e=conv(4, 10, 1),
        p=conv(6, 5),
        h=nn.Linear(9 * 256, 7),
    )


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return Net(lambda m, x: m.h(m.e(m.i(x)).mean(1)), i=nn.Linear(5, 12), e=encoder, h=nn.Linear(12, 4))


CASES: dict[str, tuple[nn.Module, Tensor, Network]] = {}


def case(name: str) -> tuple[nn.Module, Tensor, Network]:
    if name not in CASES:
        model = {"mixed": mixed, "transformer": transformer}[name]()
        x = torch.randn(2, 3, 8, 8) if name == "mixed" else torch.randn(2, 6, 5)
        model, x = randomise(model).double().eval(), x.double()
        CASES[name] = (model, x, capture(model, x))
    return CASES[name]


@pytest.mark.parametrize("name", ["mixed", "transformer"])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_plan_costs_what_is_counted(name: str, data: st.DataObject) -> None:
    """Approximate groups too: what a network costs does not depend on what it computes."""
    model, x, network = case(name)
    drop = {}
    for group in network.groups:
        units = data.draw(st.sets(st.integers(0, group.size - 1), max_size=group.size - 1), label=group.key)
        drop[group.key] = sorted(units)
    plan = Plan(drop)
    assert_cost(network, plan, remove(model, network, plan, x).model, (x,))


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_removing_more_never_costs_more(data: st.DataObject) -> None:
    _, _, network = case("mixed")
    more, less = {}, {}
    for group in network.groups:
        units = data.draw(st.lists(st.integers(0, group.size - 1), unique=True, max_size=group.size - 1))
        more[group.key], less[group.key] = units, units[: len(units) // 2]
    a, b = network.cost(Plan(more)), network.cost(Plan(less))
    assert a.macs <= b.macs and a.parameters <= b.parameters and a.size_bytes <= b.size_bytes
    assert [r.name for r in network.layer_costs(Plan(more))] == [r.name for r in network.layer_costs()]


def test_the_layer_table_follows_the_plan() -> None:
    _, _, network = case("mixed")
    rows = {r.name: r for r in network.layer_costs(Plan({"a": [0, 3]}))}
    assert rows["a"].kind == "Conv2d" and rows["a"].shape_in == (3, 8, 8)
    assert rows["h"].macs == 9 * 256 * 7 and rows["h"].parameters == 9 * 256 * 7 + 7
    left = rows["a"].shape_out[0]
    assert left < 12 and rows["a"].macs == left * 3 * 9 * 64 and rows["b"].shape_in == (left, 8, 8)
    whole = {r.name: r for r in network.layer_costs()}
    assert whole["a"].shape_out == (12, 8, 8) and whole["dw"].macs == 16 * 9 * 64


def _keys(network: Network) -> set[str]:
    return {g.key for g in network.groups}


def test_batch_does_not_count() -> None:
    model, x, network = case("mixed")
    assert network.cost() == capture(model, x[:1]).cost()
    assert network.cost().macs == counted(model, (x[:1],))


def test_bytes_follow_the_precision() -> None:
    net = Net(lambda m, x: m.h(m.a(x)), a=conv(3, 8), h=head(8))
    single, half = capture(net, torch.randn(1, 3, 8, 8)), capture(net.half(), torch.randn(1, 3, 8, 8).half())
    assert single.cost().size_bytes == 2 * half.cost().size_bytes == 4 * single.cost().parameters


def test_a_capture_of_resnet50_is_known_to_the_digit() -> None:
    """The textbook figures: 4.09 G multiply-accumulates at 224 pixels, 25.6 M parameters."""
    cost = capture(build("resnet50", 224), torch.randn(1, 3, 224, 224)).cost()
    assert (cost.macs, cost.parameters) == (4_089_184_256, 25_557_032)


def test_an_empty_plan_costs_the_network() -> None:
    _, _, network = case("mixed")
    assert network.cost() == network.cost(Plan())
    keys = sorted(_keys(network))
    ratios = [network.ratio(Plan({k: [0]}), k) for k in keys]
    assert np.allclose(ratios, [1 / network.group(k).size for k in keys])
