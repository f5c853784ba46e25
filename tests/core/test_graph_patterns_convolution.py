"""Convolutions of every kind: what is removed computes exactly what is silenced."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.core.graph_checks import Net, check_exact, head, image, owners


def conv(i: int, o: int, k: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **options)  # type: ignore[arg-type]  # options are keyword arguments


def test_plain_chain_with_batch_norm() -> None:
    net = Net(
        lambda m, x: m.h(F.relu(m.n2(m.b(F.relu(m.n1(m.a(x))))))),
        a=conv(3, 12, bias=False),
        n1=nn.BatchNorm2d(12),
        b=conv(12, 10),
        n2=nn.BatchNorm2d(10),
        h=head(10),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (12, True), "b": (10, True)}


def test_residual_ties_both_branches() -> None:
    net = Net(
        lambda m, x: m.h(F.relu(m.a(x)) + m.c(F.relu(m.b(m.a(x))))), a=conv(3, 8), b=conv(8, 6), c=conv(6, 8), h=head(8)
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True)}


@pytest.mark.parametrize(("groups", "units"), [(2, 8), (4, 4), (8, 8), (16, 16)])
def test_grouped_convolution(groups: int, units: int) -> None:
    """Whole groups, or the same positions inside every group: whichever gives more units; both cut exactly."""
    net = Net(lambda m, x: m.h(F.relu(m.g(F.relu(m.a(x))))), a=conv(3, 16), g=conv(16, 16, groups=groups), h=head(16))
    found = owners(check_exact(net, image(), form="module"))
    assert found["a"] == (units, True)


def test_grouped_convolutions_at_equal_offsets() -> None:
    net = Net(
        lambda m, x: m.h(F.relu(m.g2(F.relu(m.g1(m.a(x)))))),
        a=conv(3, 16),
        g1=conv(16, 16, groups=2),
        g2=conv(16, 16, groups=2),
        h=head(16),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "g1": (8, True), "g2": (8, True)}


def test_grouped_convolutions_at_different_offsets() -> None:
    """Channels read in two groups by one convolution and in four by another, which a concatenation has moved."""

    def body(m: Net, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(m.a(x))
        return m.h(torch.cat([m.g2(y), m.g4(torch.cat([m.c(x), y], 1))], 1))

    net = Net(body, a=conv(3, 16), c=conv(3, 8), g2=conv(16, 16, groups=2), g4=conv(24, 12, groups=4), h=head(28))
    check_exact(net, image(), form="module")


def test_concatenation_into_a_grouped_convolution() -> None:
    net = Net(
        lambda m, x: m.h(m.g(torch.cat([m.a(x), m.b(x)], 1))),
        a=conv(3, 6),
        b=conv(3, 10),
        g=conv(16, 8, groups=2),
        h=head(8),
    )
    check_exact(net, image(), form="module")


@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_depthwise(multiplier: int) -> None:
    net = Net(
        lambda m, x: m.h(m.p(F.relu(m.n(m.d(F.relu(m.a(x))))))),
        a=conv(3, 8),
        d=conv(8, 8 * multiplier, groups=8),
        n=nn.BatchNorm2d(8 * multiplier),
        p=conv(8 * multiplier, 6, 1),
        h=head(6),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "p": (6, True)}


@pytest.mark.parametrize(("i", "o", "groups"), [(16, 8, 8), (32, 4, 4), (12, 6, 6), (8, 4, 2), (6, 12, 3)])
def test_groups_fewer_than_channels(i: int, o: int, groups: int) -> None:
    net = Net(lambda m, x: m.h(F.relu(m.g(F.relu(m.a(x))))), a=conv(3, i), g=conv(i, o, groups=groups), h=head(o))
    found = owners(check_exact(net, image(), form="module"))
    assert found["a"][0] >= max(groups if i // groups <= 1 else 1, 2)


def test_depthwise_on_the_input_is_left_alone() -> None:
    net = Net(lambda m, x: m.h(m.p(m.d(x))), d=nn.Conv2d(3, 6, 3, groups=3), p=conv(6, 8), h=head(8))
    assert owners(check_exact(net, image())) == {"p": (8, True)}


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_transposed(groups: int) -> None:
    net = Net(
        lambda m, x: m.h(F.relu(m.n(m.t(F.relu(m.a(x)))))),
        a=conv(3, 8),
        n=nn.BatchNorm2d(16),
        t=nn.ConvTranspose2d(8, 16, 4, stride=2, padding=1, groups=groups),
        h=head(16),
    )
    assert "a" in owners(check_exact(net, image(), form="module"))


def test_transposed_depthwise_with_multiplier_one() -> None:
    net = Net(
        lambda m, x: m.h(m.p(m.t(m.a(x)))),
        a=conv(3, 8),
        t=nn.ConvTranspose2d(8, 8, 2, stride=2, groups=8),
        p=conv(8, 4),
        h=head(4),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "p": (4, True)}


def test_one_dimension() -> None:
    net = Net(
        lambda m, x: m.f(m.b(F.relu(m.n(m.a(x)))).mean(-1)),
        a=nn.Conv1d(3, 8, 3),
        n=nn.BatchNorm1d(8),
        b=nn.Conv1d(8, 6, 3, groups=2),
        f=nn.Linear(6, 4),
    )
    assert "a" in owners(check_exact(net, torch.randn(1, 3, 16), form="module"))


def test_three_dimensions() -> None:
    net = Net(
        lambda m, x: m.f(m.b(F.relu(m.n(m.a(x)))).mean((2, 3, 4))),
        a=nn.Conv3d(2, 6, 3),
        n=nn.BatchNorm3d(6),
        b=nn.ConvTranspose3d(6, 5, 2),
        f=nn.Linear(5, 4),
    )
    assert owners(check_exact(net, torch.randn(1, 2, 5, 5, 5), form="module")) == {"a": (6, True), "b": (5, True)}


def test_functional_convolution_with_bare_parameters() -> None:
    net = Net(
        lambda m, x: F.linear(F.conv2d(F.relu(F.conv2d(x, m.w1, m.c1)), m.w2).mean((2, 3)), m.w3, m.c3),
        w1=nn.Parameter(torch.randn(8, 3, 3, 3)),
        c1=nn.Parameter(torch.randn(8)),
        w2=nn.Parameter(torch.randn(6, 8, 3, 3)),
        w3=nn.Parameter(torch.randn(4, 6)),
        c3=nn.Parameter(torch.randn(4)),
    )
    assert owners(check_exact(net, image(), form="module")) == {"w1": (8, True), "w2": (6, True)}


def test_functional_depthwise_with_the_number_of_groups_in_the_code() -> None:
    net = Net(
        lambda m, x: m.h(F.conv2d(m.a(x), m.w, groups=8)),
        a=conv(3, 8),
        w=nn.Parameter(torch.randn(8, 1, 3, 3)),
        h=head(8),
    )
    assert owners(check_exact(net, image(), form="program")) == {"a": (8, True)}


def test_weights_shared_by_two_modules() -> None:
    net = Net(lambda m, x: m.h(m.c(F.relu(m.b(F.relu(m.a(x)))))), a=conv(3, 8), b=conv(8, 8), c=conv(8, 8), h=head(8))
    net.c.weight = net.b.weight
    network = check_exact(net, image(), form="module")
    assert owners(network) == {"a": (8, True)}


def test_shared_grouped_convolution_updates_both_modules() -> None:
    net = Net(
        lambda m, x: m.h(m.c(F.relu(m.b(F.relu(m.a(x)))))),
        a=conv(3, 8),
        b=conv(8, 8, groups=8),
        c=conv(8, 8, groups=8),
        h=head(8),
    )
    net.c.weight, net.c.bias = net.b.weight, net.b.bias
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True)}


def test_one_module_called_twice() -> None:
    net = Net(lambda m, x: m.h(m.b(F.relu(m.b(F.relu(m.a(x)))))), a=conv(3, 8), b=conv(8, 8), h=head(8))
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True)}


def test_one_batch_norm_called_twice() -> None:
    net = Net(
        lambda m, x: m.h(m.n(m.b(F.relu(m.n(m.a(x)))))), a=conv(3, 8), b=conv(8, 8), n=nn.BatchNorm2d(8), h=head(8)
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True)}


def test_weight_normalisation_is_never_silently_wrong() -> None:
    net = Net(
        lambda m, x: m.h(F.relu(m.b(F.relu(m.a(x))))),
        a=nn.utils.parametrizations.weight_norm(conv(3, 8)),
        b=nn.utils.parametrizations.weight_norm(conv(8, 6)),
        h=head(6),
    )
    network = check_exact(net, image(), cost=False)
    assert any(g.size == 6 and g.exact for g in network.groups)


def test_weight_standardisation_makes_its_inputs_approximate() -> None:
    def body(m: Net, x: torch.Tensor) -> torch.Tensor:
        w = m.b.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.var((1, 2, 3), keepdim=True) + 1e-5).sqrt()
        return m.h(F.relu(F.conv2d(F.relu(m.a(x)), w, m.b.bias)))

    found = owners(check_exact(Net(body, a=conv(3, 8), b=conv(8, 6), h=head(6)), image()))
    assert found == {"a": (8, False), "b": (6, True)}


def test_dilated_strided_and_circular() -> None:
    net = Net(
        lambda m, x: m.h(m.c(F.relu(m.b(F.relu(m.a(x)))))),
        a=nn.Conv2d(3, 8, 3, stride=2, padding=1, padding_mode="circular"),
        b=nn.Conv2d(8, 6, 3, dilation=2, padding=2, padding_mode="reflect"),
        c=nn.Conv2d(6, 7, 3, padding="same"),
        h=head(7),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True), "c": (7, True)}
