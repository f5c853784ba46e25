"""What reads what, as networks ran: held to what their code says, where labels alone would draw it wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pruning_core.graph import capture
from pruning_core.replay.flow import Flow, flow

pytestmark = pytest.mark.usefixtures("one_thread")


class Branches(nn.Module):
    """Two branches beside each other, both added to the stream that they read, and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.b1 = nn.Conv2d(8, 6, 1)
        self.b2 = nn.Conv2d(6, 8, 1)
        self.gate = nn.Linear(8, 8)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = x + self.a(x)
        y += self.b2(self.b1(x).relu())  # the second branch reads the stream, after the first has written its own
        y = self.norm(y)
        y = y * torch.sigmoid(self.gate(y.mean((2, 3))))[:, :, None, None]
        return self.head(y.mean((2, 3)))


def seen(model: nn.Module, x: Tensor) -> Flow:
    network = capture(model.eval(), x)
    layers = {member.layer for group in network.groups for member in group.members if member.role != "carrier"}
    return flow(model, network, layers)


def pairs(found: Flow) -> set[tuple[str, str]]:
    return {(each.maker, each.reader) for each in found.arrows}


def test_branches_joints_and_who_reads_what():
    found = seen(Branches(), torch.randn(2, 3, 6, 6))
    assert found.joints == {"+1": "+", "+2": "+", "×3": "×"}
    assert pairs(found) == {
        ("stem", "a"), ("stem", "+1"), ("a", "+1"), ("stem", "b1"), ("b1", "b2"), ("+1", "+2"), ("b2", "+2"),
        ("+2", "gate"), ("+2", "×3"), ("gate", "×3"), ("×3", "head"),
    }  # fmt: skip
    assert found.nodes.index("b1") < found.nodes.index("b2") < found.nodes.index("+2")


def test_an_arrow_bears_the_group_whose_channels_go_that_way():
    class Concat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1)
            self.c = nn.Conv2d(10, 5, 1)
            self.head = nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.c(torch.cat([self.a(x), self.b(x)], 1)).mean((2, 3)))

    found = seen(Concat(), torch.randn(2, 3, 4, 4))
    assert not found.joints
    assert {(each.maker, each.reader): set(each.groups) for each in found.arrows} == {
        ("a", "c"): {"a"}, ("b", "c"): {"b"}, ("c", "head"): {"c"},
    }  # fmt: skip


def test_what_meets_itself_is_no_joint():
    class Swish(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.head((y * torch.sigmoid(y) + 1.0).mean((2, 3)))

    found = seen(Swish(), torch.randn(2, 3, 4, 4))
    assert not found.joints and pairs(found) == {("a", "head")}
