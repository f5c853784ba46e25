"""Arithmetic between channels: exact, approximate and said so, or refused by the operator's name."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.graph import Plan, remove
from tests.core.graph_checks import Net, check_exact, head, image, owners, random_plan


def conv(i: int, o: int, k: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **options)  # type: ignore[arg-type]  # options are keyword arguments


def check_approximate(net: Net, example: Tensor, keys: list[str]) -> None:
    """Groups labelled approximate are cut when asked: the result runs, with the shapes of the plan."""
    network = check_exact(net, example, plans=1)
    arguments = (example.double(),)
    for key in keys:
        assert not network.group(key).exact and network.group(key).reason
        done = remove(net, network, random_plan(network, np.random.default_rng(3), keys=[key]))
        assert not done.proof.exact
        assert done.model(*arguments).shape == net(*arguments).shape
        assert sum(p.numel() for p in done.model.parameters()) < sum(p.numel() for p in net.parameters())
    everything = random_plan(network, np.random.default_rng(4), keys=[g.key for g in network.groups])
    done = remove(net, network, everything)
    assert done.model(*arguments).shape == net(*arguments).shape
    assert sum(p.numel() for p in done.model.parameters()) == network.cost(everything).parameters


def test_one_channel_broadcast_over_many() -> None:
    """Spatial attention: a gate of one channel couples nothing."""
    net = Net(
        lambda m, x: m.h(m.b(m.a(x) * torch.sigmoid(m.g(x)))), a=conv(3, 8), g=conv(3, 1), b=conv(8, 6), h=head(6)
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True)}


def test_squeeze_and_excite() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x) * torch.sigmoid(m.e(F.relu(m.s(m.a(x).mean((2, 3), keepdim=True))))))),
        a=conv(3, 8),
        s=conv(8, 4, 1),
        e=conv(4, 8, 1),
        b=conv(8, 6),
        h=head(6),
    )
    network = check_exact(net, image(), form="module")
    assert owners(network) == {"a": (8, True), "s": (4, True), "b": (6, True)}
    assert {m.parameter for m in network.group("a").producers} == {"a.weight", "e.weight"}


def test_squeeze_and_excite_with_linear_layers() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.h(m.b(y * torch.sigmoid(m.e(F.relu(m.s(y.mean((2, 3))))))[:, :, None, None]))

    net = Net(body, a=conv(3, 8), s=nn.Linear(8, 4), e=nn.Linear(4, 8), b=conv(8, 6), h=head(6))
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "s": (4, True), "b": (6, True)}


def test_per_channel_parameters_and_buffers() -> None:
    net = Net(
        lambda m, x: m.h(m.b((m.a(x) - m.mean[:, None, None]) * m.scale[None, :, None, None] + m.shift)),
        a=conv(3, 8),
        b=conv(8, 6),
        h=head(6),
        mean=torch.randn(8),
        scale=nn.Parameter(torch.randn(8)),
        shift=nn.Parameter(torch.randn(1, 8, 1, 1)),
    )
    network = check_exact(net, image(), form="module")
    assert owners(network) == {"a": (8, True), "b": (6, True)}
    assert {"mean", "scale", "shift"} <= {m.parameter for m in network.group("a").members}


def test_position_tables() -> None:
    net = Net(
        lambda m, x: m.f(F.gelu(m.a(x) + m.table).mean(1)),
        a=nn.Linear(4, 8),
        f=nn.Linear(8, 5),
        table=nn.Parameter(torch.randn(1, 7, 8)),
    )
    network = check_exact(net, torch.randn(1, 7, 4), form="module")
    assert owners(network) == {"a": (8, True)}
    assert ("table", 2) in {(m.parameter, m.dim) for m in network.group("a").members}


def test_a_full_map_of_parameters() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x) * m.map)),
        a=conv(3, 6),
        b=conv(6, 5),
        h=head(5),
        map=nn.Parameter(torch.randn(6, 8, 8)),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_prelu_with_one_and_with_many_slopes() -> None:
    net = Net(
        lambda m, x: m.h(m.q(m.b(m.p(m.a(x))))), a=conv(3, 8), p=nn.PReLU(8), b=conv(8, 6), q=nn.PReLU(), h=head(6)
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True)}


@pytest.mark.parametrize("options", [{}, {"affine": True}, {"affine": True, "track_running_stats": True}])
def test_instance_norm(options: dict[str, bool]) -> None:
    net = Net(
        lambda m, x: m.h(m.b(F.relu(m.n(m.a(x))))),
        a=conv(3, 8),
        n=nn.InstanceNorm2d(8, **options),
        b=conv(8, 6),
        h=head(6),
    )
    assert owners(check_exact(net, image())) == {"a": (8, True), "b": (6, True)}


def test_batch_norm_without_parameters_or_statistics() -> None:
    net = Net(
        lambda m, x: m.h(m.n2(m.b(F.relu(m.n1(m.a(x)))))),
        a=conv(3, 8),
        n1=nn.BatchNorm2d(8, affine=False),
        b=conv(8, 6),
        n2=nn.BatchNorm2d(6, track_running_stats=False),
        h=head(6),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True)}


@pytest.mark.parametrize(("groups", "units"), [(2, 4), (4, 2), (1, 8)])
def test_group_norm_is_approximate(groups: int, units: int) -> None:
    net = Net(
        lambda m, x: m.h(m.b(F.relu(m.n(m.a(x))))), a=conv(3, 8), n=nn.GroupNorm(groups, 8), b=conv(8, 6), h=head(6)
    )
    check_approximate(net, image(), ["a"])
    assert owners(check_exact(net, image())) == {"a": (units, False), "b": (6, True)}


def test_group_norm_of_one_channel_each_is_exact() -> None:
    net = Net(lambda m, x: m.h(m.b(F.relu(m.n(m.a(x))))), a=conv(3, 8), n=nn.GroupNorm(8, 8), b=conv(8, 6), h=head(6))
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True)}


def test_layer_norm_over_channels_and_space() -> None:
    net = Net(
        lambda m, x: m.h(m.b(F.relu(m.n(m.a(x))))), a=conv(3, 8), n=nn.LayerNorm((8, 8, 8)), b=conv(8, 6), h=head(6)
    )
    check_approximate(net, image(), ["a"])


def test_layer_norm_over_space_only_is_exact() -> None:
    net = Net(lambda m, x: m.h(m.b(F.relu(m.n(m.a(x))))), a=conv(3, 8), n=nn.LayerNorm((8, 8)), b=conv(8, 6), h=head(6))
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True)}


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm], ids=["LayerNorm", "RMSNorm"])
def test_norm_over_the_last_dimension(norm: type[nn.Module]) -> None:
    net = Net(
        lambda m, x: m.f(m.n(m.b(F.gelu(m.a(x))) + m.r(x)).mean(1)),
        a=nn.Linear(4, 12),
        b=nn.Linear(12, 8),
        r=nn.Linear(4, 8),
        n=norm(8),
        f=nn.Linear(8, 5),
    )
    example = torch.randn(1, 7, 4)
    check_approximate(net, example, ["b" if "b" in owners(check_exact(net, example)) else "r"])
    assert owners(check_exact(net, example))["a"] == (12, True)


def test_hand_written_norms_are_approximate_too() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6) * m.g
        return m.f(y)

    check_approximate(
        Net(body, a=nn.Linear(4, 8), f=nn.Linear(8, 5), g=nn.Parameter(torch.randn(8))), torch.randn(1, 7, 4), ["a"]
    )


def test_normalise_to_unit_length_is_approximate() -> None:
    net = Net(lambda m, x: m.f(F.normalize(m.a(x), dim=-1)), a=nn.Linear(4, 8), f=nn.Linear(8, 5))
    check_approximate(net, torch.randn(1, 7, 4), ["a"])


def test_local_response_norm_is_never_silently_wrong() -> None:
    net = Net(lambda m, x: m.h(m.b(m.n(m.a(x)))), a=conv(3, 8), n=nn.LocalResponseNorm(3), b=conv(8, 6), h=head(6))
    assert owners(check_exact(net, image()))["b"] == (6, True)


def test_softmax_over_channels_is_approximate() -> None:
    net = Net(lambda m, x: m.h(m.b(m.a(x).softmax(1))), a=conv(3, 8), b=conv(8, 6), h=head(6))
    check_approximate(net, image(), ["a"])


def test_softmax_over_space_is_exact() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x).flatten(2).softmax(-1).view(x.shape[0], -1, 8, 8))),
        a=conv(3, 8),
        b=conv(8, 6),
        h=head(6),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True)}


@pytest.mark.parametrize(
    "reduce",
    [lambda y: y.mean(1, keepdim=True), lambda y: y.amax(1, keepdim=True), lambda y: y.std(1, keepdim=True)],
    ids=["mean", "max", "std"],
)
def test_reduction_over_channels_is_approximate(reduce: object) -> None:
    net = Net(lambda m, x: m.h(m.b(m.a(x) * torch.sigmoid(reduce(m.a(x))))), a=conv(3, 8), b=conv(8, 6), h=head(6))  # type: ignore[operator]
    check_approximate(net, image(), ["a"])


def test_sum_over_channels_is_exact() -> None:
    """A sum reads its channels with weights of one: silenced where they are made, they add nothing."""
    net = Net(lambda m, x: m.f(m.a(x).sum(1).flatten(1)), a=conv(3, 8), f=nn.Linear(64, 4))
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True)}


def test_cosine_similarity_of_channels() -> None:
    net = Net(
        lambda m, x: m.f(F.cosine_similarity(m.a(x), m.b(x), dim=-1)),
        a=nn.Linear(4, 8),
        b=nn.Linear(4, 8),
        f=nn.Linear(7, 5),
    )
    assert owners(check_exact(net, torch.randn(1, 7, 4))) == {"a": (8, False)}


def test_einsum_with_a_parameter() -> None:
    net = Net(
        lambda m, x: m.h(torch.einsum("nchw,co->nohw", F.relu(m.a(x)), m.w)),
        a=conv(3, 8),
        w=nn.Parameter(torch.randn(8, 6)),
        h=head(6),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "w": (6, True)}


def test_einsum_with_a_parameter_per_head() -> None:
    net = Net(
        lambda m, x: m.f(torch.einsum("nlhd,hde->nlhe", m.a(x).unflatten(-1, (3, 4)), m.w).flatten(2)),
        a=nn.Linear(5, 12),
        w=nn.Parameter(torch.randn(3, 4, 6)),
        f=nn.Linear(18, 4),
    )
    check_exact(net, torch.randn(1, 7, 5))


def test_bilinear() -> None:
    net = Net(
        lambda m, x: m.f(m.z(F.relu(m.a(x)), F.relu(m.b(x)))),
        a=nn.Linear(4, 8),
        b=nn.Linear(4, 6),
        z=nn.Bilinear(8, 6, 5),
        f=nn.Linear(5, 3),
    )
    network = check_exact(net, torch.randn(1, 4), cost=False)
    found = owners(network)
    assert found == {"a": (8, True), "b": (6, True), "z": (5, True)} or any(
        b.operator == "_trilinear" for b in network.blocked
    )


def test_products_of_two_activations_over_channels() -> None:
    """Similarity of positions: a channel that contributes to both sides is silenced where it is made."""

    def body(m: Net, x: Tensor) -> Tensor:
        q, k = m.q(x).flatten(2), m.k(x).flatten(2)
        return m.f((q.transpose(1, 2) @ k).softmax(-1).mean(1))

    net = Net(body, q=conv(3, 8), k=conv(3, 8), f=nn.Linear(64, 5))
    assert owners(check_exact(net, image(), form="module")) == {"q": (8, True)}


def test_products_of_shifted_activations_are_approximate() -> None:
    """elu(x) + 1 is not zero at zero, so the product has no silenced counterpart."""

    def body(m: Net, x: Tensor) -> Tensor:
        q, k = F.elu(m.q(x).flatten(2)) + 1, F.elu(m.k(x).flatten(2)) + 1
        return m.f((q.transpose(1, 2) @ k).mean(1))

    network = check_exact(Net(body, q=conv(3, 8), k=conv(3, 8), f=nn.Linear(64, 5)), image())
    assert owners(network) == {"q": (8, False)}


def test_products_with_one_shifted_side_are_exact() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        q, k = F.elu(m.q(x).flatten(2)) + 1, torch.tanh(m.n(m.k(x))).flatten(2)
        return m.f((q.transpose(1, 2) @ k).mean(1))

    network = check_exact(Net(body, q=conv(3, 8), k=conv(3, 8), n=nn.BatchNorm2d(8), f=nn.Linear(64, 5)), image())
    assert owners(network) == {"q": (8, True)}


def test_outer_product_of_features() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y, z = m.a(x).flatten(2), m.b(x).flatten(2)
        return m.f((y @ z.transpose(1, 2)).flatten(1))

    net = Net(body, a=conv(3, 6), b=conv(3, 4), f=nn.Linear(24, 5))
    check_exact(net, image())


def test_operators_nobody_described_are_refused_by_name() -> None:
    net = Net(lambda m, x: m.h(m.b(torch.fft.fft(m.a(x), dim=1).real)), a=conv(3, 8), b=conv(8, 6), h=head(6))
    network = check_exact(net, image())
    assert owners(network) == {"b": (6, True)}
    (blocked,) = [b for b in network.blocked if b.parameter == "a.weight" and b.dim == 0]
    assert "fft" in blocked.operator and blocked.reason


def test_constants_of_fixed_size_are_refused() -> None:
    table = torch.randn(8, 1, 1, dtype=torch.float64)
    net = Net(lambda m, x: m.h(m.b(m.a(x) * table)), a=conv(3, 8), b=conv(8, 6), h=head(6))
    network = check_exact(net, image())
    assert owners(network) == {"b": (6, True)}
    assert any(b.parameter == "a.weight" and b.operator == "mul" for b in network.blocked)


def test_branches_on_data_and_numbers_read_from_data() -> None:
    """What the branch follows from is exact; what comes after it was seen on one of two paths only."""

    def body(m: Net, x: Tensor) -> Tensor:
        y = F.relu(m.a(F.relu(m.s(x))))
        y = y * 2 if float(y.sum().abs()) >= 0 else m.c(y)
        return m.h(m.b(y))

    net = Net(body, s=conv(3, 4), a=conv(4, 8), c=conv(8, 8), b=conv(8, 6), h=head(6))
    network = check_exact(net, image(), train=False, cost=False)
    assert owners(network) == {"s": (4, True), "a": (8, False), "b": (6, False)}
    assert "decides by a number" in network.group("b").reason


def test_mixture_of_a_few_branches() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        w = m.r(x.mean((2, 3))).softmax(-1)
        return m.h(m.c(sum(w[:, i, None, None, None] * layer(x) for i, layer in enumerate((m.a, m.b)))))

    net = Net(body, r=nn.Linear(3, 2), a=conv(3, 8), b=conv(3, 8), c=conv(8, 5), h=head(5))
    found = owners(check_exact(net, image()))
    assert found == {"a": (8, True), "c": (5, True)}


def test_selective_kernel() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        both = torch.stack([m.a(x), m.b(x)], 1)
        w = m.e(F.relu(m.s(both.sum(1).mean((2, 3), keepdim=True))))
        w = w.view(x.shape[0], 2, -1, 1, 1).softmax(1)
        return m.h(m.c((both * w).sum(1)))

    net = Net(body, a=conv(3, 8), b=conv(3, 8), s=conv(8, 4, 1), e=conv(4, 16, 1), c=conv(8, 5), h=head(5))
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "s": (4, True), "c": (5, True)}


def test_global_response_norm() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        g = y.norm(p=2, dim=(2, 3), keepdim=True)
        return m.h(m.b(y * (g / (g.mean(1, keepdim=True) + 1e-6)) * m.w + y))

    check_approximate(
        Net(body, a=conv(3, 8), b=conv(8, 6), h=head(6), w=nn.Parameter(torch.randn(1, 8, 1, 1))), image(), ["a"]
    )


def test_scores_scaled_by_a_number_of_the_width() -> None:
    """The scale keeps the width it was trained with."""

    def body(m: Net, x: Tensor) -> Tensor:
        q, k, v = m.q(x), m.k(x), m.v(x)
        return m.f((((q @ k.transpose(1, 2)) / math.sqrt(8)).softmax(-1) @ v).mean(1))

    net = Net(body, q=nn.Linear(4, 8), k=nn.Linear(4, 8), v=nn.Linear(4, 6), f=nn.Linear(6, 3))
    assert owners(check_exact(net, torch.randn(1, 5, 4), form="module")) == {"q": (8, True), "v": (6, True)}


def test_scale_computed_from_the_width_is_not_silently_wrong() -> None:
    """Code that divides by its own, shrinking width would change the function; the recorded program keeps it."""

    def body(m: Net, x: Tensor) -> Tensor:
        q, k = m.q(x), m.k(x)
        return m.f(((q @ k.transpose(1, 2)) / math.sqrt(q.shape[-1])).softmax(-1).mean(1))

    net = Net(body, q=nn.Linear(4, 8), k=nn.Linear(4, 8), f=nn.Linear(5, 3))
    assert owners(check_exact(net, torch.randn(1, 5, 4), form="program")) == {"q": (8, True)}


def test_an_empty_plan_is_the_network_itself() -> None:
    net = Net(lambda m, x: m.h(m.a(x)), a=conv(3, 8), h=head(8))
    network = check_exact(net, image())
    done = remove(net, network, Plan())
    assert torch.equal(done.model(image().double()), net(image().double()))
