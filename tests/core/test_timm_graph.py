"""timm's architectures, and the patterns that they brought: exact, or a refusal that names the operator."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.graph import capture
from tests.core.graph_checks import Net, check_exact, consumers, head, image, owners
from tests.core.graph_zoo import examine
from tests.core.timm_zoo import QUICK, TIMM, build, smallest_side

HEADS = {"test_vit": 6, "deit_tiny_distilled_patch16_224": 12, "test_coatnet": 3}  # groups of whole attention heads


def test_pointwise_convolution_lets_positions_pass() -> None:
    """As in EfficientViM: states mix pixels, a 1x1 convolution mixes channels and leaves the states alone."""

    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        write, read = m.b(y).flatten(2), m.c(y).flatten(2)
        states = m.mix(y.flatten(2) @ write.transpose(1, 2))  # (N, 7, 5)
        return m.h((states @ read).unflatten(2, (8, 8)))

    net = Net(body, a=nn.Conv2d(3, 6, 1), b=nn.Conv2d(6, 5, 1), c=nn.Conv2d(6, 5, 1), mix=nn.Conv1d(6, 7, 1), h=head(7))
    network = check_exact(net, image())
    assert owners(network) == {"a": (6, True), "b": (5, True), "mix": (7, True)}
    assert consumers(network, "a") == {"b.weight", "c.weight", "mix.weight"} and not consumers(network, "b")


def test_wider_convolution_keeps_positions() -> None:
    net = Net(
        lambda m, x: m.h(m.mix(m.b(x).flatten(2) @ m.a(x).flatten(2).transpose(1, 2)).unsqueeze(-1)),
        a=nn.Conv2d(3, 6, 1),
        b=nn.Conv2d(3, 5, 1),
        mix=nn.Conv1d(5, 7, 3, padding=1),
        h=head(7),
    )
    network = check_exact(net, image())
    assert owners(network) == {"b": (5, True), "mix": (7, True)}
    (blocked,) = [b for b in network.blocked if b.parameter == "a.weight"]
    assert (blocked.operator, blocked.reason) == ("convolution", "it is a position in space")


def test_linear_attention_with_a_padded_head() -> None:
    """As in EfficientViT: a column of ones counts the keys; heads leave as a whole."""

    def body(m: Net, x: Tensor) -> Tensor:
        q, k, v = m.qkv(x).flatten(2).unflatten(1, (4, 3, 6)).transpose(-1, -2).unbind(2)  # (N, 4, 64, 6)
        out = F.relu(q) @ (F.relu(k).transpose(-1, -2) @ F.pad(v, (0, 1), value=1.0))
        out = out[..., :-1] / (out[..., -1:] + 1e-3)
        return m.h(m.p(out.transpose(-1, -2).flatten(1, 2).unflatten(2, (8, 8))))

    net = Net(body, qkv=nn.Conv2d(3, 72, 1), p=nn.Conv2d(24, 6, 1), h=head(6))
    network = check_exact(net, image(), form="program")
    assert owners(network) == {"qkv": (4, True), "p": (6, True)}
    assert torch.equal(torch.as_tensor(network.group("qkv").producers[0].index[1]), torch.arange(18, 36))


def test_heads_folded_into_the_batch_pass_a_depthwise_convolution() -> None:
    """As in MViTv2: the pooling convolution is shared by the heads, which leave as a whole."""

    def body(m: Net, x: Tensor) -> Tensor:
        q, k, v = m.qkv(x).unflatten(1, (3, 4, 6)).unbind(1)  # (N, 4, 6, 8, 8)
        q, k = (m.pool(t.flatten(0, 1)).unflatten(0, (-1, 4)).flatten(3) for t in (q, k))  # (N, 4, 6, 16)
        out = (q.transpose(-1, -2) @ k).softmax(-1) @ v[..., ::2, ::2].flatten(3).transpose(-1, -2)
        return m.h(m.p(out.transpose(-1, -2).flatten(1, 2).unflatten(2, (4, 4))))

    pool = nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=6)
    net = Net(body, qkv=nn.Conv2d(3, 72, 1), pool=pool, p=nn.Conv2d(24, 5, 1), h=head(5))
    network = check_exact(net, image(), form="program")
    assert owners(network) == {"qkv": (4, True), "p": (5, True)}
    assert "pool.weight" not in {m.parameter for m in network.group("qkv").members}


def test_one_key_for_all_heads() -> None:
    """As in MobileNetV4's multi-query attention: widths are the units, and every head's product is counted."""

    def body(m: Net, x: Tensor) -> Tensor:
        q = m.q(x).flatten(2).unflatten(1, (4, 6)).transpose(-1, -2).contiguous()  # (N, 4, 64, 6)
        k, v = (t.flatten(2).transpose(1, 2).unsqueeze(1).contiguous() for t in (m.k(x), m.v(x)))  # (N, 1, 64, 6)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).transpose(1, 2)
        return m.h(m.p(out.unflatten(2, (8, 8))))

    net = Net(body, q=nn.Conv2d(3, 24, 1), k=nn.Conv2d(3, 6, 1), v=nn.Conv2d(3, 6, 1), p=nn.Conv2d(24, 5, 1), h=head(5))
    assert owners(check_exact(net, image())) == {"q": (6, True), "v": (6, True), "p": (5, True)}


def test_heads_and_widths_folded_into_one_dimension_leave_together_or_not_at_all() -> None:
    """Values shared by all heads, in products written by hand: both heads and widths are read by one convolution."""

    def body(m: Net, x: Tensor) -> Tensor:
        q = m.q(x).flatten(2).unflatten(1, (4, 6)).transpose(-1, -2)  # (N, 4, 64, 6)
        k, v = (t.flatten(2).transpose(1, 2).unsqueeze(1) for t in (m.k(x), m.v(x)))  # (N, 1, 64, 6)
        out = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return m.h(m.p(out.transpose(-1, -2).flatten(1, 2).unflatten(2, (8, 8))))

    net = Net(body, q=nn.Conv2d(3, 24, 1), k=nn.Conv2d(3, 6, 1), v=nn.Conv2d(3, 6, 1), p=nn.Conv2d(24, 5, 1), h=head(5))
    assert owners(check_exact(net, image())) == {"p": (5, True)}


def test_kernels_mixed_from_flat_experts_stay_whole() -> None:
    """As in CondConv: a kernel is mixed anew; its channels and positions are one flat dimension of the experts."""

    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        kernel = (m.route(y.mean((0, 2, 3))).sigmoid() @ m.experts.weight).view(7, 6, 3, 3)
        return m.h(m.norm(F.conv2d(y, kernel, padding=1)))

    experts = nn.Linear(7 * 6 * 9, 4, bias=False)  # for its weight alone, (4 experts, 378)
    net = Net(body, a=nn.Conv2d(3, 6, 1), route=nn.Linear(6, 4), experts=experts, norm=nn.BatchNorm2d(7), h=head(7))
    network = capture(net.eval(), image())
    assert owners(network) == {"route": (4, True)}
    flat = [b for b in network.blocked if b.parameter == "experts.weight" and b.dim == 1]
    assert [(b.operator, b.reason) for b in flat] == [("convolution", "it is a position inside the kernel")]
    check_exact(net, image())


FAMILIES = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in TIMM]
# all of it passes a normalisation over channels, or has its weights normalised over them
NOTHING_EXACT = ("convnextv2_atto", "gmlp_ti16_224", "nf_resnet26", "resnet50_gn")


@pytest.mark.parametrize("name", FAMILIES)
def test_half_of_every_group_leaves(name: str) -> None:
    row = examine(name, build(name), smallest_side(name))
    assert not row.refused
    assert (row.exact == 0) == (name in NOTHING_EXACT)
    assert row.exact == 0 or row.macs_after < row.macs
    assert row.heads >= HEADS.get(name, 0)


def test_the_list_covers_the_families() -> None:
    assert len(set(TIMM)) == len(TIMM) >= 40 and set(QUICK) <= set(TIMM)
    assert len({timm.models.model_entrypoint(name).__module__ for name in TIMM}) >= 60
