"""Optimal brain surgeon over channels: what it must say where the answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pruning_core.criteria import ChannelSurgeon, NotScorable, Site
from pruning_core.criteria.surgeon import MIXES, removal_losses
from pruning_core.probe.samples import Samples

SMALL = 1e-5  # a pull that hardly holds anything


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(rows: int, columns: int) -> Tensor:
    return torch.linalg.qr(drawn(rows, columns)).Q


def refitted(x: Tensor, weight: Tensor, kept: list[int]) -> float:
    """What the best weights of ``kept`` channels leave of the output, by a solver of its own."""
    wanted = x.flatten(1) @ weight.flatten(0, 1)
    part = x[:, kept].flatten(1)
    return float((part @ (torch.linalg.pinv(part) @ wanted) - wanted).square().sum() / wanted.square().sum())


def test_orthogonal_channels_go_by_what_they_add_and_lose_just_that() -> None:
    x = orthogonal(40, 4)[:, :, None]
    sizes = torch.tensor([3.0, 1.0, 4.0, 2.0], dtype=torch.float64)
    scores = removal_losses([(x, sizes[:, None, None])], SMALL)
    assert scores.argsort().tolist() == [1, 3, 0, 2]
    energies = sizes.square() / sizes.square().sum()
    assert torch.allclose(scores.sort().values, energies.sort().values.cumsum(0), rtol=1e-4)


def test_of_two_equal_channels_one_is_free_and_the_other_then_costs_what_both_made() -> None:
    base = orthogonal(30, 3)
    x = torch.stack([base[:, 0], base[:, 1], base[:, 0], base[:, 2]], dim=1)[..., None]
    weight = torch.tensor([5.0, 1.0, 5.0, 1.5], dtype=torch.float64)[:, None, None]
    scores = removal_losses([(x, weight)], SMALL)
    assert scores.argsort().tolist()[0] in (0, 2) and float(scores.min()) < 1e-4
    twin = 2 if int(scores.argmin()) == 0 else 0
    whole = 10.0**2 + 1.0 + 1.5**2
    assert int(scores.argmax()) == twin, "the one that stays has taken over, so it goes last although both were alike"
    assert float(scores[1]) == pytest.approx(1.0 / whole, rel=2e-3)
    assert float(scores[3]) == pytest.approx((1.0 + 1.5**2) / whole, rel=2e-3)


@pytest.mark.parametrize(("rows", "channels", "entries"), [(300, 6, 3), (9, 6, 3)], ids=["many samples", "few samples"])
def test_every_loss_is_that_of_the_best_refit(rows: int, channels: int, entries: int) -> None:
    x = drawn(rows, channels, entries) @ drawn(entries, entries, seed=1) + 0.5 * drawn(rows, 1, entries, seed=2)
    weight = drawn(channels, entries, 5, seed=3)
    given = x.clone(), weight.clone()
    scores = removal_losses([(x, weight)], SMALL)
    assert torch.equal(x, given[0]) and torch.equal(weight, given[1]), "samples may be read by others too"
    order = scores.argsort().tolist()
    for gone in range(1, channels):
        left = refitted(x, weight, sorted(order[gone:]))
        assert float(scores[order[gone - 1]]) == pytest.approx(left, rel=1e-3, abs=1e-4)
    first = min(range(channels), key=lambda c: refitted(x, weight, [k for k in range(channels) if k != c]))
    if rows > channels * entries:
        assert order[0] == first


def test_layers_that_read_the_same_channels_count_alike() -> None:
    x = orthogonal(40, 3)[:, :, None]
    first, second = (torch.tensor(w, dtype=torch.float64)[:, None, None] for w in ([3.0, 1.0, 1.0], [1.0, 1.5, 4.0]))
    loud = removal_losses([(x, first), (100 * x, 1000 * second)], SMALL)
    assert torch.allclose(loud, removal_losses([(x, first), (x, second)], SMALL), rtol=1e-4)
    assert loud.argsort().tolist()[0] == 1


def test_many_outputs_are_mixed_and_keep_the_order_of_clear_losses() -> None:
    x = orthogonal(60, 4)[:, :, None]
    weight = drawn(4, 1, 5 * MIXES) * torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)[:, None, None]
    scores = removal_losses([(x, weight)], SMALL)
    assert scores.argsort().tolist() == [0, 1, 2, 3]
    assert float(scores[3]) == pytest.approx(1.0, rel=0.35)
    assert torch.equal(scores, removal_losses([(x, weight)], SMALL))


def test_what_is_never_read_goes_first_and_nothing_breaks() -> None:
    x = drawn(50, 4, 2)
    x[:, 2] = 0
    scores = removal_losses([(x, drawn(4, 2, 3))], 1e-3)
    assert int(scores.argmin()) == 2 and bool(torch.isfinite(scores).all()) and len(set(scores.tolist())) == 4
    nothing = removal_losses([(torch.zeros(5, 3, 1, dtype=torch.float64), drawn(3, 1, 2))])
    assert bool(torch.isfinite(nothing).all())


def test_the_criterion_reads_samples_and_says_what_it_lacks() -> None:
    x = orthogonal(40, 3)[:, :, None]
    samples = Samples(x, torch.tensor([3.0, 1.0, 2.0], dtype=torch.float64)[:, None, None], torch.zeros(40, 1))
    scores = ChannelSurgeon().score(Site(weight=torch.zeros(3, 1), samples=(samples,)))
    assert scores.argsort().tolist() == [1, 2, 0]
    with pytest.raises(NotScorable, match="could not be sampled"):
        ChannelSurgeon().score(Site(weight=torch.zeros(2, 1)))
