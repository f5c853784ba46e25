"""Small networks of several inputs and outputs, as programs that people bring."""

from __future__ import annotations

import io
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PictureAndTable(nn.Module):
    """A picture and a row of a table; scores and a box, in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.eye, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.table = nn.Linear(5, 12)
        self.scores, self.box = nn.Linear(12, 4), nn.Linear(12, 2)

    def forward(self, picture: Tensor, row: Tensor) -> dict[str, Tensor]:
        seen = F.relu(self.deep(F.relu(self.eye(picture)))).mean((2, 3)) * torch.sigmoid(self.table(row))
        return {"scores": self.scores(seen), "box": self.box(seen)}


class Siamese(nn.Module):
    """One network for both pictures; how far apart what it makes of them is."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10),
        )  # fmt: skip

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (self.body(left) - self.body(right)).square().sum(1, keepdim=True)


class WideAndDeep(nn.Module):
    """Numbers of a table, and two columns of categories that are looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.town, self.kind = nn.Embedding(40, 6), nn.Embedding(9, 4)
        self.deep = nn.Sequential(nn.Linear(17, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU())
        self.wide, self.head = nn.Linear(7, 1), nn.Linear(12, 1)

    def forward(self, numbers: Tensor, town: Tensor, kind: Tensor) -> Tensor:
        deep = self.deep(torch.cat([numbers, self.town(town), self.kind(kind)], 1))
        return self.wide(numbers) + self.head(deep)


class GroupedAttention(nn.Module):
    """Causal attention in which two heads share one head of keys and values (Ainslie et al., 2023)."""

    def __init__(self, width: int = 16, heads: int = 4, shared: int = 2) -> None:
        super().__init__()
        self.heads, self.shared, self.each = heads, shared, width // heads
        self.q = nn.Linear(width, heads * self.each, bias=False)
        self.k, self.v = (nn.Linear(width, shared * self.each, bias=False) for _ in range(2))
        self.out = nn.Linear(heads * self.each, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x).unflatten(2, (self.heads, self.each)).transpose(1, 2)
        k, v = (f(x).unflatten(2, (self.shared, self.each)).transpose(1, 2) for f in (self.k, self.v))
        k, v = (each.repeat_interleave(self.heads // self.shared, 1) for each in (k, v))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(seen.transpose(1, 2).flatten(2))


class Decoder(nn.Module):
    """A small language model: the scores of the next of 50 tokens after each of a text."""

    def __init__(self, tokens: int = 50, width: int = 16, length: int = 12) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.attention = nn.ModuleList(GroupedAttention(width) for _ in range(2))
        self.first, self.second = (nn.ModuleList(nn.LayerNorm(width) for _ in range(2)) for _ in range(2))
        self.up, self.down = nn.ModuleList(), nn.ModuleList()
        for _ in range(2):
            self.up.append(nn.Linear(width, 24))
            self.down.append(nn.Linear(24, width))
        self.head = nn.Linear(width, tokens, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        for at, attention in enumerate(self.attention):
            x = x + attention(self.first[at](x))
            x = x + self.down[at](F.gelu(self.up[at](self.second[at](x))))
        return self.head(x).transpose(1, 2)  # (N, tokens, places), as a map of scores at each place


EXAMPLES = {
    PictureAndTable: (torch.zeros(2, 3, 16, 16), torch.zeros(2, 5)),
    Siamese: (torch.zeros(2, 1, 12, 12), torch.zeros(2, 1, 12, 12)),
    WideAndDeep: (torch.zeros(2, 7), torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long)),
    Decoder: (torch.zeros(2, 12, dtype=torch.long),),
}
NAMES = {
    PictureAndTable: (["picture", "row"], ["scores", "box"]),
    Siamese: (["left image", "right image"], ["distance"]),
    WideAndDeep: (["numbers", "town", "kind"], ["income"]),
    Decoder: (["input_ids"], ["logits"]),
}


def made(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """With random weights, the same ones each time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind().eval()


def as_pt2(kind: type[nn.Module]) -> io.BytesIO:
    """For any number of examples."""
    given, batch = EXAMPLES[kind], torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(made(kind), given, dynamic_shapes=tuple({0: batch} for _ in given))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return file


def as_onnx(kind: type[nn.Module], open_sizes: dict[int, str] | None = None) -> io.BytesIO:
    """For any number of examples; ``open_sizes``: of the first input, axis to name."""
    given, batch = EXAMPLES[kind], torch.export.Dim("batch", min=1, max=4096)
    shapes: list[dict[int, object]] = [{0: batch} for _ in given]
    shapes[0] |= {axis: torch.export.Dim(name, min=4, max=4096) for axis, name in (open_sizes or {}).items()}
    inputs, outputs = NAMES[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            made(kind), given, dynamo=True, dynamic_shapes=tuple(shapes), input_names=inputs, output_names=outputs,
            verbose=False,
        )  # fmt: skip
    assert written is not None
    return io.BytesIO(written.model_proto.SerializeToString())
