"""The recorded program as an ordinary module: it trains, saves, moves, exports and takes any batch."""

import copy
import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from pruning_core.graph import Plan, Removal, capture, remove, silence
from tests.core.graph_checks import EXACT, Net, difference, head, images, outputs, random_plan, randomise
from tests.core.graph_zoo import build


def conv(i: int, o: int, k: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **options)  # type: ignore[arg-type]  # options are keyword arguments


def shuffling() -> Net:
    """Sizes written in the code, batch norm, dropout, a constant permutation and positions made on the way."""

    def body(m: Net, x: Tensor) -> Tensor:
        y = F.relu(m.n(m.a(x)))
        left, right = y.split([8, 4], 1)
        y = torch.cat([m.b(left), right], 1)[:, [3, 1, 0, 2, 7, 6, 5, 4, 11, 10, 9, 8]]
        y = y + torch.linspace(0, 1, 8, dtype=x.dtype, device=x.device)
        y = y * torch.ones(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device)
        return m.h(m.d(y.view(-1, 12, 8, 8)))

    return Net(body, a=conv(3, 12), n=nn.BatchNorm2d(12), b=conv(8, 8), d=nn.Dropout(0.5), h=head(12))


def pruned(model: nn.Module, x: Tensor, seed: int = 0) -> tuple[Removal, nn.Module, Plan]:
    model = randomise(model).double().eval()
    network = capture(model, x)
    plan = random_plan(network, np.random.default_rng(seed), share=0.4)
    done = remove(model, network, plan)
    assert done.form == "program" and isinstance(done.model, fx.GraphModule) and done.notes
    return done, silence(model, network, plan), plan


X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_any_batch_size() -> None:
    done, quiet, _ = pruned(shuffling(), X)
    for batch in (1, 2, 3, 7):
        x = images((X,), batch, batch)
        assert difference(outputs(done.model, x), outputs(quiet, x)) < EXACT


def test_it_trains_with_batch_norm_and_dropout_respected() -> None:
    done, _, _ = pruned(shuffling(), X)
    program = done.model.train()
    before = program.n.running_mean.clone()
    x = images((X,), 16, 1)[0]
    y = torch.arange(16) % 5
    assert not torch.equal(program(x), program(x)), "dropout is active while training"
    assert not torch.equal(program.n.running_mean, before), "batch norm follows the data while training"
    optimizer = torch.optim.Adam(program.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(program(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
    program.eval()
    assert torch.equal(program(x), program(x))


def test_its_state_reloads_from_the_plan_alone() -> None:
    done, _, plan = pruned(shuffling(), X)
    with torch.no_grad():
        for parameter in done.model.parameters():
            parameter.mul_(1.1)
    file = io.BytesIO()
    torch.save(done.model.state_dict(), file)
    file.seek(0)
    fresh = randomise(shuffling(), seed=9).double().eval()
    again = remove(fresh, capture(fresh, X), plan).model
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again(X), done.model(X))
    assert {n for n, _ in again.named_parameters()} == {n for n, _ in fresh.named_parameters()}, "names stay"


def test_it_moves_to_another_device_as_a_whole() -> None:
    """The meta device refuses to meet tensors of any other: nothing is left behind, and no device is written in."""
    done, _, _ = pruned(shuffling(), X)
    moved = copy.deepcopy(done.model).to("meta")
    assert moved(torch.empty(4, 3, 8, 8, dtype=torch.float64, device="meta")).shape == (4, 5)


def test_it_changes_precision_as_a_whole() -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        return m.h(m.b(m.a(x))[:, [2, 0, 1, 3]].view(-1, 4, 8, 8))

    done, quiet, _ = pruned(Net(body, a=conv(3, 6), b=conv(6, 4), h=head(4)), X)
    assert difference(outputs(done.model.float(), (X.float(),)), outputs(quiet.float(), (X.float(),))) < 1e-5


def test_it_exports_for_any_batch() -> None:
    done, _, _ = pruned(shuffling(), X)
    example = images((X,), 2, 0)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(done.model, example, dynamic_shapes=({0: batch},)).module()
    for size in (2, 5):
        x = images((X,), size, size)
        assert difference(outputs(exported, x), outputs(done.model, x)) < EXACT


def attending() -> Net:
    def body(m: Net, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = m.qkv(x).view(n, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
        return m.f(F.gelu(m.p(y)).mean(1))

    return Net(body, qkv=nn.Linear(12, 36), p=nn.Linear(12, 10), f=nn.Linear(10, 4))


@pytest.mark.parametrize("name", ["attention", pytest.param("swin_t", marks=pytest.mark.slow)])
def test_it_exports_with_fewer_heads(name: str) -> None:
    model, x = (
        (attending(), torch.randn(1, 5, 12)) if name == "attention" else (build(name, 64), torch.randn(1, 3, 64, 64))
    )
    done, quiet, _ = pruned(model, x.double())
    example = images((x.double(),), 2, 3)
    exported = torch.export.export(done.model, example).module()
    assert difference(outputs(exported, example), outputs(quiet, example)) < EXACT
    assert all(p.grad is None and p.requires_grad for p in done.model.parameters())


def test_frozen_parameters_stay_frozen() -> None:
    net = shuffling()
    net.b.requires_grad_(False)
    done, _, _ = pruned(net, X)
    assert {n for n, p in done.model.named_parameters() if not p.requires_grad} == {"b.weight", "b.bias"}


def test_numbers_decided_by_data_are_refused_in_a_program() -> None:
    """As a module the decision stays code; as a program it would be frozen, so that form is not offered."""

    def body(m: Net, x: Tensor) -> Tensor:
        y = m.a(x)
        y = y * 2 if float(y.mean()) > 0 else y * 3
        return m.h(m.b(y.view(-1, 12, 8, 8)))

    net = randomise(Net(body, a=conv(3, 12), b=conv(12, 6), h=head(6))).double().eval()
    network = capture(net, X)
    done = remove(net, network, random_plan(network, np.random.default_rng(0), keys=["b"]))
    assert done.form == "module"


@pytest.mark.parametrize("value", [0, 1, 2.5])
def test_fills_that_grow_with_the_batch(value: float) -> None:
    def body(m: Net, x: Tensor) -> Tensor:
        y = torch.full((x.shape[0], 12, 8, 8), value, dtype=x.dtype)
        rows = torch.arange(x.shape[0], dtype=x.dtype)[:, None, None, None]
        return m.h(m.b(m.a(x).view(-1, 12, 8, 8) * 2 + y + 0 * rows))

    done, quiet, _ = pruned(Net(body, a=conv(3, 12), b=conv(12, 6), h=head(6)), X)
    for batch in (1, 4):
        x = images((X,), batch, batch)
        assert difference(outputs(done.model, x), outputs(quiet, x)) < EXACT


@pytest.mark.parametrize("name", ["small_swin", pytest.param("small_maxvit", marks=pytest.mark.slow)])
def test_a_program_of_a_real_network_is_an_ordinary_module(name: str) -> None:
    """Trained, exported, moved and cast as a whole, at other batch sizes too."""
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    done, quiet, _ = pruned(build(name, 32), x)
    program = done.model
    for batch in (1, 3):
        other = images((x,), batch, batch)
        assert difference(outputs(program, other), outputs(quiet, other)) < EXACT
    assert copy.deepcopy(program).to("meta")(torch.empty(2, 3, 32, 32, dtype=torch.float64, device="meta")).is_meta
    single = outputs(copy.deepcopy(program).float(), (x.float(),))
    assert single[0].dtype == torch.float32 and difference(single, outputs(quiet, (x,))) < 1e-4
    exported = torch.export.export(program, images((x,), 2, 0), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    other = images((x,), 3, 5)
    assert difference(outputs(exported.module(), other), outputs(program, other)) < EXACT
    program.float().train()
    inputs, classes = images((x.float(),), 8, 1)[0], torch.arange(8)
    optimizer = torch.optim.Adam(program.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(program(inputs), classes)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-3:]) < 0.95 * losses[0], losses


class Shuffling(nn.Module):
    """Writes the sizes that it meets into a reshape: a program recorded on a large image takes no small one."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 8, 3, 4), nn.Conv2d(8, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x).relu()
        n, _, h, w = y.shape
        y = y.view(n, 2, 4, h, w).transpose(1, 2).reshape(n, 8, h, w)
        return self.head(self.b(y).relu().mean((2, 3)))


@pytest.mark.parametrize("side", [64, 128])
def test_a_program_is_proved_on_images_as_large_as_it_was_recorded_on(side: int) -> None:
    torch.manual_seed(0)
    model = Shuffling().eval()
    network = capture(model, torch.zeros(1, 3, side, side))
    plan = Plan({group.key: range(group.size // 2) for group in network.groups})
    removal = remove(model, network, plan)
    assert removal.form == "program" and removal.proof.exact and not removal.proof.unproven
    x = torch.rand(3, 3, side, side)
    assert torch.allclose(removal.model(x), silence(model, network, plan)(x), atol=1e-5)


class Aided(nn.Module):
    """A second head that only trains, and only on images that are large enough."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, 8), nn.Conv2d(8, 6, 1), nn.Conv2d(8, 6, 9)
        self.head, self.other = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y = self.a(x).relu()
        out = self.head(self.b(y).relu().mean((2, 3)))
        return (out, self.other(self.c(y).relu().mean((2, 3)))) if self.training else out


def test_what_only_trains_is_proved_on_images_that_it_takes() -> None:
    torch.manual_seed(0)
    model = Aided().eval()
    network = capture(model, torch.zeros(1, 3, 128, 128))
    assert "c" in {group.key for group in network.groups}
    removal = remove(model, network, Plan({group.key: range(group.size // 2) for group in network.groups}))
    assert removal.proof.exact and not removal.proof.unproven
