"""Attention, recurrent layers and embeddings."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.graph import capture, remove, silence
from pruning_core.graph.removing.attention import HeadAttention
from tests.core.graph_checks import (
    EXACT,
    Net,
    check_exact,
    check_plan,
    difference,
    outputs,
    owners,
    random_plan,
    randomise,
)


def tokens(width: int = 12, length: int = 5, batch: int = 1) -> Tensor:
    return torch.randn(batch, length, width, generator=torch.Generator().manual_seed(7))


class SelfAttention(nn.Module):
    """Hand-written, packed, with sizes taken from attributes and from the input."""

    def __init__(self, width: int = 12, heads: int = 3, norm: bool = False) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.attn_dim = width
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm = nn.RMSNorm(self.head_dim) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.norm(q), self.norm(k)
        scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, self.attn_dim)
        return self.proj(y)


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "qk-norm"])
def test_packed_attention_loses_whole_heads(norm: bool) -> None:
    net = Net(lambda m, x: m.f(m.a(x).mean(1)), a=SelfAttention(norm=norm), f=nn.Linear(12, 4))
    network = check_exact(net, tokens(), form="module")
    assert owners(network)["a.qkv"] == (3, True)
    rows = network.group("a.qkv").producers[0].index
    assert rows[1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19, 28, 29, 30, 31], "the second head of q, of k and of v"


def test_attention_written_with_the_width_of_its_input_becomes_a_program() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = m.qkv(x).view(n, length, 3, 3, width // 3).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        return m.f(m.p(y).mean(1))

    net = Net(body, qkv=nn.Linear(12, 36), p=nn.Linear(12, 12), f=nn.Linear(12, 4))
    assert owners(check_exact(net, tokens(), form="program")) == {"qkv": (3, True), "p": (12, True)}


def test_one_head_loses_single_dimensions_of_its_width() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = F.scaled_dot_product_attention(m.q(x), m.k(x), m.v(x), scale=0.3)
        return m.f(m.p(y).mean(1))

    net = Net(body, q=nn.Linear(12, 8), k=nn.Linear(12, 8), v=nn.Linear(12, 6), p=nn.Linear(6, 10), f=nn.Linear(10, 4))
    assert owners(check_exact(net, tokens(), form="module")) == {"q": (8, True), "v": (6, True), "p": (10, True)}


def test_scaled_dot_product_keeps_its_scale_when_the_width_shrinks() -> None:
    net = Net(
        lambda m, x: m.f(F.scaled_dot_product_attention(m.q(x), m.k(x), m.v(x)).mean(1)),
        q=nn.Linear(12, 8),
        k=nn.Linear(12, 8),
        v=nn.Linear(12, 6),
        f=nn.Linear(6, 4),
    )
    assert owners(check_exact(net, tokens()))["q"] == (8, True)


def test_attention_with_masks_and_a_bias_table() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (3, 4)).transpose(1, 2) for t in (m.q(x), m.k(x), m.v(x)))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=m.table[:, m.index])
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return m.f((y + z).transpose(1, 2).flatten(2).mean(1))

    net = Net(
        body,
        q=nn.Linear(12, 12),
        k=nn.Linear(12, 12),
        v=nn.Linear(12, 12),
        f=nn.Linear(12, 4),
        table=nn.Parameter(torch.randn(3, 9)),
        index=(torch.arange(5)[:, None] - torch.arange(5) + 4),
    )
    network = check_exact(net, tokens())
    assert owners(network) == {"q": (3, True)}
    assert "table" in {m.parameter for m in network.group("q").members}


def test_grouped_query_attention() -> None:
    """Two queries share a key: both heads leave together."""

    def body(m: Net, x: Tensor) -> Tensor:
        q = m.q(x).unflatten(-1, (4, 3)).transpose(1, 2)
        k, v = (t.unflatten(-1, (2, 3)).transpose(1, 2).repeat_interleave(2, dim=1) for t in (m.k(x), m.v(x)))
        return m.f(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).mean(1))

    net = Net(body, q=nn.Linear(12, 12), k=nn.Linear(12, 6), v=nn.Linear(12, 6), f=nn.Linear(12, 4))
    assert owners(check_exact(net, tokens()))["q"] == (2, True)


class Packed(nn.Module):
    """`nn.MultiheadAttention` in its many ways of being called."""

    def __init__(self, call: dict[str, Any], **options: Any) -> None:
        super().__init__()
        self.a = nn.MultiheadAttention(12, 3, **options)
        self.call = call
        self.f = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Any:
        call = dict(self.call)
        if call.get("key_padding_mask") == "last":
            padding = torch.zeros(x.shape[0], x.shape[1], dtype=torch.bool)
            padding[:, -1] = True
            call["key_padding_mask"] = padding
        if not self.a.batch_first:
            x = x.transpose(0, 1)
        y, weights = self.a(x, x, x, **call)
        y = self.f(y.mean(0 if not self.a.batch_first else 1))
        return (y, weights) if self.call.get("give") else y


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"need_weights": False},
        {"average_attn_weights": False},
        {"need_weights": False, "attn_mask": torch.triu(torch.full((5, 5), -1e9), 1)},
        {"attn_mask": torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)},
        {"key_padding_mask": "last"},
        {"key_padding_mask": "last", "attn_mask": torch.triu(torch.full((5, 5), -3.0), 1), "need_weights": False},
    ],
    ids=["weights", "no weights", "weights per head", "mask", "bool mask", "padding", "padding and mask"],
)
def test_multihead_attention(batch_first: bool, bias: bool, call: dict[str, Any]) -> None:
    call = {k: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in call.items()}
    net = Packed(call, batch_first=batch_first, bias=bias)
    network = check_exact(net, tokens(), form="module", plans=1)
    assert owners(network)["a"] == (3, True)
    done = remove(net, network, random_plan(network, np.random.default_rng(1)))
    assert isinstance(done.model.a, HeadAttention)


def test_averaged_attention_weights_as_an_output_make_heads_approximate() -> None:
    class Given(Packed):
        def forward(self, x: Tensor) -> Any:
            y, weights = self.a(x, x, x)
            return self.f(y.mean(1)), weights

    found = owners(check_exact(Given({}, batch_first=True), tokens()))
    assert found.get("a") == (3, False)


@pytest.mark.parametrize(
    "options",
    [{"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 12, "vdim": 12}],
    ids=["bias_kv", "zero_attn", "kdim"],
)
def test_rare_options_of_multihead_attention(options: dict[str, Any]) -> None:
    check_exact(Packed({"need_weights": False}, batch_first=True, **options), tokens(), batches=(1, 2), plans=1)


def test_cross_attention_of_two_inputs() -> None:
    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.MultiheadAttention(12, 3, kdim=7, vdim=9, batch_first=True)
            self.k, self.v, self.f = nn.Linear(4, 7), nn.Linear(4, 9), nn.Linear(12, 5)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.f(self.a(x, self.k(y), self.v(y), need_weights=False)[0].mean(1))

    found = owners(check_exact(Cross(), (tokens(), torch.randn(1, 6, 4)), batches=(1, 2)))
    assert found["k"] == (7, True) and found["v"] == (9, True) and (3, True) in found.values()


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_encoder(norm_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True, norm_first=norm_first)
    net = Net(
        lambda m, x: m.f(m.e(x).mean(1)),
        e=nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        f=nn.Linear(12, 4),
    )
    found = owners(check_exact(net, tokens(), form="module"))
    assert found["e.layers.0.self_attn"] == (3, True) and found["e.layers.1.linear1"] == (20, True)


def test_transformer_decoder() -> None:
    layer = nn.TransformerDecoderLayer(12, 3, 20, dropout=0.0, batch_first=True)
    net = Net(lambda m, x, y: m.f(m.d(x, y).mean(1)), d=nn.TransformerDecoder(layer, 1), f=nn.Linear(12, 4))
    found = owners(check_exact(net, (tokens(), tokens(length=6)), form="module"))
    assert found["d.layers.0.multihead_attn"] == (3, True)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2}, {"bidirectional": True}, {"bias": False}],
    ids=["one", "two", "both ways", "no bias"],
)
def test_recurrent_layers(kind: type[nn.RNNBase], options: dict[str, Any]) -> None:
    """Hidden and input sizes; the last outputs at every position are read."""
    wide = 12 if options.get("bidirectional") else 6
    net = Net(
        lambda m, x: m.f(m.r(m.a(x))[0].mean(1)),
        a=nn.Linear(4, 7),
        r=kind(7, 6, batch_first=True, **options),
        f=nn.Linear(wide, 3),
    )
    found = owners(check_exact(net, tokens(4), form="module", cost=False, plans=2))
    assert found["a"] == (7, True) and (6, True) in {found[k] for k in found if k.startswith("r")}


def test_recurrent_layer_read_at_its_last_state() -> None:
    net = Net(lambda m, x: m.f(m.r(x)[1][0][-1]), r=nn.LSTM(4, 6, batch_first=True), f=nn.Linear(6, 3))
    assert owners(check_exact(net, tokens(4), form="module", cost=False)) == {"r": (6, True)}


def test_recurrent_layer_with_projection_is_never_silently_wrong() -> None:
    net = Net(
        lambda m, x: m.f(m.r(m.a(x))[0].mean(1)),
        a=nn.Linear(4, 7),
        r=nn.LSTM(7, 6, proj_size=3, batch_first=True),
        f=nn.Linear(3, 3),
    )
    assert owners(check_exact(net, tokens(4), cost=False))["a"] == (7, True)


def test_recurrent_cell_in_a_loop() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 6, dtype=x.dtype)
        for t in range(x.shape[1]):
            h = m.c(x[:, t], h)
        return m.f(h)

    net = Net(body, c=nn.GRUCell(4, 6), f=nn.Linear(6, 3))
    check_exact(net, tokens(4), cost=False)


def test_embedding() -> None:
    net = Net(
        lambda m, x: m.f(F.relu(m.b(m.e(x))).mean(1)), e=nn.Embedding(11, 8), b=nn.Linear(8, 6), f=nn.Linear(6, 3)
    )
    words = torch.randint(11, (1, 5), generator=torch.Generator().manual_seed(0))
    assert owners(check_exact(net, words, form="module")) == {"e": (8, True), "b": (6, True)}


def test_embedding_bag_is_never_silently_wrong() -> None:
    net = Net(lambda m, x: m.f(m.e(x)), e=nn.EmbeddingBag(11, 8), f=nn.Linear(8, 3))
    check_exact(net, torch.randint(11, (1, 5)), cost=False)


def test_embedding_tied_to_the_classifier() -> None:
    net = Net(
        lambda m, x: m.head(m.d(F.relu(m.u(m.e(x)))) + m.e(x)),
        e=nn.Embedding(11, 8),
        u=nn.Linear(8, 6),
        d=nn.Linear(6, 8),
        head=nn.Linear(8, 11),
    )
    net.head.weight = net.e.weight
    words = torch.randint(11, (1, 5), generator=torch.Generator().manual_seed(0))
    network = check_exact(net, words, form="module")
    assert owners(network) == {"u": (6, True), "d": (8, True)}
    assert ("e.weight", 1) in {(m.parameter, m.dim) for m in network.group("d").members}
    done = remove(net, network, random_plan(network, np.random.default_rng(0)))
    assert done.model.head.weight is done.model.e.weight, "still tied"
    assert done.model.e.embedding_dim == done.model.head.in_features == done.model.e.weight.shape[1]


def test_tied_embedding_alone() -> None:
    """The same tensor produces and consumes: there is a group although nothing else produces its units."""
    net = Net(lambda m, x: F.linear(m.e(x), m.e.weight), e=nn.Embedding(11, 8))
    network = check_exact(net, torch.randint(11, (1, 5)), form="module")
    assert owners(network) == {"e": (8, True)}


def test_rotary_positions_are_never_silently_wrong() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        def rotate(t: Tensor) -> Tensor:
            left, right = t.chunk(2, -1)
            return t * m.cos + torch.cat([-right, left], -1) * m.sin

        q, k, v = (t.unflatten(-1, (3, 4)).transpose(1, 2) for t in (m.q(x), m.k(x), m.v(x)))
        return m.f(F.scaled_dot_product_attention(rotate(q), rotate(k), v).transpose(1, 2).flatten(2).mean(1))

    net = Net(
        body,
        q=nn.Linear(12, 12),
        k=nn.Linear(12, 12),
        v=nn.Linear(12, 12),
        f=nn.Linear(12, 4),
        cos=torch.randn(5, 4),
        sin=torch.randn(5, 4),
    )
    assert owners(check_exact(net, tokens())) == {"q": (3, True)}


def test_class_token_and_positions() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([m.token.expand(x.shape[0], -1, -1), y], 1) + m.positions
        return m.f(m.a(y)[:, 0])

    net = Net(
        body,
        patch=nn.Conv2d(3, 12, 4, stride=4),
        token=nn.Parameter(torch.randn(1, 1, 12)),
        positions=nn.Parameter(torch.randn(1, 5, 12)),
        a=SelfAttention(),
        f=nn.Linear(12, 4),
    )
    network = check_exact(net, torch.randn(1, 3, 8, 8), form="module")
    assert owners(network)["patch"] == (12, True) and owners(network)["a.qkv"] == (3, True)


def test_frozen_and_fully_frozen_attention_stays_frozen() -> None:
    net = randomise(nn.TransformerEncoderLayer(12, 3, 20, dropout=0.0, batch_first=True)).double().eval()
    net.requires_grad_(False)
    x = tokens().double()
    network = capture(net, x)
    plan = random_plan(network, np.random.default_rng(0))
    done = check_plan(net, network, plan, (x,))
    assert not any(p.requires_grad for p in done.model.parameters())
    assert difference(outputs(done.model, (x,)), outputs(silence(net, network, plan), (x,))) < EXACT


@pytest.mark.parametrize(("heads", "shared", "units"), [(4, 2, {2}), (6, 2, {2}), (4, 1, {4})])
def test_heads_that_share_keys_and_values_leave_together(heads: int, shared: int, units: set[int]) -> None:
    """Grouped queries: a key leaves with all the heads that ask for it; where all share one, each may leave alone."""

    def body(m: Net, x: Tensor) -> Tensor:
        t = m.a(x)
        q, k, v = (p(t).unflatten(2, (-1, 4)).transpose(1, 2) for p in (m.q, m.k, m.v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.7, enable_gqa=True)
        return m.f(m.o(mixed.transpose(1, 2).flatten(2))).mean(1)

    layers = {"a": nn.Linear(12, 8), "q": nn.Linear(8, 4 * heads), "k": nn.Linear(8, 4 * shared)}
    layers |= {"v": nn.Linear(8, 4 * shared), "o": nn.Linear(4 * heads, 8), "f": nn.Linear(8, 5)}
    network = check_exact(Net(body, **layers), tokens())
    assert {size for key, (size, exact) in owners(network).items() if key == "q" and exact} == units
