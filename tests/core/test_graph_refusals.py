"""A plan that cannot be removed: which of its groups is to blame, where it fails, and what to do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.graph.removing.blame import smallest
from tests.core.graph_checks import Net, assert_untouched, head, image, state_of


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
