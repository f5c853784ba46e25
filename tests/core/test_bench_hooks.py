"""The bench of hooks at its smallest: what it compares with what, which step it times, and what it writes down."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import bench_hooks as bench
from pruning_core.methods.auto_slim import AutoSlim
from pruning_core.methods.channel_gating import ChannelGating
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.network_slimming import NetworkSlimming
from pruning_core.training.hooks import Moment
from tests.core.small_programs import Parts, begun, setup

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def at(digits: Parts) -> bench.Ground:
    state, given = begun(), setup(digits)
    assert given.fit is not None
    batch = given.fit.normalised(given.fit.images[:16]), given.fit.labels[:16]
    return bench.Ground(state.model, state.network, given, batch)


# -- what is timed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "hooks", "gates"),
    [
        (NetworkSlimming(), "ScalePenalty", False),
        (AutoSlim(), "WidthOrder", True),
        (ChannelGating(), "GateTraining", True),
    ],
    ids=lambda each: each.card.key if hasattr(each, "card") else "",
)
def test_a_method_is_held_to_a_plain_step(method: Any, hooks: str, gates: bool, at: bench.Ground) -> None:
    before = {name: value.clone() for name, value in at.model.state_dict().items()}
    found = bench.taken(method, at, 1)
    assert found is not None and found.name == method.card.name and found.hooks == hooks and found.gates is gates
    assert found.low == found.ratio == found.high == found.fastest > 0, "of one round"
    assert found.passes == bench.PASSES.get(method.card.key, bench.Passes())
    assert (found.single == found.ratio) == (found.passes == bench.Passes())
    assert all(torch.equal(value, before[name]) for name, value in at.model.state_dict().items())


def test_a_method_that_takes_no_part_in_a_training_has_no_row(at: bench.Ground) -> None:
    assert bench.taken(CutAndTrain(), at, 1) is None


def test_steps_take_turns_and_the_first_rounds_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def one(number: int) -> None:
        ran.append(f"one {number}")

    def other(number: int) -> None:
        ran.append(f"other {number}")

    clock = iter(float(n * n) for n in range(100))  # the n-th interval takes 4n + 1 seconds
    monkeypatch.setattr(bench.time, "process_time", lambda: next(clock))
    took = bench.in_turns((one, other), 2)
    assert ran == ["one 1", "other 1", "other 2", "one 2", "one 3", "other 3", "other 4", "one 4"]
    assert took == {one: [17.0, 29.0], other: [21.0, 25.0]}
    assert bench.over(took, other, one) == [21 / 17, 25 / 29]


def test_the_papers_passes_are_what_runs() -> None:
    calls: list[bool] = []

    def forward(x: torch.Tensor, overrides: Any = None) -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        return x * weight

    weight = torch.ones(2, requires_grad=True)
    x, y = torch.randn(3, 2), torch.tensor([0, 1, 0])
    total, main = bench.Passes(times=2, forward=1).loss(forward, x, y)
    assert calls == [False, True, True] and torch.allclose(total, 2 * main) and total.requires_grad
    assert [each.text for each in (bench.Passes(), bench.Passes(4), bench.Passes(1, 2))] == [
        "forward and backward", "4 forward and backward", "forward and backward, and 2 forward",
    ]  # fmt: skip


def test_a_step_of_the_bench_is_a_step_of_training(at: bench.Ground) -> None:
    with bench.ExitStack() as stack:
        step, learner = bench.step_of(at.model, bench.Company((), None, bench.CrossEntropy(), {}), at, stack)
        before = [parameter.clone() for parameter in learner.model.parameters()]
        step(1)
    moment = Moment(learner.model, 1, 0, 1000, 0.3, bench.CONFIG.lr)
    assert moment.rate > 0 and not any(map(torch.equal, before, learner.model.parameters()))


@pytest.mark.parametrize("options", [{}, {"last": True}, {"fused": True}], ids=str)
def test_the_loop_that_everybody_writes_learns(options: dict[str, bool], at: bench.Ground) -> None:
    before = [parameter.clone() for parameter in at.model.parameters()]
    assert at.setup.fit is not None
    bench.plain_epoch(at.model, at.setup.fit.subset(128), **options)
    assert not any(map(torch.equal, before, at.model.parameters()))
    assert at.model[3].weight.is_contiguous(memory_format=torch.channels_last) is bool(options.get("last"))  # type: ignore[index]


# -- what is written down ----------------------------------------------------------------------------------------------


def taken(name: str, ratio: float, gates: bool = False) -> bench.Taken:
    return bench.Taken(name, "Hook", gates, bench.Passes(), ratio, ratio, ratio, ratio - 0.1, ratio + 0.1)


@pytest.mark.parametrize(("gates", "aim"), [(False, bench.LIGHT), (True, bench.HEAVY)])
def test_a_row_says_whether_it_is_within_its_aim(gates: bool, aim: float) -> None:
    rows = [bench.row_of(taken("a", ratio, gates), 9) for ratio in (aim, aim + 0.01)]
    assert [row[8] for row in rows] == ["yes", "no"]
    assert len(rows[0]) == len(bench.HEAD) and rows[0][9] == "9"


def test_rows_are_put_into_the_table_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hooks.md"
    monkeypatch.setattr(bench.os, "getloadavg", lambda: (0.5, 0.0, 0.0))
    bench.written(path, [bench.row_of(taken("a", 1.2), 9), bench.row_of(taken("b", 1.0), 9)], [])
    bench.written(
        path, [bench.row_of(taken("a", 0.9), 3)], bench.loop_rows({bench.PLAIN: [100.0], "ours": [150.0, 130.0, 140.0]})
    )
    text = path.read_text(encoding="utf-8")
    rows = bench.rows_in(text, bench.HEAD)
    assert list(rows) == ["a", "b"] and rows["a"][5] == "0.90" and rows["a"][9] == "3", "the faster one is first"
    loops = bench.rows_in(text, bench.LOOPS)
    assert loops["ours"][1:3] == ("140", "1.40") and loops[bench.PLAIN][2] == "1.00"
    assert rows["b"][-2:] == (f"{datetime.date.today()}", "0.5")


def test_what_was_measured_today_and_alone_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.os, "cpu_count", lambda: 2)
    today = f"{datetime.date.today()}"
    assert bench.fresh(("a", today, "1.9")) and not bench.fresh(("a", today, "2.1"))
    assert not bench.fresh(("a", "2020-01-01", "0.1")) and not bench.fresh(("a", today, "12 to 15"))


def test_the_table_that_is_kept_names_methods_that_there_are() -> None:
    kept = bench.rows_in(bench.RESULT.read_text(encoding="utf-8"), bench.HEAD)
    names = {method.card.name for method in bench.METHODS}
    assert kept and {name.removesuffix(bench.WIDE) for name in kept} <= names
