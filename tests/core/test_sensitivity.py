"""The sweep must say what really removing the channels says."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from pruning_core.allocation.lowest import lowest, removed_count
from pruning_core.analysis import sensitivity
from pruning_core.analysis.sensitivity import FIRST_IMAGES, Exact, Fast, sweep
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove, silence
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.replay.replay import NotReplayable, Replay
from pruning_core.replay.scorers import CheckedScorer, Removal, ReplayScorer, WholeScorer, make_scorer
from pruning_core.replay.steps import Operations, record_steps

RATIOS = (0.0, 0.3, 0.6, 0.9)


class Block(nn.Module):
    """Residual, squeeze-excite, depthwise and concatenation, so that every kind of step is met."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.depth = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.squeeze, self.excite = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)
        self.wide = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.norm(self.narrow(x)))
        y = self.depth(y)
        y = y * torch.sigmoid(self.excite(torch.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return torch.relu(self.wide(y) + x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 20, 3, padding=1), nn.BatchNorm2d(20)
        self.block = Block(20)
        self.side = nn.Conv2d(20, 12, 3, stride=2, padding=1)
        self.tail = nn.Conv2d(32, 16, 3, padding=1, stride=2)
        self.deep = nn.Conv2d(16, 24, 3, padding=1)  # on 2x2 maps
        self.hidden, self.head = nn.Linear(96, 30), nn.Linear(30, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(torch.relu(self.norm(self.stem(x))))
        x = torch.cat([torch.relu(self.side(x)), torch.max_pool2d(x, 2)], 1)
        x = torch.relu(self.deep(torch.relu(self.tail(x))))
        return self.head(torch.relu(self.hidden(x.flatten(1))))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (200, 1, 8, 8), dtype=torch.uint8, generator=generator)
    return Dataset(
        images, torch.randint(0, 10, (200,), generator=generator), tuple("0123456789"), (0.5,), (0.3,), "noise"
    )


@pytest.fixture(scope="module")
def model(data: Dataset) -> nn.Module:
    torch.manual_seed(0)
    model = Net()
    with torch.no_grad():
        model(data.normalised(data.images))  # batch norm gets statistics that are not the defaults
    return model.eval()


@pytest.fixture(scope="module")
def network(model: nn.Module) -> Network:
    return capture(model, torch.zeros(1, 1, 8, 8))


@pytest.fixture(scope="module")
def scores(network: Network) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {g.key: torch.rand(g.size, generator=generator) for g in network.groups}


def cells(events: Iterator[Accuracy | Cell]) -> dict[tuple[str, float], Cell]:
    return {(e.group, e.ratio): e for e in events if isinstance(e, Cell)}


def right_after_removal(model: nn.Module, network: Network, data: Dataset, plan: Plan) -> int:
    with torch.no_grad():
        found = remove(model, network, plan).model.eval()(data.normalised(data.images)).argmax(1)
    return int((found == data.labels).sum())


def test_an_exact_sweep_equals_real_removal(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor]
) -> None:
    found = cells(sweep(model, network, data, scores, RATIOS, device="cpu", batch_size=64))
    assert set(found) == {(key, ratio) for key in scores for ratio in RATIOS}
    for (key, ratio), cell in found.items():
        drop = lowest(scores[key], removed_count(ratio, network.group(key).size))
        assert cell.exact and cell.images == len(data) and cell.removed == len(drop)
        assert round(cell.top1 * len(data)) == right_after_removal(model, network, data, Plan({key: drop})), (
            key,
            ratio,
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_replay_gives_the_scores_of_the_silenced_network(
    model: nn.Module, network: Network, data: Dataset, dtype: torch.dtype
) -> None:
    x = data.normalised(data.images[:32])
    replay = Replay(model, network, x[:1], dtype=dtype)
    base, kept = replay.forward(x, replay.needed(g.key for g in network.groups))
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    for group in network.groups:
        for drop in ((0,), tuple(range(group.size - 1)), tuple(range(0, group.size - 1, 2))):
            variant = replay.variant(group.key, drop)
            assert variant is not None, group.key
            with torch.no_grad():
                reference = silence(model, network, Plan({group.key: drop}))(x)
            difference = (replay.scores(variant, kept, len(x), base).float() - reference).abs().max()
            assert difference <= tolerance * reference.abs().max(), (group.key, drop)


class _Given:
    """Stands for a replay whose scores are known; remembers which images it was asked for again."""

    def __init__(self, base: Tensor, pruned: Tensor) -> None:
        self.base, self.pruned, self.asked = base, pruned, list[int]()

    def begin(self, x: Tensor) -> Tensor:
        return self.base.clone()

    def scores(self, removal: Removal) -> Tensor:
        return self.pruned.clone()

    def some(self, removal: Removal, rows: Tensor) -> Tensor:
        self.asked += rows.tolist()
        return self.pruned[rows]


@pytest.mark.parametrize("shrunk", [1.0, 1e-3])
def test_images_are_checked_by_their_lead_relative_to_their_scores(shrunk: float) -> None:
    generator = torch.Generator().manual_seed(0)
    sure = torch.randn(400, 10, generator=generator)
    wrong = 0.003 * torch.randn(400, 10, generator=generator)
    full = _Given(sure, shrunk * sure)
    checked = CheckedScorer(_Given(sure + wrong, shrunk * (sure - wrong)), full)  # type: ignore[arg-type]
    checked.begin(torch.empty(400))
    assert torch.equal(checked.scores(("g", (0,))).argmax(1), sure.argmax(1))
    assert 0 < len(full.asked) < 100


def test_a_removal_that_errs_more_than_the_whole_network_is_checked_more_widely() -> None:
    generator = torch.Generator().manual_seed(0)
    sure = torch.randn(400, 10, generator=generator)
    wrong = torch.randn(400, 10, generator=generator)
    full = _Given(sure, sure)
    checked = CheckedScorer(_Given(sure + 1e-3 * wrong, sure + 0.05 * wrong), full)  # type: ignore[arg-type]
    checked.begin(torch.empty(400))
    assert torch.equal(checked.scores(("g", (0,))).argmax(1), sure.argmax(1))


def test_a_checked_score_predicts_as_full_precision_does(model: nn.Module, network: Network, data: Dataset) -> None:
    x = data.normalised(data.images)
    keys = tuple(g.key for g in network.groups)
    whole = WholeScorer(model, network, "cpu")
    recorded = record_steps(model, network, x[:1])
    full = ReplayScorer(Replay(model, network, x[:1], recorded=recorded), keys, whole)
    rough = Replay(model, network, x[:1], dtype=torch.bfloat16, recorded=recorded)
    checked = CheckedScorer(ReplayScorer(rough, keys, whole), full)
    checked.begin(x)
    for group in network.groups:
        removal = (group.key, tuple(range(group.size // 2)))
        assert torch.equal(checked.scores(removal).argmax(1), full.scores(removal).argmax(1)), group.key


def test_the_model_is_left_as_it_was(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor]
) -> None:
    before = copy.deepcopy(model.state_dict())
    events = sweep(model, network, data, scores, (0.5,), device="cpu", images=64)
    next(events)
    events.close()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_stopped_sweep_goes_on_where_it_was(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor]
) -> None:
    whole = cells(sweep(model, network, data, scores, RATIOS, device="cpu", batch_size=50))
    events = sweep(model, network, data, scores, RATIOS, device="cpu", batch_size=50)
    first = [e for _, e in zip(range(len(scores) * len(RATIOS) + 5), events) if isinstance(e, Cell)]
    events.close()
    past = list({(e.group, e.ratio): e for e in first}.values())
    assert 0 < min(c.images for c in past) < len(data)
    resumed = list(sweep(model, network, data, scores, RATIOS, device="cpu", batch_size=50, past=past))
    again = cells(iter(resumed))
    for at, cell in again.items():
        assert (cell.top1, cell.images, cell.lost, cell.gained) == (
            whole[at].top1,
            whole[at].images,
            whole[at].lost,
            whole[at].gained,
        )
    measured = sum(isinstance(e, Cell) for e in resumed)
    assert measured < len(whole) * 4  # four batches: what was seen before is not computed again


def test_a_sweep_goes_on_in_batches_of_another_size(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor]
) -> None:
    whole = cells(sweep(model, network, data, scores, RATIOS, device="cpu"))
    events = sweep(model, network, data, scores, RATIOS, device="cpu", batch_size=50)
    first = [e for _, e in zip(range(len(scores) * len(RATIOS) + 5), events) if isinstance(e, Cell)]
    resumed = cells(sweep(model, network, data, scores, RATIOS, device="cpu", batch_size=64, past=first))
    assert {at: (c.images, c.top1, c.lost, c.gained) for at, c in resumed.items()} == {
        at: (c.images, c.top1, c.lost, c.gained) for at, c in whole.items()
    }


@pytest.mark.parametrize("mode", [Exact(), Fast(0.001)])
def test_one_batch_of_activations_is_alive_whatever_the_number_of_images(
    model: nn.Module,
    network: Network,
    data: Dataset,
    scores: dict[str, Tensor],
    mode: Exact | Fast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive: dict[int, int] = {}  # bytes of every activation that exists, by a number of its own
    most = 0
    forward = Replay.forward

    def counted(self: Replay, x: Tensor, keep: set[int]) -> tuple[Tensor, dict[int, Tensor]]:
        nonlocal most
        result, kept = forward(self, x, keep)
        for tensor in kept.values():
            number = len(alive) if not alive else max(alive) + 1
            alive[number] = tensor.numel() * tensor.element_size()
            weakref.finalize(tensor, alive.pop, number)
        most = max(most, sum(alive.values()))
        return result, kept

    monkeypatch.setattr(Replay, "forward", counted)

    def peak(images: int, batch: int) -> int:
        nonlocal most
        most = 0
        list(sweep(model, network, data, scores, (0.5,), mode=mode, images=images, device="cpu", batch_size=batch))
        return most

    few = peak(40, 20)
    assert few > 20 * 20 * 8 * 8 * 2  # the counter sees the activations: a map of 20 channels at least
    assert peak(200, 20) == few
    assert peak(200, 40) > 1.9 * few


def test_the_first_batch_of_a_heavy_network_is_small(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def first() -> int:
        return next(e.images for e in sweep(model, network, data, scores, (0.5,), device="cpu") if isinstance(e, Cell))

    assert first() == FIRST_IMAGES
    monkeypatch.setattr(sensitivity, "FIRST_WORK", 8 * network.cost().macs)
    assert first() == 8


def test_cells_that_cost_less_are_measured_more_closely(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor]
) -> None:
    keys = tuple(scores)
    scorer = make_scorer(model, network, torch.zeros(1, 1, 8, 8), keys, "cpu", rough=True)
    share = {key: scorer.share(key) for key in keys}
    assert share["hidden"] == pytest.approx(30 * 10 / network.cost().macs)
    assert 0 < share["hidden"] < share["tail"] < share["stem"] < 1
    found = cells(sweep(model, network, data, scores, (0.9,), mode=Fast(0.08), device="cpu", batch_size=20))
    width = {key: found[key, 0.9].drop_high - found[key, 0.9].drop_low for key in ("stem", "hidden")}
    assert width["hidden"] < width["stem"]


def test_a_sweep_with_everything_in_the_past_has_nothing_to_do(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor]
) -> None:
    done = list(cells(sweep(model, network, data, scores, (0.5,), device="cpu")).values())
    again = list(sweep(model, network, data, scores, (0.5,), device="cpu", past=done))
    assert not [e for e in again if isinstance(e, Cell)]
    assert isinstance(again[-1], Accuracy) and again[-1].complete


def test_the_fast_mode_sees_fewer_images_and_its_intervals_hold(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor]
) -> None:
    exact = cells(sweep(model, network, data, scores, RATIOS, device="cpu", batch_size=40))
    fast = cells(sweep(model, network, data, scores, RATIOS, mode=Fast(0.1), device="cpu", batch_size=40))
    assert sum(c.images for c in fast.values()) < 0.9 * sum(c.images for c in exact.values())
    assert not any(c.exact for c in fast.values())
    inside = [fast[at].drop_low <= exact[at].drop <= fast[at].drop_high for at in exact]
    assert sum(inside) >= 0.95 * len(inside)


class Branching(nn.Module):
    """Decides on data: it cannot be taken apart into steps."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.one(x.flatten(1)))
        return self.two(y if float(y.detach()[0, 0]) > -1 else -y)


class Padding(nn.Module):
    """Makes a tensor of its own, on the device of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.one(x.flatten(1)))
        return self.two(y + torch.ones_like(y, device=y.device))


def test_steps_for_another_device_name_no_other() -> None:
    model = Padding().eval()
    steps = record_steps(model, capture(model, torch.zeros(1, 1, 8, 8)), torch.zeros(1, 1, 8, 8))

    def devices(steps: Operations) -> set[str]:
        leaves = tree_leaves([[step.args, step.kwargs] for step in steps.steps])
        return {leaf.type for leaf in leaves if isinstance(leaf, torch.device)}

    assert devices(steps) == {"cpu"}
    assert devices(steps.on(torch.device("cuda:0"))) == {"cuda"}


class Normalised(nn.Module):
    """Layer normalisation: removal is only approximate, so the pruned network is built for real."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two = nn.Linear(64, 12), nn.LayerNorm(12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.norm(torch.relu(self.one(x.flatten(1)))))


def test_a_network_without_steps_is_run_as_a_whole(data: Dataset) -> None:
    torch.manual_seed(0)
    model = Branching().eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    if network.groups:
        with pytest.raises(NotReplayable):
            Replay(model, network, torch.zeros(1, 1, 8, 8))
    scorer = make_scorer(model, network, torch.zeros(1, 1, 8, 8), [g.key for g in network.groups], "cpu", rough=False)
    assert isinstance(scorer, WholeScorer)


def test_an_approximate_group_is_really_removed(data: Dataset) -> None:
    torch.manual_seed(0)
    model = Normalised().eval()
    network = capture(model, torch.zeros(1, 1, 8, 8))
    (group,) = [g for g in network.groups if not g.exact]
    scores = {group.key: torch.arange(12.0)}
    (cell,) = cells(sweep(model, network, data, scores, (0.5,), device="cpu")).values()
    assert round(cell.top1 * len(data)) == right_after_removal(model, network, data, Plan({group.key: range(6)}))


def test_memory_that_runs_out_halves_the_batch(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = cells(sweep(model, network, data, scores, (0.5,), device="cpu", batch_size=100))
    forward = Replay.forward

    def greedy(self: Replay, x: Tensor, keep: set[int]) -> tuple[Tensor, dict[int, Tensor]]:
        if len(x) > 30:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return forward(self, x, keep)

    monkeypatch.setattr(Replay, "forward", greedy)
    found = cells(sweep(model, network, data, scores, (0.5,), device="cpu", batch_size=100))
    assert {at: c.top1 for at, c in found.items()} == {at: c.top1 for at, c in expected.items()}
    monkeypatch.setattr(Replay, "forward", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(UserError, match="memory"):
        list(sweep(model, network, data, scores, (0.5,), device="cpu"))


@pytest.mark.parametrize("ratio", [1.0, -0.1, 1.5])
def test_a_ratio_that_takes_everything_is_refused(
    model: nn.Module, network: Network, data: Dataset, scores: dict[str, Tensor], ratio: float
) -> None:
    with pytest.raises(UserError, match="ratio"):
        next(sweep(model, network, data, scores, (ratio,), device="cpu"))


def test_a_tolerance_outside_its_range_is_refused() -> None:
    with pytest.raises(UserError, match="tolerance"):
        Fast(0.0)
    assert Exact() == Exact()
