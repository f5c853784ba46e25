"""What surrounds the layers: inputs, outputs, modes, sharing, freezing, and the caller's own model."""

import copy
import io
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove, silence
from tests.core.graph_checks import (
    EXACT,
    Net,
    assert_untouched,
    check_exact,
    check_plan,
    difference,
    gradients,
    head,
    image,
    images,
    outputs,
    owners,
    random_plan,
    randomise,
    state_of,
)


def conv(i: int, o: int, k: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **options)  # type: ignore[arg-type]  # options are keyword arguments


def small(seed: int = 0) -> Net:
    net = Net(
        lambda m, x: m.h(F.relu(m.n2(m.b(F.relu(m.n1(m.a(x))))))),
        a=conv(3, 8),
        n1=nn.BatchNorm2d(8),
        b=conv(8, 6),
        n2=nn.BatchNorm2d(6),
        h=head(6),
    )
    return randomise(net, seed).double().eval()  # type: ignore[return-value]


X = image().double()


# -- inputs and outputs -----------------------------------------------------------------------------------------------
def test_several_inputs() -> None:
    net = Net(lambda m, x, y: m.h(F.relu(m.a(x) + m.b(y))), a=conv(3, 8), b=conv(2, 8), h=head(8))
    assert owners(check_exact(net, (image(3), image(2)), form="module")) == {"a": (8, True)}


def test_several_outputs() -> None:
    net = Net(lambda m, x: (m.h(m.a(x)), [m.g(m.a(x))]), a=conv(3, 8), h=head(8), g=head(8))
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True)}


def test_feature_maps_given_out_are_kept_whole() -> None:
    net = Net(lambda m, x: {"features": m.a(x), "out": m.h(m.b(m.a(x)))}, a=conv(3, 8), b=conv(8, 6), h=head(6))
    network = check_exact(net, image(), form="module")
    assert owners(network) == {"b": (6, True)}
    assert any(b.parameter == "a.weight" and "output" in b.reason for b in network.blocked)


@dataclass
class Result:
    logits: Tensor
    hidden: Tensor | None = None


def test_outputs_in_a_dataclass() -> None:
    net = Net(lambda m, x: Result(m.h(m.b(m.a(x)))), a=conv(3, 8), b=conv(8, 6), h=head(6))
    network = check_exact(net, image(), form="module")
    assert owners(network) == {"a": (8, True), "b": (6, True)}, "the classes of the hidden result are no group"


def test_a_network_without_tensors_in_its_output_is_refused() -> None:
    net = Net(lambda m, x: float(m.h(m.a(x)).sum()), a=conv(3, 8), h=head(8))
    with pytest.raises(UserError, match="tensor"):
        capture(net, image())


def test_an_input_that_does_not_fit_is_said() -> None:
    with pytest.raises(UserError, match=r"does not run on an input of shape 1×4×8×8"):
        capture(small(), image(4).double())


# -- modes ------------------------------------------------------------------------------------------------------------
class Auxiliary(nn.Module):
    """Two heads while training, one afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.n = conv(3, 8), conv(8, 6), nn.BatchNorm2d(6)
        self.side = nn.Sequential(
            conv(8, 7), nn.BatchNorm2d(7), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 5)
        )
        self.h = head(6)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y = F.relu(self.a(x))
        out = self.h(self.n(self.b(y)))
        return (out, self.side(y)) if self.training else out


def test_auxiliary_heads_follow() -> None:
    """They run in training mode after a cut although evaluation never sees them; their own channels are a group too."""
    network = check_exact(Auxiliary(), image(), form="module", cost=False)
    assert owners(network) == {"a": (8, True), "b": (6, True), "side.0": (7, True)}
    assert {m.parameter for m in network.group("a").consumers} == {"b.weight", "side.0.weight"}


def test_what_cannot_be_followed_in_training_stays_whole() -> None:
    """On a small image the auxiliary head breaks half way: what it reads stays, so that it fits on larger ones."""
    net = Auxiliary()
    net.side = nn.Sequential(conv(8, 7), nn.AvgPool2d(5, 3), nn.Conv2d(7, 5, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = check_exact(net, image(side=8), form="module", cost=False, train=False)
    assert owners(network) == {"b": (6, True)}
    assert any(b.parameter == "a.weight" and b.operator == "training" for b in network.blocked) and network.notes
    done = remove(net, network, Plan({"b": [0, 1]}))
    logits, side = done.model.train()(image(side=32, batch=2).double())
    assert logits.shape == side.shape == (2, 5)


def test_a_model_in_training_mode_stays_so_and_its_copy_too() -> None:
    net = small().train()
    before = state_of(net)
    network = capture(net, X)
    done = remove(net, network, random_plan(network, np.random.default_rng(0)))
    quiet = silence(net, network, random_plan(network, np.random.default_rng(0)))
    assert_untouched(net, before)
    assert done.model.training and quiet.training and done.model.n1.training
    assert difference(outputs(done.model.eval(), (X,)), outputs(quiet.eval(), (X,))) < EXACT


def test_mixed_modes_survive() -> None:
    net = small().train()
    net.n1.eval()
    network = capture(net, X)
    done = remove(net, network, Plan({"a": [0]}))
    assert net.training and not net.n1.training
    assert done.model.training and not done.model.n1.training


def test_dropout_works_in_the_result() -> None:
    net = Net(
        lambda m, x: m.f(m.d(F.relu(m.a(x)).flatten(1))), a=conv(3, 8), d=nn.Dropout(0.5), f=nn.Linear(512, 4)
    ).double()
    network = capture(net, X)
    done = remove(net, network, Plan({"a": [1, 2]}))
    a, b = done.model.train()(X), done.model(X)
    assert not torch.equal(a, b)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_ambient_grad_mode_does_not_matter(mode: type) -> None:
    net = small()
    before = state_of(net)
    with mode():
        network = capture(net, X)
        plan = random_plan(network, np.random.default_rng(0))
        done = remove(net, network, plan)
        quiet = silence(net, network, plan)
    assert_untouched(net, before)
    assert difference(outputs(done.model, (X,)), outputs(quiet, (X,))) < EXACT
    assert all(p.requires_grad for p in done.model.parameters())


def test_gradients_of_the_caller_stay() -> None:
    net = small()
    gradients(net, (images((X,), 2, 0)[0],))
    net.eval()
    before = state_of(net)
    network = capture(net, X)
    remove(net, network, Plan({"a": [0, 3]}))
    assert_untouched(net, before)


def test_hooks_and_attributes_of_the_caller_stay() -> None:
    net = small()
    seen: list[int] = []
    net.a.register_forward_hook(lambda *_: seen.append(1))
    net.note = {"mine": 1}
    before = state_of(net)
    capture(net, X)
    assert_untouched(net, before)
    assert net.note == {"mine": 1}


def test_a_buffer_and_a_list_that_the_network_renews_are_put_back() -> None:
    """As ConViT's table of relative positions: as many entries as before, but other ones."""

    class Renewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.h = nn.Conv2d(3, 6, 1), nn.Linear(6, 4)
            self.register_buffer("table", torch.zeros(1))
            self.seen: list[object] = ["nothing"]

        def forward(self, x: Tensor) -> Tensor:
            self.table = torch.arange(float(x.shape[-1]), dtype=x.dtype)
            self.seen[0] = x.shape
            return self.h((self.a(x) + self.table).mean((2, 3)))

    net = Renewing().double().eval()
    table, before = net.table, state_of(net)
    network = capture(net, X)
    done = remove(net, network, Plan({"a": [0, 3]}))
    assert_untouched(net, before)
    assert net.table is table and net.seen == ["nothing"] and done.proof.max_rel < EXACT


def test_values_cached_by_the_network_do_not_confuse_the_next_capture() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.h = conv(3, 8), conv(8, 6), head(6)
            self.last: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            if self.last is not None and self.last.shape == y.shape:
                y = y + 0 * self.last
            self.last = y.detach()
            return self.h(self.b(y))

    net = Caching().double().eval()
    before = state_of(net)
    first = capture(net, X)
    assert net.last is None, "what the capture made is gone"
    assert_untouched(net, before)
    assert owners(first) == owners(capture(net, X)) == {"a": (8, True), "b": (6, True)}


def test_random_numbers_of_the_caller_are_not_used_up() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    net = Net(lambda m, x: m.h(F.dropout(m.a(x), 0.5, True)), a=conv(3, 8), h=head(8)).double()
    torch.manual_seed(3)
    network = capture(net, X)
    assert torch.equal(torch.rand(4), expected)
    assert network.groups


def test_an_error_inside_leaves_nothing_behind() -> None:
    class Breaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.n = conv(3, 8), nn.BatchNorm2d(8)

        def forward(self, x: Tensor) -> Tensor:
            self.n(self.a(x))
            raise ValueError("no further")

    net = Breaking().train()
    before = state_of(net)
    with pytest.raises(UserError, match="no further"):
        capture(net, image())
    assert_untouched(net, before)


# -- freezing, copying, undoing ---------------------------------------------------------------------------------------
def test_frozen_parameters_stay_frozen() -> None:
    net = small()
    net.a.requires_grad_(False)
    network = capture(net, X)
    done = check_plan(net, network, random_plan(network, np.random.default_rng(0)), (X,))
    assert not done.model.a.weight.requires_grad and done.model.b.weight.requires_grad


def test_a_fully_frozen_network_is_captured_as_well() -> None:
    frozen, free = small().requires_grad_(False), small()
    assert owners(capture(frozen, X)) == owners(capture(free, X))
    network = capture(frozen, X)
    done = check_plan(frozen, network, random_plan(network, np.random.default_rng(0)), (X,))
    assert not any(p.requires_grad for p in done.model.parameters())


def test_one_unfrozen_layer_inside_a_frozen_residual() -> None:
    net = Net(
        lambda m, x: m.h(F.relu(m.a(x)) + m.c(F.relu(m.b(m.a(x))))), a=conv(3, 8), b=conv(8, 6), c=conv(6, 8), h=head(8)
    )
    net.requires_grad_(False)
    net.b.requires_grad_(True)
    assert owners(check_exact(net, image(), form="module")) == {"a": (8, True), "b": (6, True)}


def test_a_capture_serves_many_plans_and_copies() -> None:
    """Undo is trivial: neither model nor network change, so another plan is simply another call."""
    net = small()
    network = capture(net, X)
    first = remove(net, network, Plan({"a": [0, 1], "b": [5]}))
    again = remove(copy.deepcopy(net), copy.deepcopy(network), Plan({"a": [0, 1], "b": [5]}))
    back = remove(net, network, Plan())
    assert torch.equal(first.model(X), again.model(X))
    assert torch.equal(back.model(X), net(X))


def test_pruning_twice_is_pruning_once() -> None:
    net = small()
    network = capture(net, X)
    once = remove(net, network, Plan({"a": [0, 1, 4]})).model
    half = remove(net, network, Plan({"a": [1]})).model
    twice = remove(half, capture(half, X), Plan({"a": [0, 3]})).model
    assert torch.equal(once.a.weight, twice.a.weight) and torch.equal(once(X), twice(X))


def test_the_result_shares_nothing_with_the_original() -> None:
    net = small()
    network = capture(net, X)
    for plan in (Plan(), Plan({"a": [0]})):
        for copied in (remove(net, network, plan).model, silence(net, network, plan)):
            mine = {t.untyped_storage().data_ptr() for t in [*net.parameters(), *net.buffers()]}
            theirs = {t.untyped_storage().data_ptr() for t in [*copied.parameters(), *copied.buffers()]}
            assert not mine & theirs


def test_state_reloads_into_a_freshly_built_network_from_the_plan_alone() -> None:
    net = small()
    network = capture(net, X)
    plan = random_plan(network, np.random.default_rng(5))
    done = remove(net, network, plan)
    file = io.BytesIO()
    torch.save(done.model.state_dict(), file)
    file.seek(0)
    fresh = small(seed=77)
    fresh = remove(fresh, capture(fresh, X), Plan.from_json(plan.to_json())).model
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh(X), done.model(X))


def test_batch_size_of_the_example_does_not_matter() -> None:
    net = small()
    one, many = capture(net, X), capture(net, images((X,), 4, 0)[0])
    assert owners(one) == owners(many)
    plan = random_plan(one, np.random.default_rng(0))
    assert one.cost(plan) == many.cost(plan)


def test_half_precision() -> None:
    net = small().to(torch.bfloat16)
    network = capture(net, X.to(torch.bfloat16))
    done = remove(net, network, Plan({"a": [0, 1]}))
    assert done.model.a.weight.dtype == torch.bfloat16 and done.proof.dtype == "float64"
    assert network.cost().size_bytes == sum(t.numel() * t.element_size() for t in net.state_dict().values())


# -- plans that do not fit --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ({"a": [-1]}, "0 to 7"),
        ({"a": [8]}, "0 to 7"),
        ({"a": [1, 1]}, "twice"),
        ({"a": list(range(8))}, "keep at least one"),
        ({"nowhere": [0]}, "no group named"),
        ({"h.2": [0]}, "no group named"),
    ],
)
def test_plans_that_do_not_fit_are_refused_everywhere(drop: dict[str, list[int]], message: str) -> None:
    net = small()
    network = capture(net, X)
    before = state_of(net)
    for use in (
        network.validate,
        network.cost,
        network.layer_costs,
        network.kept,
        lambda p: remove(net, network, p),
        lambda p: silence(net, network, p),
    ):
        with pytest.raises(UserError, match=message):
            use(Plan(drop))
    assert_untouched(net, before)


@pytest.mark.parametrize("units", [[0.5], ["a"], [None], [True, 2.5]])
def test_units_are_whole_numbers(units: list[object]) -> None:
    with pytest.raises((TypeError, ValueError, UserError)):
        Plan({"a": units})  # type: ignore[dict-item]  # that is the point


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', '{"a": ["x"]}', '{"a": [1.5]}', '"a"', "null"])
def test_texts_that_are_no_plan_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        Plan.from_json(text)


def test_plans_are_values() -> None:
    plan = Plan({"b": [2, 0], "a": [1], "c": []})
    assert plan == Plan({"a": (1,), "b": (0, 2)}) and hash(plan) == hash(Plan({"a": (1,), "b": (0, 2)}))
    assert plan.with_group("a", []) == Plan({"b": [0, 2]}) and plan["b"] == (0, 2)
    assert Plan.from_json(plan.to_json()) == plan


def test_another_network_is_refused() -> None:
    """A capture of one network is not applied to another one."""
    network = capture(small(), X)
    other = Net(lambda m, x: m.h(F.relu(m.a(x))), a=conv(3, 8), h=head(8)).double()
    with pytest.raises(UserError):
        remove(other, network, Plan({"a": [0], "b": [1]}))
    wider = Net(
        lambda m, x: m.h(F.relu(m.n2(m.b(F.relu(m.n1(m.a(x))))))),
        a=conv(3, 9),
        n1=nn.BatchNorm2d(9),
        b=conv(9, 6),
        n2=nn.BatchNorm2d(6),
        h=head(6),
    ).double()
    with pytest.raises(UserError):
        remove(wider, network, Plan({"a": [0], "b": [1]}))
