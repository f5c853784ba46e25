"""Operators that only move data: whatever they do to the order of channels, the cut follows them or is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.graph_checks import Net, check_exact, head, image, owners


def conv(i: int, o: int, k: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **options)  # type: ignore[arg-type]  # options are keyword arguments


def test_permute_to_channels_last_then_flatten() -> None:
    net = Net(lambda m, x: m.f(F.relu(m.a(x)).permute(0, 2, 3, 1).flatten(1)), a=conv(3, 6), f=nn.Linear(6 * 64, 5))
    network = check_exact(net, image(), form="module")
    assert owners(network) == {"a": (6, True)}
    (member,) = network.group("a").consumers
    assert member.index[0].tolist() == list(range(0, 384, 6)), "unit 0 owns every sixth column, not the first 64"


def test_flatten_after_convolution() -> None:
    net = Net(lambda m, x: m.f(F.relu(m.a(x)).flatten(1)), a=conv(3, 6), f=nn.Linear(6 * 64, 5))
    (member,) = check_exact(net, image(), form="module").group("a").consumers
    assert member.index[1].tolist() == list(range(64, 128))


def test_channels_shuffled_by_the_operator_leave_one_by_one() -> None:
    """What is left of the groups is no rectangle, so that the operator cannot be told a number of groups any more."""
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ChannelShuffle(4), nn.Conv2d(8, 6, 3, groups=1), head(6)
    network = check_exact(nn.Sequential(*layers), image())
    assert owners(network)["0"] == (8, True)


def test_channels_under_a_constant_mask_are_as_good_as_listed() -> None:
    """Nothing is decided by the data: the mask is the same for all of them."""
    mask = torch.tensor([True, False, True, True, False, True, True, True])
    net = Net(lambda m, x: m.h(m.c(m.a(x)[:, mask])), a=nn.Conv2d(3, 8, 3), c=nn.Conv2d(6, 6, 3), h=head(6))
    network = check_exact(net, image())
    assert not network.notes and {size for size, exact in owners(network).values() if exact} == {2, 6}


@pytest.mark.parametrize("groups", [2, 3])
def test_channel_shuffle_by_reshape(groups: int) -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        n, c, h, w = y.shape
        y = y.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        return m.h(F.relu(m.b(y)))

    check_exact(Net(body, a=conv(3, 12), b=conv(12, 9), h=head(9)), image())


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_channel_shuffle_between_grouped_convolutions(groups: int) -> None:
    net = Net(
        lambda m, x: m.h(F.relu(m.c(m.s(m.b(F.relu(m.a(x))))))),
        a=conv(3, 12),
        b=conv(12, 12, groups=groups),
        s=nn.ChannelShuffle(groups),
        c=conv(12, 12, groups=groups),
        h=head(12),
    )
    check_exact(net, image())


def test_shuffle_unit_of_two_branches() -> None:
    """As in ShuffleNet: half of the channels pass, the other half is computed, then all are shuffled."""

    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        for layer in (m.b, m.c):
            left, right = y.chunk(2, dim=1)
            y = torch.cat((left, layer(right)), 1)
            n, c, h, w = y.shape
            y = y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return m.h(y)

    net = Net(
        body, a=conv(3, 12), b=nn.Sequential(conv(6, 6), nn.ReLU()), c=nn.Sequential(conv(6, 6), nn.ReLU()), h=head(12)
    )
    assert owners(check_exact(net, image()))


@pytest.mark.parametrize("down", [False, True])
def test_pixel_shuffle(down: bool) -> None:
    layer: nn.Module = nn.PixelUnshuffle(2) if down else nn.PixelShuffle(2)
    inner = 8 * 4 if down else 2
    net = Net(lambda m, x: m.h(F.relu(m.b(m.s(F.relu(m.a(x)))))), a=conv(3, 8), s=layer, b=conv(inner, 6), h=head(6))
    assert owners(check_exact(net, image(), form="module")) == {"a": (8 if down else 2, True), "b": (6, True)}


def test_space_to_depth_by_slices() -> None:
    net = Net(
        lambda m, x: m.h(m.b(torch.cat([m.a(x)[..., ::2, ::2], m.a(x)[..., 1::2, ::2]], 1))),
        a=conv(3, 6),
        b=conv(12, 5),
        h=head(5),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def gate(m: Net, x: Tensor) -> Tensor:
    left, right = m.a(x).chunk(2, dim=1)
    return m.h(m.b(left * torch.sigmoid(right)))


@pytest.mark.parametrize("body", [gate, lambda m, x: m.h(m.b(F.glu(m.a(x), dim=1)))], ids=["chunk", "glu"])
def test_gates(body: object) -> None:
    """A value and its gate leave together, so the halves stay equal and the model's own code keeps running."""
    net = Net(body, a=conv(3, 12), b=conv(6, 5), h=head(5))
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_swiglu() -> None:
    net = Net(lambda m, x: m.c(F.silu(m.a(x)) * m.b(x)), a=nn.Linear(6, 16), b=nn.Linear(6, 16), c=nn.Linear(16, 4))
    assert owners(check_exact(net, torch.randn(1, 3, 6), form="module")) == {"a": (16, True)}


def test_split_with_constant_sizes() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        p, q, r = m.a(x).split([4, 6, 2], dim=1)
        return m.h(torch.cat([m.b(p), F.relu(q), torch.sigmoid(r)], 1))

    net = Net(body, a=conv(3, 12), b=conv(4, 4), h=head(12))
    assert owners(check_exact(net, image(), form="program")) == {"a": (4, True), "a#2": (8, True), "b": (4, True)}


def test_constant_slices() -> None:
    net = Net(
        lambda m, x: m.h(torch.cat([m.b(m.a(x)[:, :8]), m.a(x)[:, 8:]], 1)), a=conv(3, 12), b=conv(8, 5), h=head(9)
    )
    assert owners(check_exact(net, image(), form="program")) == {"a": (8, True), "a#2": (4, True), "b": (5, True)}


def test_overlapping_slices() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x)[:, :8]) + m.c(m.a(x)[:, 4:])), a=conv(3, 12), b=conv(8, 5), c=conv(8, 5), h=head(5)
    )
    assert sum(size for size, _ in owners(check_exact(net, image())).values()) == 12 + 5


def test_every_second_channel() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x)[:, ::2]) + m.c(m.a(x)[:, 1::2])),
        a=conv(3, 12),
        b=conv(6, 5),
        c=conv(6, 5),
        h=head(5),
    )
    assert owners(check_exact(net, image())) == {"a": (6, True), "a#2": (6, True), "b": (5, True)}


def test_one_selected_channel_cannot_leave() -> None:
    """The code names channel 0, so channel 0 stays; the others may go."""
    net = Net(lambda m, x: m.h(m.b(m.a(x)) * torch.sigmoid(m.a(x)[:, :1])), a=conv(3, 8), b=conv(8, 6), h=head(6))
    network = check_exact(net, image())
    assert owners(network) == {"a": (7, True), "b": (6, True)}
    assert network.group("a").producers[0].index.min() == 1


def test_one_indexed_channel_cannot_leave() -> None:
    net = Net(lambda m, x: m.h(m.b(m.a(x))) + m.a(x)[:, 3].mean((1, 2))[:, None], a=conv(3, 8), b=conv(8, 6), h=head(6))
    network = check_exact(net, image())
    assert sorted(network.group("a").producers[0].index[:, 0].tolist()) == [0, 1, 2, 4, 5, 6, 7]


def test_concatenation_with_itself_and_with_its_relu() -> None:
    net = Net(
        lambda m, x: m.h(m.b(torch.cat([m.a(x), m.a(x), F.relu(m.a(x))], 1))), a=conv(3, 6), b=conv(18, 5), h=head(5)
    )
    network = check_exact(net, image(), form="module")
    assert owners(network) == {"a": (6, True), "b": (5, True)}
    assert network.group("a").consumers[0].index[0].tolist() == [0, 6, 12]


def test_concatenation_along_height() -> None:
    net = Net(
        lambda m, x: m.h(F.relu(m.c(torch.cat([m.a(x), m.b(x)], 2)))),
        a=conv(3, 6),
        b=conv(3, 6),
        c=conv(6, 5),
        h=head(5),
    )
    network = check_exact(net, image(), form="module")
    assert owners(network) == {"a": (6, True), "c": (5, True)}
    assert {m.parameter for m in network.group("a").producers} == {"a.weight", "b.weight"}


def test_concatenation_of_channels_with_the_input() -> None:
    net = Net(lambda m, x: m.h(m.b(torch.cat([x, m.a(x)], 1))), a=conv(3, 6), b=conv(9, 5), h=head(5))
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_stack_and_unbind() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        first, second = torch.stack([m.a(x), m.b(x)], 1).unbind(1)
        return m.h(m.c(torch.maximum(first, second)))

    net = Net(body, a=conv(3, 6), b=conv(3, 6), c=conv(6, 5), h=head(5))
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "c": (5, True)}


def test_maxout() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.h(m.b(y.view(y.shape[0], 6, 2, 8, 8).amax(2)))

    net = Net(body, a=conv(3, 12), b=conv(6, 5), h=head(5))
    assert owners(check_exact(net, image())) == {"a": (6, True), "b": (5, True)}


def test_maxout_over_halves() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.h(m.b(y.view(y.shape[0], 2, -1, 8, 8).max(1).values))

    net = Net(body, a=conv(3, 12), b=conv(6, 5), h=head(5))
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_repeat_and_expand() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x).repeat(1, 2, 1, 1)) * m.c(x).mean((2, 3), keepdim=True).expand(-1, -1, 8, 8)),
        a=conv(3, 6),
        b=conv(12, 5),
        c=conv(3, 5),
        h=head(5),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_repeat_interleave() -> None:
    net = Net(lambda m, x: m.h(m.b(m.a(x).repeat_interleave(2, dim=1))), a=conv(3, 6), b=conv(12, 5), h=head(5))
    assert owners(check_exact(net, image())) == {"a": (6, True), "b": (5, True)}


def test_expanded_single_channel_over_many() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.g(x).expand(-1, 6, -1, -1) + m.a(x))),
        a=conv(3, 6),
        g=conv(3, 1),
        b=conv(6, 5),
        h=head(5),
    )
    check_exact(net, image())


def test_zero_padded_channels_of_an_option_a_shortcut() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = F.relu(m.a(x))
        short = F.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return m.h(F.relu(m.c(F.relu(m.b(y))) + short))

    net = Net(body, a=conv(3, 6), b=conv(6, 7, stride=2), c=conv(7, 10), h=head(10))
    found = owners(check_exact(net, image()))
    assert found["b"] == (7, True) and sum(size for size, _ in found.values()) == 7 + 10


def test_padding_in_space_and_cropping() -> None:
    net = Net(
        lambda m, x: m.h(m.b(F.pad(F.pad(m.a(x), (1, 2, 3, 0)), (-1, -1, 0, 0)))), a=conv(3, 6), b=conv(6, 5), h=head(5)
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_roll_flip_and_index_along_space() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x).roll((1, 2), (2, 3)).flip(2)[:, :, [1, 3, 5]])),
        a=conv(3, 6),
        b=conv(6, 5),
        h=head(5),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_flip_of_channels() -> None:
    net = Net(lambda m, x: m.h(m.b(m.a(x).flip(1))), a=conv(3, 6), b=conv(6, 5), h=head(5))
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_constant_permutation_of_channels() -> None:
    net = Net(lambda m, x: m.h(m.b(m.a(x)[:, [3, 1, 5, 0, 2, 4]])), a=conv(3, 6), b=conv(6, 5), h=head(5))
    assert owners(check_exact(net, image(), form="program")) == {"a": (6, True), "b": (5, True)}


def test_permutation_held_in_a_buffer() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x).index_select(1, m.order))),
        a=conv(3, 6),
        b=conv(6, 5),
        h=head(5),
        order=torch.tensor([3, 1, 5, 0, 2, 4]),
    )
    assert owners(check_exact(net, image(), form="program")) == {"a": (6, True), "b": (5, True)}


def test_roll_of_channels_is_refused_by_name() -> None:
    net = Net(lambda m, x: m.h(m.b(m.a(x).roll(1, 1))), a=conv(3, 6), b=conv(6, 5), h=head(5))
    network = check_exact(net, image())
    assert owners(network) == {"b": (5, True)}
    assert {(b.parameter, b.operator) for b in network.blocked} >= {("a.weight", "roll")}


def test_a_number_written_in_the_code() -> None:
    net = Net(lambda m, x: m.f(m.b(m.a(x)).view(-1, 8 * 64)), a=conv(3, 6), b=conv(6, 8), f=nn.Linear(512, 4))
    assert owners(check_exact(net, image(), form="program")) == {"a": (6, True), "b": (8, True)}


def test_writing_into_slices_of_a_buffer() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape[0], 11, 8, 8, dtype=x.dtype)
        y[:, :6] = m.a(x)
        y[:, 6:] = m.b(x)
        return m.h(m.c(y))

    check_exact(Net(body, a=conv(3, 6), b=conv(3, 5), c=conv(11, 7), h=head(7)), image())


def test_in_place_chain() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        y += m.b(x)
        y[:, :, 0] = 0
        return m.h(m.c(y.mul_(2).relu_()))

    net = Net(body, a=conv(3, 6), b=conv(3, 6), c=conv(6, 7), h=head(7))
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "c": (7, True)}


def test_in_place_on_one_channel() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        y[:, 0] += 1
        y[:, 1:3] *= 2
        return m.h(m.c(y))

    check_exact(Net(body, a=conv(3, 6), c=conv(6, 7), h=head(7)), image(), train=False)


def test_unfold_to_patches() -> None:
    net = Net(lambda m, x: m.f(F.unfold(m.a(x), 2, stride=2).transpose(1, 2).mean(1)), a=conv(3, 6), f=nn.Linear(24, 5))
    check_exact(net, image())


def test_tensor_unfold() -> None:
    net = Net(
        lambda m, x: m.h(m.b(m.a(x).unfold(2, 4, 2).flatten(2, 3).mean(-1, keepdim=True))),
        a=conv(3, 6),
        b=conv(6, 5),
        h=head(5),
    )
    check_exact(net, image())


def test_gather_and_sort_are_never_silently_wrong() -> None:
    net = Net(lambda m, x: m.f(m.a(x).sort(-1).values.topk(3, dim=-1).values), a=nn.Linear(6, 8), f=nn.Linear(3, 4))
    network = check_exact(net, torch.randn(1, 6), cost=False)
    assert not network.groups
    assert {(b.parameter, b.operator) for b in network.blocked} >= {("a.weight", "sort")}


def test_resizing_and_pooling() -> None:
    net = Net(
        lambda m, x: m.h(
            m.b(F.interpolate(F.max_pool2d(m.a(x), 2), scale_factor=2, mode="bilinear") + F.avg_pool2d(m.c(x), 3, 1, 1))
        ),
        a=conv(3, 6),
        c=conv(3, 6),
        b=conv(6, 5),
        h=head(5),
    )
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (5, True)}


def test_windows_and_back() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x).permute(0, 2, 3, 1)
        n, h, w, c = y.shape
        y = y.view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        y = F.gelu(m.b(y))
        y = y.view(n, h // 4, w // 4, 4, 4, -1).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, -1)
        return m.f(y.mean((1, 2)))

    net = Net(body, a=conv(3, 6), b=nn.Linear(6, 10), f=nn.Linear(10, 4))
    assert owners(check_exact(net, image(), form="module")) == {"a": (6, True), "b": (10, True)}
