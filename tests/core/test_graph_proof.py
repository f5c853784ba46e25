"""What a removal is believed: mistakes of the cut are found, and looking for them leaves no trace."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove, silence
from pruning_core.graph.copies import copied
from pruning_core.graph.removing import removal as removing
from pruning_core.graph.removing.stand_ins import StandIns
from pruning_core.graph.removing.subject import Subject, Way
from pruning_core.graph.removing.surgery import cut
from tests.core.graph_checks import Net, head, image, randomise


def plain() -> nn.Module:
    def body(m: Net, x: Tensor) -> Tensor:
        return m.h(F.relu(m.b(F.relu(m.n(m.a(x))))))

    layers = {"a": nn.Conv2d(3, 16, 3), "n": nn.BatchNorm2d(16), "b": nn.Conv2d(16, 24, 3), "h": head(24)}
    return randomise(Net(body, **layers)).eval()


PLAN = Plan({"a": range(0, 16, 2), "b": range(0, 24, 3)})


@pytest.mark.parametrize("group", ["a", "b"])
@pytest.mark.parametrize("double", [False, True])
def test_one_wrong_channel_is_found(group: str, double: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = plain(), image()
    if double:
        net, x = net.double(), x.double()
    network = capture(net, x)
    remove(net, network, PLAN)  # the right ones are believed
    wrong = PLAN.with_group(group, [*PLAN[group][1:], next(u for u in range(16) if u not in PLAN[group])])

    def mistaken_cut(model: nn.Module, network: Network, plan: Plan, *, bold: bool = False) -> nn.Module:
        return cut(model, network, wrong, bold=bold)

    def no_program(*_: object) -> nn.Module:
        raise NotImplementedError

    monkeypatch.setattr(removing, "cut", mistaken_cut)
    monkeypatch.setattr(removing, "build_program", no_program)
    with pytest.raises(UserError, match="outputs differ"):
        remove(net, network, PLAN)


def test_a_returned_buffer_is_compared_as_it_was_returned() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.h = nn.Conv2d(3, 8, 3), head(8)
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            self.seen += 1
            return self.h(F.relu(self.a(x))), self.seen

    net, x = Counting().eval(), image()
    network = capture(net, x)
    run = Subject(silence(net, network, Plan({"a": [0]})), StandIns()).run((x,), Way())
    assert run.outputs[1].item() == 1 and net.seen.item() == 0


def test_copies_share_inside_what_was_shared_inside_and_nothing_outside() -> None:
    net = nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4))
    net[1].register_buffer("same", net[0].running_mean)
    net[1].register_buffer("seen_differently", net[0].running_mean.detach())
    net[1].register_buffer("part", net[1].running_var[:2])
    new = copied(net, {})
    assert new[1].same is new[0].running_mean
    new[0].running_mean.fill_(7)
    new[1].running_var.fill_(5)
    assert new[1].seen_differently.tolist() == [7] * 4 and new[1].part.tolist() == [5] * 2
    assert net[0].running_mean.tolist() == [0] * 4 and net[1].running_var.tolist() == [1] * 4
    new[0].register_forward_hook(lambda *_: None)
    assert not net[0]._forward_hooks
