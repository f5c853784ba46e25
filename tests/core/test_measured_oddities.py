"""Sweeps and What-if run copies and recordings of a network: whatever it holds on to, keeps or decides, what they say
of a removal is what the silenced network does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from pruning_core.analysis.sensitivity import sweep
from pruning_core.analysis.slider import Slider
from pruning_core.criteria import ActivationMean
from pruning_core.criteria.engine import score
from pruning_core.datasets import Dataset
from pruning_core.graph import Network, Plan, capture, silence
from pruning_core.graph.copies import copied
from pruning_core.measuring.measures import Cell
from pruning_core.measuring.registry import named
from pruning_core.mending.mend import mend
from tests.core.graph_checks import assert_untouched, state_of

IMAGES = torch.randint(256, (24, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.h = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Any:
        return self.end(self.middle(self.a(x).relu()).relu())

    def middle(self, y: Tensor) -> Tensor:
        return self.b(y)

    def end(self, y: Tensor) -> Any:
        return self.h(y.mean((2, 3)))


def closed_over() -> nn.Module:
    net = Plain()
    net.forward = lambda x: net.end(net.b(net.a(x).relu()).relu())  # type: ignore[method-assign]
    return net


KNOWN: dict[str, Plain] = {}


class LookedUp(Plain):
    def forward(self, x: Tensor) -> Any:
        return Plain.forward(KNOWN["net"], x)


def looked_up() -> nn.Module:
    KNOWN["net"] = LookedUp()
    return KNOWN["net"]


class Keeping(Plain):
    """Makes its kernel once for as long as it evaluates."""

    kernel: Tensor | None = None

    def train(self, mode: bool = True) -> Keeping:
        super().train(mode)
        if mode:
            self.kernel = None
        return self

    def middle(self, y: Tensor) -> Tensor:
        if self.training:
            return F.conv2d(y, self.b.weight * 2)
        if self.kernel is None:
            self.kernel = self.b.weight * 2
        return F.conv2d(y, self.kernel)


class Scaled(Plain):
    """By a number that leaves PyTorch on its way from the data to the output."""

    def __init__(self, read: Callable[[Tensor], float]) -> None:
        super().__init__()
        self.read = read

    def end(self, y: Tensor) -> Tensor:
        scores: Tensor = super().end(y) / (0.1 + self.read(y.mean((0, 2, 3))))
        return scores


def normed() -> nn.Module:
    """The kernels of weight normalisation count on the order of its numbers in memory."""
    net = Plain()
    net.b = parametrizations.weight_norm(net.b)
    net.c, net.h = nn.Conv2d(6, 6, 1), nn.Linear(6, 4)
    net.end = lambda y: net.h(net.c(y).relu().mean((2, 3)))  # type: ignore[method-assign]
    return net


class OwnCopy(Plain):
    def __deepcopy__(self, memo: Any) -> OwnCopy:
        return self


ODD: dict[str, Callable[[], nn.Module]] = {
    "closed over": closed_over,
    "looked up": looked_up,
    "keeps a kernel": Keeping,
    "a list": lambda: Scaled(lambda y: sum(y.tolist())),
    "an array": lambda: Scaled(lambda y: float(y.detach().numpy().max())),
    "its copies are itself": OwnCopy,
    "normed": normed,
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return ODD[name]().eval()


def answers(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([net(x) for x in images.split(len(images))])


def silenced(name: str, network: Network, plan: Plan, images: Tensor) -> Tensor:
    """Zeros written into a network made anew."""
    net = made(name).double()
    with torch.no_grad():
        for key, units in plan.items():
            for member in network.group(key).consumers:
                gone = torch.as_tensor(member.index[list(units)].reshape(-1))
                net.get_parameter(member.parameter).index_fill_(member.dim, gone, 0)
    return answers(net, images.double())


@pytest.fixture(params=ODD)
def case(request: pytest.FixtureRequest) -> Iterator[tuple[str, nn.Module, Network, Dataset]]:
    net = made(request.param)
    data = Dataset(IMAGES, torch.zeros(len(IMAGES), 4), (), (0.5,) * 3, (0.25,) * 3, "d", measure="output_error")
    images = data.normalised(data.images)
    net(images[:1])  # what it keeps, it keeps from now on
    data = Dataset(IMAGES, answers(net, images), (), data.mean, data.std, "d", measure="output_error")
    yield request.param, net, capture(net, images[:1]), data


def error(outputs: Tensor, data: Dataset) -> float:
    measure = named("output_error")
    return measure.of(measure.rows(outputs, data.labels.double()))[0]


def test_what_a_sweep_says_is_what_the_silenced_network_does(case: tuple[str, nn.Module, Network, Dataset]) -> None:
    name, net, network, data = case
    keys = [group.key for group in network.groups if group.exact]
    assert keys
    scores = {key: torch.arange(network.group(key).size).float() for key in keys}
    before = state_of(net)
    cells = {
        (cell.group, cell.removed): cell
        for cell in sweep(net, network, data, scores, [0.5], device="cpu", batch_size=len(data))
        if isinstance(cell, Cell) and cell.removed
    }
    assert_untouched(net, before)
    assert {key for key, _ in cells} == set(keys)
    for (key, removed), cell in cells.items():
        wanted = error(silenced(name, network, Plan({key: range(removed)}), data.normalised(data.images)), data)
        assert wanted > 0.01 and cell.top1 == pytest.approx(wanted, rel=1e-3), key


def test_what_a_slider_says_is_what_the_silenced_network_does(case: tuple[str, nn.Module, Network, Dataset]) -> None:
    name, net, network, data = case
    before = state_of(net)
    slider = Slider(net, network, data, device="cpu")
    key = next(group.key for group in network.groups if group.exact)
    for plan in (Plan({key: [0, 3, 5]}), Plan({key: [1]})):
        *_, last = slider.measuring(plan)
        wanted = error(silenced(name, network, plan, data.normalised(data.images)), data)
        assert wanted > 0.001 and last.accuracy.top1 == pytest.approx(wanted, rel=1e-3)
    *_, whole = slider.measuring(Plan())
    assert whole.accuracy.top1 < 1e-5
    assert_untouched(net, before)


class Folding(nn.Linear):
    """A branch of low rank that is part of the weight while evaluating, and beside it while training."""

    folded = False

    def __init__(self, read: int, made: int) -> None:
        super().__init__(read, made)
        self.branch = nn.Parameter(torch.randn(made, read))

    def train(self, mode: bool = True) -> Folding:
        super().train(mode)
        if mode is self.folded:
            self.weight.data += (-1 if mode else 1) * self.branch.detach()
            self.folded = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.folded else super().forward(x) + F.linear(x, self.branch)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        Keeping,
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.ReLU(), Folding(8, 6), nn.ReLU(), nn.Linear(6, 4)),
    ],
)
def test_what_is_mended_is_what_runs(make: Callable[[], nn.Module], training: bool) -> None:
    """Weights that are kept in another form, or folded, while evaluating; the caller's are not touched."""
    torch.manual_seed(0)
    net = make().train(training)
    images = torch.randn(16, 3, 6, 6)
    if not training:
        net(images)
    network = capture(net, images[:2])
    key = network.groups[0].key
    before = state_of(net)
    mended = mend(net, network, Plan({key: [0, 1]}), images)
    score(
        net,
        network,
        [ActivationMean()],
        Dataset(IMAGES, torch.arange(24) % 4, tuple("abcd"), (0.5,) * 3, (0.5,) * 3, "d"),
    )
    assert_untouched(net, before)
    assert all(m.training is training for m in mended.model.modules())
    again = make().train(training)
    again.load_state_dict(mended.model.state_dict())
    with torch.no_grad():
        ours, theirs = mended.model.eval()(images), again.eval()(images)
        assert torch.allclose(ours, theirs, atol=1e-5)
        silent = silence(net, network, Plan({key: [0, 1]})).eval()(images)
        whole = copied(net).eval()(images)
    assert (ours - whole).norm() <= (silent - whole).norm()
