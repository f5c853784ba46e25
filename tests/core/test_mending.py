"""Mending: layers as matrices, least squares with a pull, and what a mended network keeps of the unpruned one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, capture, remove, silence
from pruning_core.mending import Mended, mend
from pruning_core.mending.equations import Equations, fitted
from pruning_core.mending.windows import Linear, drawn, read, written
from pruning_core.probe.readings import Reading, Readings

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(6, 5), (4, 6)),
    "tokens": (nn.Linear(6, 5, bias=False), (4, 7, 6)),
    "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1), (3, 4, 11)),
    "conv2d": (nn.Conv2d(4, 6, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1)), (3, 4, 9, 8)),
    "same": (nn.Conv2d(4, 6, 4, padding="same"), (3, 4, 6, 6)),
    "grouped": (nn.Conv2d(6, 8, 3, groups=2, padding=1), (3, 6, 5, 5)),
    "conv3d": (nn.Conv3d(2, 3, (1, 2, 3), padding=(0, 1, 1)), (2, 2, 3, 4, 5)),
    "up1d": (nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1), (3, 4, 6)),
    "up2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (3, 4, 5, 4)),
    "up2d dilated": (nn.ConvTranspose2d(3, 2, 2, stride=3, padding=2, dilation=2), (2, 3, 5, 5)),
    "up3d": (nn.ConvTranspose3d(2, 3, 2, stride=2), (2, 2, 3, 2, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_its_windows_times_its_matrices(name: str) -> None:
    torch.manual_seed(0)
    module, shape = LAYERS[name]
    module = module.double()
    weight, bias = module.weight, module.bias
    seen: list[Reading] = []
    with torch.no_grad(), Readings({"w": weight}, lambda _, reading: seen.append(reading)):
        module(torch.randn(*shape, dtype=torch.float64))
    (reading,) = seen
    layer = Linear(weight.detach(), reading)
    at = drawn(reading, shape[0], 5, seed=1)
    parts = [x @ w for x, w in zip(read(layer, at), layer.matrices(weight.detach()))]
    made = torch.cat(parts, dim=-1) + (0 if bias is None else bias.detach())
    assert torch.allclose(made, written(reading, at), atol=1e-12)
    assert torch.equal(layer.whole(layer.matrices(weight.detach())), weight.detach())


def test_a_pull_that_images_set_apart_choose_keeps_what_samples_do_not_decide() -> None:
    torch.manual_seed(0)
    old, true = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    few = torch.randn(4, 6, dtype=torch.float64)  # fewer rows than unknowns
    many = torch.randn(400, 6, dtype=torch.float64)
    free = fitted(Equations.of(many, many @ true + 3), Equations.of(many[:50], many[:50] @ true + 3), old)
    assert torch.allclose(free.weight, true, atol=1e-4) and torch.allclose(free.shift, torch.tensor(3.0).double())
    null = torch.linalg.svd(few).Vh[4:]  # directions in which nothing was seen
    held = fitted(Equations.of(few, few @ true), Equations.of(few, few @ true), old, shift=False)
    assert torch.allclose(null @ held.weight, null @ old, atol=1e-8)
    assert held.after < held.before


def test_noise_does_not_move_weights_that_were_right() -> None:
    torch.manual_seed(0)
    old = torch.randn(30, 1, dtype=torch.float64)
    x, fresh = torch.randn(34, 30, dtype=torch.float64), torch.randn(300, 30, dtype=torch.float64)
    noise = torch.randn(34, 1, dtype=torch.float64)
    fit = fitted(Equations.of(x, x @ old + noise), Equations.of(fresh, fresh @ old), old)
    plain = torch.linalg.lstsq(x, x @ old + noise).solution
    assert fit.pull >= 0.1 and (fit.weight - old).norm() < 0.5 * (plain - old).norm()


class Redundant(nn.Module):
    """Channels 4 to 7 of the first layer are sums of the first four; nothing in it is curved."""

    def __init__(self, *tail: nn.Module) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        mixed = torch.randn(4, 4)
        with torch.no_grad():
            self.a.weight[4:] = torch.einsum("ij,jchw->ichw", mixed, self.a.weight[:4])
            self.a.bias[4:] = mixed @ self.a.bias[:4]
        self.tail = nn.Sequential(*tail)

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.a(x))


TAILS: dict[str, Callable[[], tuple[nn.Module, ...]]] = {
    "convolution": lambda: (nn.Conv2d(8, 5, 3),),
    "no bias": lambda: (nn.Conv2d(8, 5, 3, bias=False),),
    "grouped": lambda: (nn.Conv2d(8, 6, 3, groups=2),),
    "transposed": lambda: (nn.ConvTranspose2d(8, 5, 2, stride=2),),
    "flattened": lambda: (nn.Flatten(), nn.Linear(8 * 36, 5)),
    "batch norm between": lambda: (nn.BatchNorm2d(8), nn.Conv2d(8, 5, 3)),
    "batch norm behind": lambda: (nn.Conv2d(8, 5, 3, bias=False), nn.BatchNorm2d(5)),
}


@pytest.mark.parametrize("name", TAILS)
def test_a_linear_network_with_redundant_channels_is_restored(name: str) -> None:
    torch.manual_seed(0)
    model = Redundant(*TAILS[name]()).double().eval()
    network = capture(model, torch.zeros(1, 3, 6, 6).double())
    key = next(g.key for g in network.groups if g.key == "a")
    plan = Plan({key: (1, 3)} if name == "grouped" else {key: (4, 5, 6, 7)})
    images, fresh = torch.randn(400, 3, 6, 6).double(), torch.randn(50, 3, 6, 6).double()
    done = mend(model, network, plan, images)
    small = remove(done.model, network, plan).model
    with torch.no_grad():
        wanted, cut, mended = model(fresh), silence(model, network, plan)(fresh), small(fresh)
    before, after = float((cut - wanted).norm()), float((mended - wanted).norm())
    assert done.unmended == {} and len(done.layers) == 1
    if name == "grouped":  # what remains of each part does not span the rest
        assert after < 0.8 * before
    else:
        assert after < 1e-4 * before  # the smallest pull is 1e-6 of the mean square


def digits() -> tuple[nn.Module, Network, Tensor, Tensor]:
    from pruning_core.datasets import load_splits
    from pruning_core.zoo import DEMOS, load_model

    loaded = load_model(DEMOS[0].ref)
    train, test = load_splits(DEMOS[0].data)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    return loaded.model, network, train.normalised(train.images[:256]), test.normalised(test.images)


@pytest.fixture(scope="module")
def demo() -> tuple[nn.Module, Network, Tensor, Tensor]:
    return digits()


def half(network: Network) -> Plan:
    return Plan({g.key: range(0, g.size, 2) for g in network.groups})


def test_mending_brings_a_trained_network_nearer_on_fresh_images(
    demo: tuple[nn.Module, Network, Tensor, Tensor],
) -> None:
    model, network, images, fresh = demo
    plan = half(network)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    done = mend(model, network, plan, images)
    removal = remove(done.model, network, plan, fresh[:4])
    with torch.no_grad():
        wanted = model(fresh).argmax(1)
        cut = (silence(model, network, plan)(fresh).argmax(1) == wanted).float().mean()
        mended = (removal.model(fresh).argmax(1) == wanted).float().mean()
    assert removal.proof.exact and mended > cut + 0.2 and mended > 0.8
    assert all(layer.after < layer.before for layer in done.layers)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert done.norms > 0 and done.images == 256


def test_the_same_seed_gives_the_same_weights(demo: tuple[nn.Module, Network, Tensor, Tensor]) -> None:
    model, network, images, _ = demo
    first, second = (mend(model, network, half(network), images[:40], seed=3).model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_removing_dead_channels_changes_nothing(demo: tuple[nn.Module, Network, Tensor, Tensor]) -> None:
    model, network, images, fresh = demo
    group = network.groups[0]
    with torch.no_grad():
        dead = mend(model, network, Plan({group.key: (0, 1)}), images).model  # reads units 0 and 1 with zeros
        again = mend(dead, network, Plan({group.key: (0, 1)}), images)
        assert torch.allclose(again.model(fresh), dead(fresh), atol=1e-4)


def test_a_plan_that_removes_nothing_changes_nothing(demo: tuple[nn.Module, Network, Tensor, Tensor]) -> None:
    model, network, images, _ = demo
    done = mend(model, network, Plan(), images[:16])
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in done.model.state_dict().items())
    assert done.layers == () and done.norms == 0


@pytest.mark.parametrize("shift", [True, False])
def test_as_many_samples_as_unknowns_and_nothing_lost_leave_the_weights(shift: bool) -> None:
    torch.manual_seed(0)
    old, constant = torch.randn(12, 3, dtype=torch.float64), 2.0 * shift
    x, fresh = torch.randn(12, 12, dtype=torch.float64), torch.randn(12, 12, dtype=torch.float64)
    parts = [Equations.of(rows, rows @ old + constant) for rows in (x, fresh)]
    found = fitted(*parts, old, shift=shift)
    assert torch.allclose(found.weight, old, atol=1e-9)
    assert torch.allclose(found.shift, torch.full((3,), constant, dtype=torch.float64), atol=1e-9)
    moved = fitted(*parts, old + 1, shift=shift)
    assert not torch.allclose(moved.weight, old + 1, atol=1e-2), "weights that are wrong do move"


def test_cancelling_on_the_way_leaves_nothing(demo: tuple[nn.Module, Network, Tensor, Tensor]) -> None:
    model, network, images, fresh = demo
    with torch.no_grad():
        before = model(fresh)

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("refitting") and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mend(model, network, half(network), images[:32], report=stop)
    with torch.no_grad():
        assert torch.equal(model(fresh), before)
    assert not any("forward" in module.__dict__ for module in model.modules())


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.end = nn.Linear(6, 16), nn.Linear(16, 3)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        t = self.embed(x)
        return self.end(t + self.attention(t, t, t, need_weights=False)[0])


def test_the_output_projection_of_attention_is_refitted() -> None:
    torch.manual_seed(0)
    model = Attending().eval()
    network = capture(model, torch.zeros(1, 5, 6))
    heads = next(g for g in network.groups if any("out_proj" in m.parameter for m in g.consumers))
    done = mend(model, network, Plan({heads.key: (0,)}), torch.randn(200, 5, 6))
    assert [layer.weight for layer in done.layers] == ["attention.out_proj.weight"]
    assert done.layers[0].after < done.layers[0].before
    assert isinstance(done.model.attention, nn.MultiheadAttention), "the caller's kind of module comes back"


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.shared, self.end = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.shared(self.shared(self.a(x).relu()).relu()).relu())


def test_a_layer_that_cannot_be_mended_is_named() -> None:
    torch.manual_seed(0)
    model = Twice().eval()
    network = capture(model, torch.zeros(1, 5))
    key = network.groups[0].key
    done: Mended = mend(model, network, Plan({key: (0, 1)}), torch.randn(64, 5))
    assert "several times" in done.unmended["shared.weight"]
    small = remove(done.model, network, Plan({key: (0, 1)}))
    assert small.proof.exact


def test_a_single_image_is_refused(demo: tuple[nn.Module, Network, Tensor, Tensor]) -> None:
    model, network, images, _ = demo
    with pytest.raises(UserError, match="at least two"):
        mend(model, network, half(network), images[:1])
