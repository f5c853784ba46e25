"""Accuracy and latency, on networks whose answers are known beforehand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning_core.datasets.dataset import Dataset
from pruning_core.errors import UserError
from pruning_core.measuring import evaluate as module
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Tally, default_batch_size, evaluate, evaluating, predicting
from pruning_core.measuring.latency import LEAST, measure_latency, measuring_latency

pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(images: int = 50, classes: int = 10, shuffle: bool = False) -> Dataset:
    """The first pixel of each image is its label; sorted by class."""
    labels = torch.arange(images) * classes // images
    pixels = torch.zeros(images, 1, 4, 4, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = labels.to(torch.uint8)
    names = tuple(str(label) for label in range(classes))
    return Dataset(pixels, labels, names, (0.0,), (1.0 / 255,), "pictures")


class Reads(nn.Module):
    """Scores the class that stands in the first pixel, plus ``shift``; ``wrap`` dresses the output up."""

    def __init__(
        self, classes: int = 10, shift: int = 0, wrap: Callable[[Tensor], Any] = lambda scores: scores
    ) -> None:
        super().__init__()
        self.classes, self.shift, self.wrap = classes, shift, wrap
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Any:
        read = (x[:, 0, 0, 0].round().long() + self.shift) % self.classes
        return self.wrap(nn.functional.one_hot(read, self.classes) * self.weight * 9.0)


def test_accuracy_is_counted_on_every_image_once() -> None:
    right = evaluate(Reads(), pictures(), batch_size=7, device="cpu")
    assert (right.top1, right.top5, right.images, right.total, right.complete) == (1.0, 1.0, 50, 50, True)
    assert right.loss == pytest.approx(float(torch.log(1 + 9 * torch.exp(torch.tensor(-9.0)))), rel=1e-4)
    wrong = evaluate(Reads(shift=1), pictures(), device="cpu")
    assert wrong.top1 == 0.0 and wrong.low == 0.0 < wrong.high < 0.1


def test_partial_results_grow_and_are_a_fair_sample_of_sorted_data() -> None:
    data = pictures(1000)
    half_right = Reads()
    half_right.wrap = lambda scores: scores * (scores.argmax(1) < 5)[:, None] + torch.eye(10)[0] * 0.1
    partial = list(evaluating(half_right, data, batch_size=100, device="cpu"))
    assert [result.images for result in partial] == list(range(100, 1001, 100))
    assert [result.complete for result in partial] == [False] * 9 + [True]
    assert partial[-1].top1 == 0.5
    assert 0.3 < partial[0].top1 < 0.7, "the first batch of data sorted by class must not hold the first class alone"
    assert all(result.low <= result.top1 <= result.high for result in partial)


def test_top5_is_none_where_it_could_not_be_wrong() -> None:
    assert evaluate(Reads(5), pictures(classes=5), device="cpu").top5 is None
    almost = evaluate(Reads(6, shift=1), pictures(classes=6), device="cpu")
    assert almost.top1 == 0.0 and almost.top5 is not None and 0.0 < almost.top5 <= 1.0


def test_per_image_results_are_in_the_order_of_the_data() -> None:
    data = pictures()
    some_right = Reads()
    some_right.wrap = lambda scores: torch.where(scores.argmax(1, keepdim=True) == 3, -scores, scores)
    tally = Tally(data)
    for batch in predicting(some_right, data, batch_size=8, device="cpu"):
        tally.add(batch)
    assert torch.equal(tally.rows[:, 0].bool(), data.labels != 3)
    assert tally.rows.shape == (50, 1) and torch.equal(tally.rows[:, 0] == 1, data.labels != 3)


def test_batches_do_not_change_the_result_and_a_subset_is_repeatable() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    data = pictures(64)
    one, other = (evaluate(network, data, batch_size=size, device="cpu") for size in (64, 5))
    assert (one.top1, one.top5) == (other.top1, other.top5) and one.loss == pytest.approx(other.loss)
    small = [evaluate(network, data, images=20, seed=seed, device="cpu") for seed in (1, 1)]
    assert small[0].images == 20 and small[0].loss == small[1].loss
    assert evaluate(network, data, images=999, device="cpu").images == 64


@pytest.mark.parametrize(
    "wrap", [lambda s: {"aux": -s, "out": s}, lambda s: (s, -s), lambda s: [s], lambda s: {"y": s}]
)
def test_the_first_output_counts(wrap: Callable[[Tensor], Any]) -> None:
    assert evaluate(Reads(wrap=wrap), pictures(), device="cpu").top1 == 1.0


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Reads(wrap=lambda s: "class 3"), "returns str, no tensor"),
        (Reads(wrap=lambda s: {}), "returns dict"),
        (Reads(wrap=lambda s: s[:, :, None]), "50 × 10 × 1 for 50 images"),
        (Reads(wrap=lambda s: s.sum()), "no dimensions"),
        (Reads(wrap=lambda s: s[:3]), "3 × 10 for 50 images"),
        (Reads(7), "tells 7 classes apart, the data has 10"),
        (Reads(wrap=lambda s: s / 0), "NaN or infinite"),
        (nn.Linear(3, 10), "cannot read images of 1 × 4 × 4"),
    ],
)
def test_what_is_no_classifier_for_this_data_is_said(network: nn.Module, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        evaluate(network, pictures(), device="cpu")


class Hungry(Reads):
    """Cannot hold more than ``most`` images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, []

    def forward(self, x: Tensor) -> Any:
        self.seen.append(len(x))
        if len(x) > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return super().forward(x)


def test_an_exhausted_memory_halves_the_batch_and_loses_no_image() -> None:
    network = Hungry(most=5).eval()
    result = evaluate(network, pictures(), batch_size=32, device="cpu")
    assert network.seen[:5] == [32, 16, 8, 4, 4] and result.images == 50 and result.top1 == 1.0


def test_when_one_image_is_too_much_it_is_said() -> None:
    with pytest.raises(UserError, match="not enough for a single image"):
        evaluate(Hungry(most=0), pictures(), device="cpu")
    with pytest.raises(UserError, match="not enough for a batch of 2"):
        measure_latency(Hungry(most=1), (1, 4, 4), batch_size=2, device="cpu")


def test_the_callers_network_is_left_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 10))
    network.train()
    network[1].eval()
    before = copy.deepcopy(network.state_dict())
    first = evaluate(network, pictures(), device="cpu")
    assert [module.training for module in network] == [True, False, True, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert first.loss == evaluate(network, pictures(), device="cpu").loss, "dropout must be off"
    assert all(p.grad is None for p in network.parameters())


def test_gradients_are_off_inside_and_on_again_between_batches() -> None:
    class Watches(Reads):
        def forward(self, x: Tensor) -> Any:
            assert not torch.is_grad_enabled()
            return super().forward(x)

    for _ in evaluating(Watches(), pictures(), batch_size=10, device="cpu"):
        assert torch.is_grad_enabled()
    for _ in measuring_latency(Watches(), (1, 4, 4), device="cpu"):
        assert torch.is_grad_enabled()


def test_double_precision_and_exported_programs_are_evaluated() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 10)).eval()
    expected = evaluate(network, pictures(), device="cpu")
    assert evaluate(copy.deepcopy(network).double(), pictures(), device="cpu").top1 == expected.top1
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (torch.randn(2, 1, 4, 4),), dynamic_shapes=({0: batch},)).module()
    assert evaluate(program, pictures(), device="cpu").loss == pytest.approx(expected.loss)


def test_batch_sizes_are_powers_of_two_from_the_image_size_alone() -> None:
    assert default_batch_size((3, 32, 32), "cpu") == 64
    assert default_batch_size((3, 224, 224), "cpu") == 8
    assert default_batch_size((1, 8, 8), "cpu") == 512
    assert default_batch_size((3, 224, 224), "cuda:0") == 32


def test_devices_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [choose_device(name) for name in ("auto", "cuda", "cuda:0", "cpu")] == ["cuda:0", "cuda:0", "cuda:0", "cpu"]
    for name in ("cuda:1", "mps", "toaster"):
        with pytest.raises(UserError, match="There is no device"):
            choose_device(name)


def test_latency_reports_what_was_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list(measuring_latency(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), (1, 4, 4), batch_size=2, device="cpu"))
    assert [latency.runs for latency in seen] == list(range(1, LEAST + 1))
    last = seen[-1]
    assert 0.0 < last.p10_ms <= last.median_ms <= last.p90_ms
    assert (last.batch_size, last.device, last.threads) == (2, "CPU", torch.get_num_threads())
    assert measure_latency(nn.Flatten(), (1, 4, 4), runs=40, device="cpu").runs == 40
    with pytest.raises(UserError, match="cannot read images"):
        measure_latency(nn.Linear(3, 3), (1, 4, 4), device="cpu")


def test_evaluation_can_stop_between_batches() -> None:
    network = Hungry(most=50).eval()
    partial = module.evaluating(network, pictures(), batch_size=10, device="cpu")
    assert next(partial).images == 10
    partial.close()
    assert network.seen == [10]


@pytest.mark.slow  # a compiler runs
def test_a_compiled_network_is_timed_as_such_and_what_cannot_be_compiled_says_why():
    class Breaks(nn.Module):
        def forward(self, x):
            if float(x.sum()) > 1e9:  # a question to the numbers: no single graph
                x = x + 1
            return x.flatten(1)[:, :3]

    plain = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    last = measure_latency(plain, (1, 4, 4), device="cpu", compile=True)
    assert last.compiled and last.runs >= LEAST and last.median_ms > 0
    assert not measure_latency(plain, (1, 4, 4), device="cpu").compiled
    with pytest.raises(UserError, match=r"torch\.compile does not work for this network here"):
        measure_latency(Breaks(), (1, 4, 4), device="cpu", compile=True)
