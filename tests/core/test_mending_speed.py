"""What makes mending cheap, and that it changes nothing: products counted, systems of either size, runs that wait."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture
from pruning_core.mending import Mender, mend
from pruning_core.mending.equations import PULLS, Equations, Rows, fitted, joined, least, system
from pruning_core.mending.together import MOST, Halt, batches, together


@pytest.mark.parametrize("images", [2, 17, 40])
def test_every_image_is_convolved_once_in_the_unpruned_and_once_in_the_pruned_network(
    images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 1))
    network = capture(model.eval(), torch.zeros(1, 3, 8, 8))
    plan = Plan({group.key: (0,) for group in network.groups})
    plain, counted = F.conv2d, [0]

    def conv2d(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        if has_torch_function_unary(x):
            out: Tensor = handle_torch_function(conv2d, (x,), x, *rest, **options)
            return out
        counted[0] += len(x)
        return plain(x, *rest, **options)

    monkeypatch.setattr(F, "conv2d", conv2d)
    done = mend(model, network, plan, torch.randn(images, 3, 8, 8))
    assert [layer.weight for layer in done.layers] == ["2.weight", "4.weight"] and done.norms == 1
    assert counted[0] == done.forwards * 3 * images == 6 * images


def test_how_many_images_run_together_changes_nothing() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU())
    model = model.double().eval()
    network = capture(model, torch.zeros(1, 3, 8, 8).double())
    images = torch.randn(MOST * 17 + 3, 3, 8, 8).double()
    plan = Plan({network.groups[0].key: (0, 1)})
    many = mend(model, network, plan, images)
    assert len(batches(images)) > 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pruning_core.mending.together.FEWEST", len(images))
        assert len(batches(images)) == 1
        one = mend(model, network, plan, images)
    assert many.layers[0].pull == one.layers[0].pull and many.layers[0].after < many.layers[0].before
    for name, tensor in many.model.state_dict().items():
        assert torch.allclose(tensor, one.model.state_dict()[name], rtol=1e-9, atol=1e-12), name


# -- systems -----------------------------------------------------------------------------------------------------------


def problem(rows: int, unknowns: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(rows)
    x = torch.randn(rows, unknowns, dtype=torch.float64) + 1
    old = torch.randn(unknowns, 3, dtype=torch.float64)
    return x, x @ (old + 0.3 * torch.randn_like(old)) + torch.randn(rows, 3, dtype=torch.float64) + 2, old


@pytest.mark.parametrize("shift", [True, False])
def test_few_rows_give_what_their_products_give(shift: bool) -> None:
    x, y, old = problem(40, 60)
    few, products = system([x[:25], x[25:30]], [y[:25], y[25:30]]), Equations.of(x[:30], y[:30])
    assert isinstance(few, Rows) and few.rows == products.rows == 30
    a = fitted(few, system([x[30:]], [y[30:]]), old, shift=shift)
    b = fitted(products, Equations.of(x[30:], y[30:]), old, shift=shift)
    assert a.pull == b.pull and a.before == pytest.approx(b.before) and a.after == pytest.approx(b.after)
    assert torch.allclose(a.weight, b.weight, atol=1e-9) and torch.allclose(a.shift, b.shift, atol=1e-9)
    assert a.after < a.before


def test_rows_that_become_as_many_as_unknowns_become_products() -> None:
    x, y, _ = problem(90, 40)
    inner, outer = system([x[:70]], [y[:70]]), system([x[70:]], [y[70:]])
    assert isinstance(inner, Equations) and isinstance(outer, Rows)
    all_at_once = Equations.of(x, y)
    for both in (
        joined(inner, outer),
        joined(outer, inner),
        joined(system([x[:35]], [y[:35]]), system([x[35:]], [y[35:]])),
    ):
        assert isinstance(both, Equations) and both.rows == 90
        for mine, other in ((both.xx, all_at_once.xx), (both.xy, all_at_once.xy), (both.yy, all_at_once.yy)):
            assert torch.allclose(mine, other)
    assert inner.rows == 70, "joining leaves both as they were"


def test_the_product_of_many_columns_is_that_of_all_of_them() -> None:
    x = torch.randn(20, 2100, dtype=torch.float64)
    assert torch.allclose(Equations.of(x, x[:, :2]).xx, x.T @ x)


def test_a_pull_below_rounding_is_passed_over() -> None:
    torch.manual_seed(0)
    x = torch.randn(3000, 1, dtype=torch.float32) @ torch.ones(1, 40) * 1e3  # one direction, seen 40 times
    found = fitted(Equations.of(x, x[:, :1]), Equations.of(x[:400], x[:400, :1]), torch.zeros(40, 1).double())
    assert found.weight.isfinite().all() and found.after < 1e-6


@pytest.mark.parametrize("best", range(len(PULLS)))
@pytest.mark.parametrize("lost", [0, 2, 5])
def test_the_least_error_is_found_and_few_pulls_are_tried(best: int, lost: int) -> None:
    tried = []

    def error(pull: float) -> float:
        tried.append(pull)
        place = PULLS.index(pull)
        return float("inf") if place < lost else abs(place - best) + 1.0

    assert least(error, PULLS) == (PULLS[max(best, lost)], max(best, lost) - best + 1.0)
    assert len(tried) == len(set(tried)) <= abs(max(best, lost) - 3) + 3


# -- runs that wait for each other -------------------------------------------------------------------------------------


def test_all_images_stand_at_a_place_before_any_goes_on() -> None:
    log: list[str] = []

    def run(batch: Tensor, halt: Halt[str]) -> None:
        for place in "ab":
            log.append(f"{place}{int(batch)}")
            halt(f"{place}{int(batch)}")
        log.append(f"end{int(batch)}")

    halts = [list(halted) for halted in together(run, list(torch.arange(3)))]
    assert halts == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
    assert log == ["a0", "a1", "a2", "b0", "b1", "b2", "end0", "end1", "end2"]


def waiting() -> int:
    return sum(thread.name == "mending" for thread in threading.enumerate())


def test_leaving_and_errors_leave_no_run_behind() -> None:
    def run(batch: Tensor, halt: Halt[int]) -> None:
        halt(1)
        if int(batch) == 2:
            raise KeyError("inside the network")
        halt(2)

    halts = together(run, list(torch.arange(2)))
    assert next(halts) == [1, 1] and waiting() == 2
    halts.close()
    assert waiting() == 0
    with pytest.raises(KeyError, match="inside the network"):
        list(together(run, list(torch.arange(4))))
    assert waiting() == 0


def test_runs_that_part_are_refused() -> None:
    def run(batch: Tensor, halt: Halt[int]) -> None:
        for _ in range(int(batch)):
            halt(0)

    with pytest.raises(UserError, match="other ways for some images"):
        list(together(run, list(torch.arange(3))))
    assert waiting() == 0


# -- one plan after the other ------------------------------------------------------------------------------------------


def chain() -> tuple[nn.Module, Network, Tensor]:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(6, 7, 1), nn.BatchNorm2d(7), nn.ReLU(), nn.Conv2d(7, 4, 1)).eval()
    return model, capture(model, torch.zeros(1, 3, 8, 8)), torch.randn(40, 3, 8, 8)


def test_what_another_plan_left_alike_is_not_refitted_again_and_is_the_same() -> None:
    model, network, images = chain()
    first, second, third = (group.key for group in network.groups)
    by = Mender(model, network, images)
    visits = [
        (Plan({first: (0, 1), second: (2,), third: (3,)}), 3, 2),
        (Plan({first: (0, 1), second: (2,), third: (3,)}), 0, 1),  # the same again
        (Plan({first: (0, 1), second: (2,), third: (4, 5)}), 1, 1),  # the last layer reads something else
        (Plan({first: (0, 1), third: (3,)}), 1, 1),  # the layer in the middle is as it was, and the last reads another
        (Plan({first: (1, 2), second: (2,), third: (3,)}), 3, 1),  # all read something else
        (Plan({second: (2,)}), 1, 1),
        (Plan({first: (0, 1), second: (2,), third: (3,)}), 0, 1),
    ]
    for plan, solved, forwards in visits:
        done, alone = by(plan), mend(model, network, plan, images)
        assert (done.solved, done.forwards) == (solved, forwards), plan
        assert done.layers == alone.layers and done.norms == alone.norms > 0 and done.unmended == {}
        for name, tensor in alone.model.state_dict().items():
            assert torch.equal(tensor, done.model.state_dict()[name]), name


def test_what_was_left_half_way_is_gone_on_with() -> None:
    model, network, images = chain()
    by, plan = Mender(model, network, images), Plan({group.key: (0,) for group in network.groups})

    def stop(what: str, done: int, total: int) -> None:
        if done == 2 and what.startswith("refitting"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by(plan, stop)
    assert waiting() == 0
    done, alone = by(plan), mend(model, network, plan, images)
    assert done.solved == 1 and done.forwards == 1
    assert all(torch.equal(tensor, alone.model.state_dict()[name]) for name, tensor in done.model.state_dict().items())


def test_what_does_not_fit_into_memory_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    model, network, images = chain()
    monkeypatch.setattr(sys.modules[Mender.__module__], "HELD", 10)
    monkeypatch.setattr("pruning_core.mending.known.MOST_BYTES", 10)
    by, plan = Mender(model, network, images), Plan({group.key: (0,) for group in network.groups})
    first, second = by(plan), by(plan)
    assert (second.solved, second.forwards) == (3, 2)
    assert all(
        torch.equal(tensor, second.model.state_dict()[name]) for name, tensor in first.model.state_dict().items()
    )
