"""Numbers and tensors that modules keep: what is a size follows the cut, what only equals one stays and is listed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruning_core.graph import Plan, capture, remove, silence
from pruning_core.graph.capturing.numbers import PlacedNumber, placed_in
from tests.core.graph_checks import difference, head, image, outputs


class Counting(nn.Module):
    """``width`` is a size; ``patience`` equals it by chance, and decides something while training."""

    def __init__(self, sized: Callable[[Counting, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.end, self.sized = nn.Conv2d(3, 16, 3), head(16), sized
        self.width, self.half, self.patience, self.sizes = 16, 8, 16, (16, 6)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        y = self.sized(self, self.a(x).relu())
        if self.training:
            self.steps += 1
            y = y * min(1.0, 3.0 / self.patience)
        return self.end(y)


SIZED: dict[str, Callable[[Counting, Tensor], Tensor]] = {
    "alone": lambda m, y: y.view(len(y), m.width, -1).unflatten(2, (6, 6)),
    "in a tuple": lambda m, y: y.reshape((len(y), m.width, 6, 6)),
    "calculated": lambda m, y: y.reshape(len(y), m.width // 2 * 2, 36).unflatten(2, (6, 6)),
    "cut to": lambda m, y: y[:, : m.width],
    "of a mask": lambda m, y: y * torch.ones(1, m.width, 1, 1),
    "out of a list": lambda m, y: y.reshape(len(y), m.sizes[0], 6, 6),
}


@pytest.mark.parametrize("sized", SIZED.values(), ids=SIZED)
def test_a_number_that_only_equals_a_width_stays(sized: Callable[[Counting, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    net = Counting(sized).double().eval()
    network = capture(net, image().double())
    plan = Plan({"a": range(0, 16, 2)})
    done, want = remove(net, network, plan), silence(net, network, plan)
    assert done.form == "module" and done.model.patience == 16
    assert any("patience = 16" in note for note in done.notes)
    x = (image(batch=2).double(),)
    assert difference(outputs(done.model.train(), x), outputs(want.train(), x)) < 1e-10
    assert type(net.width) is int and (net.width, net.half, net.sizes) == (16, 8, (16, 6))


class Keeping(nn.Module):
    """Beside its forward it has code of its own that works with what it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.width, self.other = nn.Conv2d(3, 8, 3), head(8), 8, 5
        self.best, self.seen, self.loose = {"a.weight": torch.ones(8)}, [torch.ones(2, 3)], torch.zeros(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


def test_numbers_and_tensors_of_an_old_size_are_listed() -> None:
    torch.manual_seed(0)
    net = Keeping().eval()
    network = capture(net, image())
    (note,) = remove(net, network, Plan({"a": [1, 2]})).notes
    assert "width = 8, the tensor best['a.weight'] (8), the tensor loose (3 × 8)." in note
    assert "other" not in note and "seen" not in note
    assert network.layout.sizing == frozenset()


def test_what_is_calculated_from_a_number_remembers_where_it_is_kept() -> None:
    a, b = PlacedNumber.of(6, frozenset({("m", "a")})), PlacedNumber.of(4, frozenset({("m", "b")}))
    assert [int(v) for v in (a + b, 1 + a, a - b, 9 - a, a * b, 2 * a, a // b, 13 // a)] == [10, 7, 2, 3, 24, 12, 1, 2]
    assert (a * b).places == {("m", "a"), ("m", "b")} and (13 // a).places == {("m", "a")}
    assert type(a * 0.5) is float and type(a / 2) is float and a == 6 and hash(a) == hash(6)
    assert list(placed_in([1, (a, [b]), slice(None, a), "text"])) == [6, 4, 6]
