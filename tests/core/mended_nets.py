"""Networks for mended sweeps, and the reference: one group's readers refitted row by row, without the sweep's code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning_core.graph import Network, Plan
from pruning_core.mending.equations import Equations, fitted
from pruning_core.mending.windows import Linear, read, written
from pruning_core.probe.readings import Reading, Readings


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow, self.norm = nn.Conv2d(width, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.squeeze, self.excite = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.wide = nn.Conv2d(12, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.narrow(x)).relu()
        y = y * torch.sigmoid(self.excite(self.squeeze(y.mean((2, 3), keepdim=True)).relu()))
        return (self.wide(y) + x).relu()


class Net(nn.Module):
    """Several readers of the residual channels, a grouped and a strided convolution, small maps, a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(1, 16, 3, padding=1), Block(16)
        self.side, self.norm = nn.Conv2d(16, 10, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(10)
        self.deep = nn.Conv2d(26, 24, 3, stride=2, padding=1)
        self.last, self.apart = (
            nn.Conv2d(24, 16, 3, padding=1),
            nn.Conv2d(16, 14, 3, padding=1, groups=2),
        )  # on 2x2 maps
        self.hidden, self.head = nn.Linear(56, 30), nn.Linear(30, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.stem(x).relu())
        x = torch.cat([self.norm(self.side(x)).relu(), torch.max_pool2d(x, 2)], 1)
        x = self.apart(self.last(self.deep(x).relu()).relu()).relu()
        return self.head(self.hidden(x.flatten(1)).relu())


class Partly(nn.Module):
    """One layer is used twice, a normalisation sees all channels, one group is read by both kinds of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.shared, self.beside = nn.Linear(64, 12), nn.Linear(12, 12), nn.Linear(12, 9)
        self.b, self.norm, self.end = nn.Linear(9, 8), nn.LayerNorm(8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x.flatten(1)).relu()
        x = self.shared(x).relu() + self.shared(x * 2).relu() + x
        return self.end(self.norm(self.b(self.beside(x).relu()).relu()))


def by_hand(model: nn.Module, network: Network, key: str, drop: tuple[int, ...], fit: Tensor) -> nn.Module:
    """The same shapes, every reader of the group refitted by rows that are kept, not by products of them."""
    stand_in = type(model)()
    stand_in.load_state_dict(model.state_dict())
    stand_in.eval()
    parameters, seen = dict(model.named_parameters()), dict[str, Reading]()
    readers = {m.parameter: m for m in network.group(key).consumers}
    with torch.no_grad(), Readings({name: parameters[name] for name in readers}, seen.__setitem__):
        model(fit)
    apart = len(fit) // 8
    norms = {"block.narrow.weight": "block.norm", "side.weight": "norm"}
    for name, reading in seen.items():
        weight, owner = parameters[name].detach(), stand_in.get_submodule(name.removesuffix(".weight"))
        layer = Linear(weight, reading)
        count = reading.output[0, 0].numel() if reading.convolution else 1
        at = torch.arange(count).expand(len(fit), -1)
        left = torch.from_numpy(network.kept(Plan({key: drop}))[name, readers[name].dim])
        new, shifts = [], []
        outputs = written(reading, at).chunk(layer.groups, -1)
        for rows, aim, old in zip(read(layer, at), outputs, layer.matrices(weight)):
            entries = layer.entries(left)
            parts = [
                Equations.of(rows[cut][..., entries].flatten(0, 1), aim[cut].flatten(0, 1))
                for cut in (slice(0, -apart), slice(-apart, None))
            ]
            found = fitted(*parts, old[entries].double(), shift=True)
            whole = torch.zeros_like(old)
            whole[entries] = found.weight.float()
            new.append(whole)
            shifts.append(found.shift)
        with torch.no_grad():
            owner.weight.copy_(layer.whole(new))
            if owner.bias is not None:
                owner.bias.copy_(torch.cat(shifts))
            if name in norms:
                norm = stand_in.get_submodule(norms[name])
                before, now = reading.output, owner(reading.source)
                norm.running_mean += (now - before).mean((0, 2, 3))
                norm.running_var *= now.var((0, 2, 3), unbiased=False) / before.var((0, 2, 3), unbiased=False)
    return stand_in
