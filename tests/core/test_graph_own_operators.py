"""Operators that are not PyTorch's: with a rule they are cut exactly, without one they pin what they read."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Plan, by_channel, capture, pointwise, register_rule, remove
from pruning_core.graph.labelling.rules import custom
from tests.core.graph_checks import Net, check_exact, head, image, owners


@torch.library.custom_op("testlib::soft", mutates_args=())
def soft(x: Tensor) -> Tensor:
    return x / (1 + x.abs())


@soft.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


soft.register_autograd(
    lambda ctx, grad: grad / (1 + ctx.saved_tensors[0].abs()) ** 2,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]),
)


@torch.library.custom_op("testlib::ordered", mutates_args=())
def ordered(x: Tensor, scale: Tensor) -> Tensor:
    """The numbers of every channel in ascending order, times the channel's scale."""
    return x.flatten(2).sort(-1).values.reshape(x.shape) * scale[:, None, None]


@torch.library.custom_op("testlib::turned", mutates_args=())
def turned(x: Tensor) -> Tensor:
    """The channels in the other order: a rule that says "pointwise" of it is wrong."""
    return x.flip(1).clone()


@pytest.fixture(autouse=True)
def own_rules() -> Iterator[None]:
    before = dict(custom.OWN)
    yield
    custom.OWN.clear()
    custom.OWN.update(before)


def conv(i: int, o: int) -> nn.Conv2d:
    return nn.Conv2d(i, o, 3, padding=1)


def between(operator) -> Net:
    return Net(lambda m, x: m.h(operator(m.a(x))), a=conv(3, 6), h=head(6))


def test_without_a_rule_it_is_pinned_and_named() -> None:
    network = capture(between(soft), image())
    assert not network.groups
    assert "soft" in {blocked.operator for blocked in network.blocked}


def test_a_pointwise_one_with_its_rule_is_exact_in_values_and_gradients() -> None:
    register_rule(soft, pointwise)
    network = check_exact(between(soft), image(), form="module")
    assert owners(network) == {"a": (6, True)}


def test_a_rule_that_is_registered_later_holds_from_the_next_capture_on() -> None:
    before = capture(between(soft), image())
    register_rule("testlib::soft", pointwise)
    assert not before.groups and capture(between(soft), image()).groups


def test_one_that_works_on_every_channel_by_itself_is_cut_with_its_parameter() -> None:
    register_rule("testlib::ordered", by_channel)

    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.scale, self.h = conv(3, 6), nn.Parameter(torch.rand(6) + 0.5), head(6)

        def forward(self, x: Tensor) -> Tensor:
            return self.h(ordered(self.a(x), self.scale))

    torch.manual_seed(0)
    model, x = Sorted().double().eval(), image().double()
    network = capture(model, x)
    (group,) = network.groups
    assert group.exact and "scale" in {member.parameter for member in group.members}
    done = remove(model, network, Plan({group.key: (1, 4)}))
    assert tuple(done.model.scale.shape) == (4,)
    silenced = Sorted().double().eval()
    silenced.load_state_dict(model.state_dict())
    with torch.no_grad():
        silenced.h[-1].weight[:, [1, 4]] = 0  # what reads the channels reads nothing of these
        assert torch.allclose(done.model(x), silenced(x), atol=1e-12)


def test_a_wrong_claim_does_not_pass_the_proof() -> None:
    register_rule("testlib::turned", pointwise)
    model = between(turned).eval()
    network = capture(model, image())
    with pytest.raises(UserError):
        remove(model, network, Plan({"a": (0, 1)}))


@pytest.mark.parametrize("name", ["shrink", "aten::relu", ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="full name"):
        register_rule(name, pointwise)


def test_an_operator_does_one_thing() -> None:
    register_rule("testlib::twice", pointwise)
    register_rule("testlib::twice", pointwise)
    with pytest.raises(UserError, match="another rule already"):
        register_rule("testlib::twice", by_channel)


def test_the_documented_example_runs() -> None:
    text = inspect.getdoc(register_rule) or ""
    example = textwrap.dedent(text.split("as a test::")[1])
    assert "assert torch.allclose" in example
    exec(compile(example, "example", "exec"), {"__name__": "example"})
