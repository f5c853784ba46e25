"""Every measure: what its numbers are, worked by hand, and that its interval holds what it should."""

from __future__ import annotations

import pytest
import torch

from pruning_core.measuring.bootstrap import counts
from pruning_core.measuring.measures import Drop
from pruning_core.measuring.registry import BY_KEY, MEASURES


def outputs(measure, images=200, seed=0):
    """(outputs, targets) that ``measure`` can judge: something like what it compares them with, and noise."""
    generator = torch.Generator().manual_seed(seed)
    shape = (images, 4, 3, 3) if measure.reads(4, (3, 3), False) and not measure.reads(4, (), True) else (images, 4)
    first = torch.randn(shape, generator=generator)
    targets = measure.target(first) if measure.against.name == "NETWORK" else first.argmax(1)
    return first + 0.5 * torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1)), targets


@pytest.mark.parametrize("measure", MEASURES, ids=lambda each: each.key)
def test_every_measure_keeps_its_promises(measure):
    assert measure.name and measure.says and BY_KEY[measure.key] is measure
    given, targets = outputs(measure)
    rows = measure.rows(given, targets)
    assert rows.shape[0] == 200 and rows.dtype == torch.float64
    value, low, high = measure.of(rows)
    assert low < value < high
    noisier = measure.rows(given + 2 * torch.randn(given.shape, generator=torch.Generator().manual_seed(9)), targets)
    drop = measure.drop(rows, noisier)
    assert drop.drop > 0 and not drop.within_noise and drop.measure == measure.key, "noise makes it worse"
    back = measure.drop(noisier, rows)
    assert back.drop == pytest.approx(-drop.drop) and back.high < 0
    assert measure.drop(rows, rows).within_noise
    assert measure.better(value) == (value if measure.rises else -value)
    given = given.double().requires_grad_()
    measure.loss(given, targets).backward()
    assert float(given.grad.abs().sum()) > 0, "a training can follow it"


def test_an_interval_narrows_with_images_and_covers_the_truth():
    measure = BY_KEY["cosine"]
    misses, widths = 0, []
    for seed in range(100):
        _, low, high = measure.of(torch.randn(60, 1, generator=torch.Generator().manual_seed(seed)).double())
        misses += not low <= 0 <= high
        widths.append(high - low)
    assert misses <= 14, "95 % intervals of 60 images, a hundred times"
    _, low, high = measure.of(torch.randn(600, 1, generator=torch.Generator().manual_seed(3)).double())
    assert high - low < 0.5 * sum(widths) / len(widths)


def test_the_counts_of_an_image_do_not_depend_on_how_many_follow():
    assert torch.equal(counts(700)[:, :30], counts(1500)[:, :30]) and counts(1500).shape == (400, 1500)
    assert (counts(1).sum(1) == torch.maximum(counts(2)[:, 0], torch.ones(400))).float().mean() > 0.6
    assert bool((counts(1).sum(1) > 0).all()), "no draw is of nothing"


def test_by_hand():
    error, cosine = BY_KEY["output_error"], BY_KEY["cosine"]
    given, wanted = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert error.of(error.rows(given, wanted))[0] == pytest.approx((32 / 25) ** 0.5)
    assert cosine.rows(given, wanted)[0].item() == pytest.approx(0.6)
    zeros = torch.zeros(2, 2)
    assert error.of(error.rows(zeros, zeros))[0] == 0, "nothing is as far from nothing as can be"
    places = BY_KEY["place_agreement"]
    scores = torch.eye(2).view(1, 2, 2, 1)  # class 0 at the first place, class 1 at the second
    assert places.rows(scores, torch.tensor([[[0], [0]]])).item() == 0.5
    alike = BY_KEY["agreement"]
    drop = alike.drop(torch.ones(10, 1), torch.tensor([[1.0]] * 7 + [[0.0]] * 3))
    assert isinstance(drop, Drop) and (drop.lost, drop.gained, drop.images) == (3, 0, 10)
    divergence = BY_KEY["divergence"]
    half, sure = torch.zeros(1, 2), torch.tensor([[0.0, -40.0]])
    assert divergence.rows(half, sure).item() == pytest.approx(torch.log(torch.tensor(2.0)).item(), rel=1e-6)
