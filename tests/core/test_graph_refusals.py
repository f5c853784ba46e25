"""A plan that cannot be removed: which of its groups is to blame, where it fails, and what to do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pruning_core.analysis.sensitivity import LeftOut, sweep
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.graph.removing.blame import smallest
from pruning_core.measuring.measures import Cell
from tests.core.graph_checks import Net, assert_untouched, head, image, owners, state_of


def written(m: Net, x: Tensor) -> Tensor:
    """Its width stands in the code, and a number of the data is read: neither form can follow."""
    y = m.c(m.b(m.a(x).relu()).relu())
    y = y.reshape(len(y), 6, -1) * (2.0 if float(x.sum()) < 1e9 else 1.0)
    return m.end(m.d(y.unflatten(2, (2, 2))).relu())


def stubborn() -> nn.Module:
    torch.manual_seed(0)
    layers = {"a": nn.Conv2d(3, 8, 3), "b": nn.Conv2d(8, 5, 3), "c": nn.Conv2d(5, 6, 3), "d": nn.Conv2d(6, 4, 1)}
    return Net(written, **layers, end=head(4)).eval()


def test_the_group_to_blame_is_named_with_the_operator_and_the_way_out() -> None:
    net = stubborn()
    network = capture(net, image())
    plan = Plan({key: [0] for key in ("a", "b", "c", "d")})
    before = state_of(net)
    with pytest.raises(UserError, match=r"Channels of 'c' cannot be removed: .*at the operator \w+") as refused:
        remove(net, network, plan)
    assert_untouched(net, before)
    said = str(refused.value)
    assert "'a'" not in said and "'b'" not in said and "'d'" not in said
    assert "The other groups of the plan are not what fails. Leave it out of the plan." in said
    assert remove(net, network, Plan({key: [0] for key in ("a", "b", "d")})).form == "module"


def test_a_plan_of_one_group_says_so_without_others() -> None:
    net = stubborn()
    with pytest.raises(UserError, match="Channels of 'c' cannot be removed") as refused:
        remove(net, capture(net, image()), Plan({"c": [1, 2]}))
    assert "other groups" not in str(refused.value)


@pytest.mark.parametrize("bad", [{"a"}, {"e"}, {"b", "c"}, {"a", "g"}, {"d", "e"}])
def test_the_smallest_failing_part_is_found_by_halves(bad: set[str]) -> None:
    """Whatever is to blame, alone or together, is in the part that is named; one alone is named alone."""
    plan = Plan({key: [0] for key in "abcdefg"})
    tried: list[Plan] = []

    def fails(part: Plan) -> bool:
        tried.append(part)
        return bad <= set(part)

    part = smallest(plan, fails)
    assert bad <= set(part) and len(tried) <= 6
    assert len(bad) > 1 or set(part) == bad


# -- a sweep ----------------------------------------------------------------------------------------------------------
def by_number_of_images(m: Net, x: Tensor) -> Tensor:
    """A width in the code, and other steps for three images than for two: exact, and neither form can be cut."""
    y = m.b(m.a(x).relu()).reshape(len(x), 6, -1)
    return m.end((y.sin().asin() if len(x) == 3 else y).unflatten(2, (4, 4)))


def test_a_sweep_prints_nothing_of_groups_that_nobody_can_remove() -> None:
    torch.manual_seed(0)
    net = Net(by_number_of_images, a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 6, 3), end=head(6)).eval()
    network = capture(net, image())
    assert owners(network) == {"a": (8, True), "b": (6, True)}
    images, labels = torch.randint(256, (16, 3, 8, 8), dtype=torch.uint8), torch.arange(16) % 5
    data = Dataset(images, labels, tuple("abcde"), (0.5,) * 3, (0.5,) * 3, "noise")
    scores = {group.key: torch.arange(group.size).float() for group in network.groups}
    events = list(sweep(net, network, data, scores, [0.0, 0.5], device="cpu"))
    assert {e.group for e in events if isinstance(e, Cell)} == {"a"}
    (left,) = [e for e in events if isinstance(e, LeftOut)]
    assert left.key == "b" and "Channels of 'b' cannot be removed" in left.why
    with pytest.raises(UserError, match="No channel of any of these groups"):
        list(sweep(net, network, data, {"b": scores["b"]}, [0.5], device="cpu"))
