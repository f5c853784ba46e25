"""What the example did not visit: other paths, other channels, training. It is followed, or it is said."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, pointwise, register_rule, remove, silence
from tests.core.graph_checks import Net, check_exact, difference, head, image, outputs, owners

Decision = Callable[[Tensor], bool]

DECISIONS: dict[str, Decision] = {
    "a number": lambda x: float(x.mean()) < -1,
    "a comparison": lambda x: bool(x.mean() < -1),
    "any": lambda x: bool((x < -9).any()),
    "a list": lambda x: x.flatten().tolist()[0] < -9,
    "an array": lambda x: x.detach().numpy().min() < -9,
    "equality": lambda x: torch.equal(x, x + 1),
    "positions": lambda x: len((x < -9).nonzero()) > 0,
    "the largest": lambda x: int(x.flatten().argmax()) < 0,
    "counts": lambda x: len(torch.unique(x)) == 1,
}


def skipping(decision: Decision) -> nn.Module:
    """Some images go round the second layer: their channels are those of the first."""

    def body(m: Net, x: Tensor) -> Tensor:
        h = m.a(x).relu()
        y = m.b(h).relu()
        return m.end(y + h if decision(x) else y)

    return Net(body, a=nn.Conv2d(3, 8, 3, padding=1), b=nn.Conv2d(8, 8, 3, padding=1), end=head(8)).eval()


@pytest.mark.parametrize("decision", DECISIONS.values(), ids=DECISIONS)
def test_what_a_number_of_the_data_decides_is_not_exact(decision: Decision) -> None:
    network = capture(skipping(decision), image())
    assert owners(network) == {"a": (8, False), "b": (8, False)}
    assert "decides by a number" in network.group("a").reason
    assert any("only the path of the example was followed" in note for note in network.notes)


def test_numbers_that_are_the_networks_own_decide_nothing() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x).relu()
        repr(x)  # read to be printed
        return m.end(y * 2 if float(m.limit) > 0 and len(x) < 9 else y)

    net = Net(body, a=nn.Conv2d(3, 8, 3), limit=torch.ones(()), end=head(8)).eval()
    network = capture(net, image())
    assert owners(network) == {"a": (8, True)} and not network.notes


def test_what_is_gone_before_the_decision_stays_exact() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.b(m.a(x).relu())
        return m.end(y.relu() if float(y.sum()) < 0 else y)

    net = Net(body, a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 6, 3), end=head(6)).eval()
    assert owners(capture(net, image())) == {"a": (8, True), "b": (6, False)}


# -- indices that follow from the data --------------------------------------------------------------------------------
CHOICES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sorted": lambda y, s: y[:, s.argsort(descending=True)[:4]],
    "best": lambda y, s: y.index_select(1, s.topk(4).indices),
    "gathered": lambda y, s: y.gather(1, s.topk(4).indices[None, :, None, None].expand(len(y), 4, *y.shape[2:])),
    "rounded": lambda y, s: y[:, ((s[:4] + s[4:]).sigmoid() * 7).long()],
    "through a table": lambda y, s: y[:, torch.arange(8)[s.argsort()][:4]],
}


@pytest.mark.parametrize("choose", CHOICES.values(), ids=CHOICES)
def test_channels_chosen_by_the_data_stay(choose: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The scores' order says which channels are read: neither these nor the scores can lose one."""

    def body(m: Net, x: Tensor) -> Tensor:
        score = m.g(x.mean((2, 3))).mean(0)
        return m.end(m.c(choose(m.a(x).relu(), score)).relu())

    net = Net(body, a=nn.Conv2d(3, 8, 3), g=nn.Linear(3, 8), c=nn.Conv2d(4, 6, 3), end=head(6)).eval()
    network = capture(net, torch.zeros(1, 3, 8, 8))
    assert owners(network) == {"c": (6, True)}
    assert "a.weight" in {b.parameter for b in network.blocked}
    assert any("follow from the data" in b.reason for b in network.blocked)


def test_channels_chosen_by_a_table_still_leave() -> None:
    table = torch.tensor([5, 1, 7, 2])
    net = Net(lambda m, x: m.end(m.a(x)[:, m.table]), a=nn.Conv2d(3, 8, 3), table=table, end=head(4))
    assert owners(check_exact(net, image()))["a"] == (4, True)


# -- what only training does ------------------------------------------------------------------------------------------
class Supervised(nn.Module):
    """While training, the same head also reads an earlier feature map, or one is added to the other."""

    def __init__(self, added: bool) -> None:
        super().__init__()
        self.a, self.b, self.end, self.added = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), head(8), added

    def forward(self, x: Tensor) -> Any:
        h = self.a(x).relu()
        y = self.b(h).relu()
        if not self.training:
            return self.end(y)
        return self.end(y + h) if self.added else (self.end(y), self.end(h))


@pytest.mark.parametrize("added", [False, True])
def test_features_that_meet_in_training_only_leave_together(added: bool) -> None:
    net = Supervised(added)
    network = check_exact(net, image())
    assert owners(network) == {"a": (8, True)}
    done, want = remove(net, network, Plan({"a": [0, 5]})), silence(net, network, Plan({"a": [0, 5]}))
    x = (image(batch=2).double(),)
    assert difference(outputs(done.model.train(), x), outputs(want.train(), x)) < 1e-10


class Crossing(nn.Conv2d):
    """One of PyTorch's layers by name only: while training it adds what another layer gave."""

    before: Tensor

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + x if self.training else y


def test_layers_of_pytorch_are_followed_once_and_others_twice() -> None:
    """A class of the network's own may do anything while training; hooks too, on a layer that is known."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), Crossing(8, 8, 1), nn.Dropout(0.0), head(8))
    assert owners(check_exact(net, image())) == {"0": (8, True)}
    hooked = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(inplace=True), head(8))
    assert owners(capture(hooked, image())) == {"0": (8, True), "2": (8, True)}
    hooked[2].register_forward_hook(lambda m, given, out: out + given[0] if m.training else out)
    assert owners(capture(hooked, image())) == {"0": (8, True)}


def test_training_needs_no_second_image_where_only_known_layers_ask_for_one() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), head(8)[0], nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    network = capture(net.eval(), image())
    assert owners(network) == {"0": (8, True)} and not network.notes


def test_training_that_does_not_run_is_said() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        assert not m.training, "no labels"
        return m.end(m.a(x))

    network = capture(Net(body, a=nn.Conv2d(3, 8, 3), end=head(8)).eval(), image())
    assert owners(network) == {"a": (8, True)}
    assert len(network.notes) == 1 and "no labels" in network.notes[0] and "Only evaluation" in network.notes[0]


def test_parameters_that_no_run_reads_are_named() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.end(m.rare(y) if x.shape[2] > 99 else y)

    network = capture(Net(body, a=nn.Conv2d(3, 8, 3), rare=nn.Conv2d(8, 8, 1), end=head(8)).eval(), image())
    assert any("rare.weight" in note and "neither in evaluation nor in training" in note for note in network.notes)


# -- max-unpooling ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_channels_that_are_unpooled_leave_with_the_channels_they_were_pooled_from(rank: int) -> None:
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
    back = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[rank - 1]

    def body(m: Net, x: Tensor) -> Tensor:
        h, where = pool(m.a(x).relu(), 2, return_indices=True)
        y = back(m.d(m.b(h).relu()).relu(), where, 2)
        return m.f(m.e(y).relu().flatten(2).mean(2))

    layers = {"a": conv(3, 8, 3, padding=1), "b": conv(8, 10, 1), "d": conv(10, 8, 1), "e": conv(8, 6, 1)}
    net = Net(body, **layers, f=nn.Linear(6, 4))
    network = check_exact(net, torch.randn(1, 3, *[8] * rank), batches=(1, 2))
    assert owners(network) == {"a": (8, True), "b": (10, True), "e": (6, True)}
    assert "d.weight" in {m.parameter for m in network.group("a").members}


# -- what evaluation keeps for later ----------------------------------------------------------------------------------
class Warm(nn.Module):
    """Keeps a table that it makes of a parameter for as long as it evaluates, as LeViT does."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.scale, self.end = nn.Conv2d(3, 8, 3), nn.Parameter(torch.randn(8)), head(8)
        self.kept: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> Warm:
        if mode:
            self.kept = {}
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            table = self.scale.exp()
        else:
            if "table" not in self.kept:
                self.kept["table"] = self.scale.exp()
            table = self.kept["table"]
        return self.end(self.a(x).relu() * table[:, None, None])


def test_what_was_kept_in_evaluation_hides_nothing_and_is_made_anew() -> None:
    torch.manual_seed(0)
    net, x = Warm().eval(), image()
    cold = owners(capture(net, x))
    assert cold == {"a": (8, True)}
    with torch.no_grad():
        net(x)
    kept = net.kept["table"]
    network = capture(net, x)
    assert owners(network) == cold and net.kept["table"] is kept
    plan = Plan({"a": [1, 4]})
    done, want = remove(net, network, plan), silence(net, network, plan)
    assert done.form == "module" and not done.model.training and net.kept["table"] is kept
    assert difference(outputs(done.model, (x,)), outputs(want, (x,))) < 1e-6
    assert difference(outputs(copy.deepcopy(done.model).train(), (x,)), outputs(want.train(), (x,))) < 1e-6


# -- not exact, and why -----------------------------------------------------------------------------------------------
def reasons(network: Network) -> dict[str, str]:
    return {g.key: g.reason for g in network.groups if not g.exact}


def test_a_network_that_draws_while_it_evaluates_says_so() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        return m.end(m.b(F.dropout(m.a(x).relu(), 0.3, training=True)))

    network = capture(Net(body, a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 6, 3), end=head(6)).eval(), image())
    assert owners(network) == {"a": (8, False), "b": (6, True)}
    assert "random numbers are drawn" in reasons(network)["a"]
    assert any("differs from itself" in note for note in network.notes)


THROWN: list[float] = []  # not in a closure, which would be copied with the network


def test_dice_of_python_count_as_well() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        return m.end(m.a(x) * (1 + random.random()))

    network = capture(Net(body, a=nn.Conv2d(3, 8, 3), end=head(8)).eval(), image())
    assert owners(network) == {"a": (8, False)}
    assert any("differs from itself" in note for note in network.notes)


def test_dice_that_another_thread_throws_meanwhile_are_not_the_networks() -> None:
    """Once, from code that is not ours; and again and again, by removals that give their network the same numbers."""
    THROWN.clear()

    def body(m: Net, x: Tensor) -> Tensor:
        if not THROWN:
            other = threading.Thread(target=lambda: THROWN.append(random.random()))
            other.start()
            other.join()
        return m.end(m.a(x))

    network = capture(Net(body, a=nn.Conv2d(3, 8, 3), end=head(8)).eval(), image())
    assert THROWN and owners(network) == {"a": (8, True)}

    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), head(8)).eval()
    found, over = capture(net, image()), threading.Event()

    def removing() -> None:
        while not over.is_set():
            remove(net, found, Plan({found.groups[0].key: (0,)}))

    other = threading.Thread(target=removing)
    other.start()
    try:
        assert all(group.exact for _ in range(40) for group in capture(net, image()).groups)
    finally:
        over.set()
        other.join()


def test_dice_that_another_thread_throws_all_the_time_are_not_the_networks() -> None:
    """And those of the network are found all the same, also in an operator of its own that has a rule."""
    register_rule(shaken, pointwise)
    quiet = nn.Sequential(*(nn.Conv2d(8 if i else 3, 8, 3, padding=1) for i in range(12)), head(8)).eval()
    noisy = Net(lambda m, x: m.end(m.a(x) * (1 + random.random())), a=nn.Conv2d(3, 8, 3), end=head(8)).eval()
    inside = Net(lambda m, x: m.end(shaken(m.a(x))), a=nn.Conv2d(3, 8, 3), end=head(8)).eval()
    over = threading.Event()

    def throwing() -> None:
        while not over.wait(0.002):
            random.random()

    other = threading.Thread(target=throwing)
    other.start()
    try:
        found = [capture(quiet, image()) for _ in range(5)]
        drawing = [capture(each, image()) for each in (noisy, inside)]
    finally:
        over.set()
        other.join()
    assert all(group.exact for network in found for group in network.groups)
    assert [owners(each) for each in drawing] == [{"a": (8, False)}] * 2


@torch.library.custom_op("tests::shaken", mutates_args=())
def shaken(x: Tensor) -> Tensor:
    return x * (1 + float(np.random.rand()))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_weights_divided_by_a_norm_of_all_of_them_are_not_exact(norm: Callable[[nn.Module], nn.Module]) -> None:
    """Without a channel the largest singular value is another one, and so is every weight that is left."""
    net = nn.Sequential(norm(nn.Conv2d(3, 8, 3)), nn.ReLU(), norm(nn.Conv2d(8, 6, 3)), nn.ReLU(), head(6)).eval()
    network = capture(net, image())
    assert network.groups and not any(g.exact for g in network.groups)
    assert any("weights are multiplied over it" in reason for reason in reasons(network).values())


def test_data_that_leave_pytorch_hold_what_they_carry() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        return m.end(m.b(torch.from_numpy(m.a(x).detach().numpy() * 2)))

    network = capture(Net(body, a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 6, 3), end=head(6)).eval(), image())
    assert [g.key for g in network.groups] == ["b"] and not network.group("b").exact
    assert any("other code" in note for note in network.notes)


def test_a_decision_while_training_is_said_as_such() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        return m.end(y * 2 if m.training and float(y.sum()) > 1e9 else y)

    network = capture(Net(body, a=nn.Conv2d(3, 8, 3), end=head(8)).eval(), image())
    assert owners(network) == {"a": (8, False)} and any("while training" in note for note in network.notes)


def test_networks_without_tensors_of_the_data_still_refuse() -> None:
    with pytest.raises(UserError, match="returns no tensor"):
        capture(Net(lambda m, x: float(m.a(x).sum()), a=nn.Conv2d(3, 8, 3)).eval(), image())


@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_rounded_before_they_are_used_are_blocked_by_name() -> None:
    """Quantisation while training: nothing is found, and it is said of every weight which operator is why."""
    from torch.ao import quantization

    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    network = capture(quantization.prepare_qat(net.train()).eval(), image())
    assert not network.groups
    assert {b.parameter for b in network.blocked} == {"0.weight", "2.weight"}
    assert all("obs_fq" in b.operator and b.reason == "no rule describes this operator" for b in network.blocked)
