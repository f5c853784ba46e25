"""A slider's estimate is first order, and exact where the network is linear; its measurement is what removal gives."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from torch import Tensor, nn

from pruning_core.allocation.lowest import lowest
from pruning_core.analysis import slider as sliders
from pruning_core.analysis.slider import Measured, Slider
from pruning_core.datasets import DIGITS, Dataset, load_data
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove
from pruning_core.graph.modules import named_tensors
from pruning_core.replay.gates import Gates
from pruning_core.replay.planned import PlannedReplay
from pruning_core.storage.workspace import Workspace
from pruning_core.zoo import DEMOS, load_model
from tests.core.test_sensitivity import Net

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(images: int, size: tuple[int, int, int] = (1, 8, 8), classes: int = 10) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    return Dataset(
        torch.randint(0, 256, (images, *size), dtype=torch.uint8, generator=generator),
        torch.randint(0, classes, (images,), generator=generator),
        tuple(map(str, range(classes))),
        (0.5,) * size[0],
        (0.3,) * size[0],
        "noise",
    )


def example(data: Dataset) -> Tensor:
    return torch.zeros(1, *data.size)


def last(slider: Slider, plan: Plan) -> Measured:
    return list(slider.measuring(plan))[-1]


def right(model: nn.Module, data: Dataset) -> int:
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        return int((model(data.normalised(data.images, dtype)).argmax(1) == data.labels).sum())


def walk(network: Network, moves: int, seed: int = 0) -> list[Plan]:
    """Plans as a person makes them: one slider after the other, up and down, and all of them once."""
    chance = random.Random(seed)
    scores = {
        g.key: torch.rand(g.size, generator=torch.Generator().manual_seed(i)) for i, g in enumerate(network.groups)
    }
    plans = [Plan()]
    for _ in range(moves):
        group = chance.choice([g for g in network.groups if g.exact])
        count = int(chance.choice((0, 0.2, 0.5, 0.9)) * group.size)
        plans.append(plans[-1].with_group(group.key, lowest(scores[group.key], count)))
    return [*plans, Plan({g.key: lowest(scores[g.key], int(0.3 * g.size)) for g in network.groups if g.exact}), Plan()]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    model = Net()
    data = noise(100)
    with torch.no_grad():
        model(data.normalised(data.images))
    return model.eval()


@pytest.fixture(scope="module")
def network(model: nn.Module) -> Network:
    return capture(model, example(noise(1)))


def test_the_estimate_is_exact_where_the_network_is_linear() -> None:
    torch.manual_seed(0)
    data = noise(50, classes=4)
    model = nn.Sequential(nn.Conv2d(1, 12, 3, bias=False), nn.Flatten(), nn.Linear(432, 4)).double().eval()
    network = capture(model, example(data).double())
    slider = Slider(model, network, data, device="cpu")
    (group,) = network.groups
    for start in (Plan(), Plan({group.key: (0, 5, 7)})):
        last(slider, start)
        list(slider.expanding(start))
        for units in ((1, 2, 3), (0, 5), (11,), ()):  # some leave, some come back
            plan = Plan({group.key: units})
            found = slider.estimate(plan)
            assert found is not None and found.images == 50
            assert found.top1 == pytest.approx(right(remove(model, network, plan).model, data) / 50)


def test_a_slope_is_the_derivative_of_the_scores_by_the_gate(model: nn.Module, network: Network) -> None:
    data, step = noise(6), 1e-6
    double = copy.deepcopy(model).double()
    replay = PlannedReplay(double, network, example(data).double(), device="cpu", dtype=torch.float64)
    plan = Plan({network.groups[0].key: (1, 2)})
    x = data.normalised(data.images, torch.float64)
    expansion = Gates(replay).expand(x, data.labels, plan)

    def scores(key: str, unit: int, gate: float) -> Tensor:
        changed = copy.deepcopy(double)
        for name, units, value in [(network.groups[0].key, (1, 2), 0.0), (key, (unit,), gate)]:
            for member in network.group(name).consumers:
                columns = torch.as_tensor(member.index[list(units)].reshape(-1))
                tensor = named_tensors(changed)[member.parameter].data
                tensor.index_copy_(member.dim, columns, tensor.index_select(member.dim, columns) * value)
        with torch.no_grad():
            return changed(x).gather(1, order)

    with torch.no_grad():
        silenced = remove(double, network, plan).model(x)
    rivals = silenced.scatter(1, data.labels[:, None], -torch.inf).topk(3).indices
    order = torch.cat([data.labels[:, None], rivals], 1)
    assert torch.allclose(expansion.scores.double(), silenced.gather(1, order), atol=1e-5)
    for group in network.groups:
        unit = group.size - 1
        derivative = (scores(group.key, unit, 1.0) - scores(group.key, unit, 1 - step)) / step
        slope = expansion.slopes[int(network.unit_ids[group.key][unit])].double()
        assert torch.allclose(slope, derivative, rtol=1e-3, atol=1e-4), group.key
        assert derivative.abs().max() > 0 or group.size == 1


def test_measuring_plan_after_plan_equals_real_removal(model: nn.Module, network: Network) -> None:
    data = noise(150)
    slider = Slider(model, network, data, device="cpu")
    for plan in walk(network, 12):
        found = last(slider, plan)
        assert found.accuracy.images == 150 and found.accuracy.complete
        assert round(150 * found.accuracy.top1) == right(remove(model, network, plan).model.eval(), data), plan
        assert found.accuracy.low < found.accuracy.top1 < found.accuracy.high
        base = right(model, data)
        assert found.drop.lost - found.drop.gained == base - round(150 * found.accuracy.top1)


@pytest.mark.parametrize("name", ["digits_resnet", "cifar_resnet20"])
def test_the_demo_networks_are_measured_as_they_are_removed(name: str, tmp_path) -> None:
    demo = next(each for each in DEMOS if each.ref.name == name)
    loaded = load_model(demo.ref, Workspace(tmp_path))
    data = load_data(DIGITS).fitted(loaded.input_size).subset(140 if name == "digits_resnet" else 40)
    network = capture(loaded.model, example(data))
    slider = Slider(loaded.model, network, data, device="cpu")
    for plan in walk(network, 3, seed=2):
        smaller = remove(loaded.model, network, plan).model.eval()
        assert round(len(data) * last(slider, plan).accuracy.top1) == right(smaller, data)


def test_only_what_a_plan_changes_runs_again(model: nn.Module, network: Network) -> None:
    replay = PlannedReplay(model, network, example(noise(1)), device="cpu")
    batch = replay.kept(torch.rand(4, 1, 8, 8))
    ran: list[int] = []
    run = replay.run
    replay.run = lambda order, *rest: (ran.append(len(order)), run(order, *rest))[1]  # type: ignore[method-assign]
    keep = replay.worth_keeping(1 << 20)
    first, deepest = network.groups[0], network.groups[-1]
    for plan in (Plan(), Plan(), Plan({deepest.key: (0,)}), Plan({first.key: (0,), deepest.key: (0,)})):
        replay.planned(plan, batch, keep)
    assert ran[0] == len(replay.steps) and ran[1] == 0
    assert 0 < ran[2] < ran[3]
    assert replay.worth_keeping(0) == frozenset()


def test_the_estimate_starts_from_the_nearest_plan_and_a_measured_one_is_remembered(
    model: nn.Module, network: Network
) -> None:
    slider = Slider(model, network, noise(64), device="cpu")
    key = network.groups[1].key
    assert slider.estimate(Plan()) is None and slider.measured(Plan()) is None
    near = Plan({key: (0, 1, 2)})
    for plan in (Plan(), near):
        last(slider, plan)
        assert list(slider.expanding(plan))[-1] == 64 and list(slider.expanding(plan)) == []
    found = slider.estimate(Plan({key: (0, 1, 2, 3)}))
    assert found is not None and found.units == 1 and found.milliseconds < 50
    known = slider.measured(near)
    assert known is not None and slider.estimate(near).top1 == known.accuracy.top1  # type: ignore[union-attr]


class Halting(nn.Module):
    """Decides by the data, so that it cannot be run in steps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x.flatten(1)))
        return self.second(h if h.sum() > 0 else -h)


def test_a_network_without_steps_is_measured_by_removal_and_not_estimated() -> None:
    torch.manual_seed(0)
    data, model = noise(20), Halting().eval()
    network = capture(model, example(data))
    slider = Slider(model, network, data, device="cpu")
    plan = Plan({"first": range(9)})
    assert list(slider.expanding(Plan())) == [] and slider.estimate(plan) is None
    assert round(20 * last(slider, plan).accuracy.top1) == right(remove(model, network, plan).model, data)


def test_approximate_groups_are_removed_for_real() -> None:
    torch.manual_seed(0)
    data = noise(20)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.LayerNorm(16), nn.Linear(16, 10)).eval()
    network = capture(model, example(data))
    assert not network.groups[0].exact
    slider = Slider(model, network, data, device="cpu")
    list(slider.expanding(Plan()))
    plan = Plan({network.groups[0].key: range(8)})
    assert slider.estimate(plan) is None
    assert round(20 * last(slider, plan).accuracy.top1) == right(remove(model, network, plan).model.eval(), data)


def test_batches_shrink_with_the_network_and_the_first_answer_is_partial(
    model: nn.Module, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sliders, "BATCH_MACS", 16 * network.cost().macs)
    slider = Slider(model, network, noise(40), device="cpu")
    found = [each.accuracy.images for each in slider.measuring(Plan())]
    assert found == [16, 32, 40]


def test_data_of_other_classes_are_refused(model: nn.Module, network: Network) -> None:
    with pytest.raises(UserError, match="classes apart"):
        Slider(model, network, noise(5, classes=3), device="cpu")
