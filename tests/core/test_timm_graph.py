"""timm's architectures, and the patterns that they brought: exact, or a refusal that names the operator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.graph_checks import Net, check_exact, consumers, head, image, owners


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
    assert (blocked.operator, blocked.reason) == ("convolution", "it is a position in space or in the batch")


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
