"""Every measure: what its numbers are, worked by hand, and that its interval holds what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    jaccard_score,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from pruning_core.measuring.bootstrap import counts
from pruning_core.measuring.measure import Against
from pruning_core.measuring.measures import Drop
from pruning_core.measuring.registry import BY_KEY, MEASURES
from pruning_core.numeric.box_layout import Form, Layout, Says
from pruning_core.numeric.detections import Decoder


def outputs(measure, images=200, seed=0):
    """(outputs, targets) that ``measure`` can judge: something like what it compares them with, and noise."""
    generator = torch.Generator().manual_seed(seed)
    pictures, places = measure.key in ("psnr", "ssim"), not measure.reads(8, (), True)
    sides = () if not places else (3, 3) if measure.reads(8, (3, 3), False) else (9,)
    shape = (images, 3, 12, 12) if pictures else (images, 8, *sides)
    first = torch.rand(shape, generator=generator) if pictures else torch.randn(shape, generator=generator)
    noise = (0.05 if pictures else 0.5) * torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1))
    match measure.against:
        case Against.NETWORK:
            return first + noise, measure.target(first)
        case Against.BOXES:
            return detections(generator, images)
        case Against.TARGETS:
            yes = (first > 0).float()
            return first + noise, first if measure.wants(first) else yes
    return first + noise, first.argmax(1)


def detections(generator, images):
    """Candidates (N, 20, 4 + 8) whose first are of the three things (N, 3, 6) in each image, more or less."""
    low = 0.6 * torch.rand(images, 20, 2, generator=generator)
    boxes = torch.cat([low, low + 0.3], 2)
    kinds = torch.randint(0, 8, (images, 3), generator=generator)
    scores = torch.randn(images, 20, 8, generator=generator) - 2
    scores[:, :3] += 4 * torch.nn.functional.one_hot(kinds, 8)
    told = torch.cat([boxes[:, :3] + 0.02, kinds[..., None], torch.zeros(images, 3, 1)], 2)
    return torch.cat([boxes, scores], 2), told


@pytest.mark.parametrize("measure", MEASURES, ids=lambda each: each.key)
def test_every_measure_keeps_its_promises(measure):
    assert measure.name and measure.says and BY_KEY[measure.key] is measure
    measure = measure.read_by(Decoder(Layout(form=Form.CORNERS, pixels=False, says=Says.SIGMOID), (10, 10), 8))
    assert (measure is BY_KEY[measure.key]) == (measure.against is not Against.BOXES)
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
    told = torch.tensor([[[0.5, 0.9, 0.2], [0.5, 0.1, 0.8]]]).log()  # shares of two tokens at each of three positions
    right, open_to = BY_KEY["positions_right"], BY_KEY["perplexity"]
    wanted = torch.tensor([[1, 0, -100]])
    assert open_to.of(open_to.rows(told, wanted))[0] == pytest.approx((1 / (0.5 * 0.9)) ** 0.5)
    assert right.of(right.rows(told, torch.tensor([[1, 1, 1]])))[0] == pytest.approx(1 / 3)
    assert open_to.whole(torch.tensor([[0, 1], [0, 1]])) == pytest.approx(1), (
        "two as likely as each other, less the one"
    )
    alike = BY_KEY["agreement"]
    drop = alike.drop(torch.ones(10, 1), torch.tensor([[1.0]] * 7 + [[0.0]] * 3))
    assert isinstance(drop, Drop) and (drop.lost, drop.gained, drop.images) == (3, 0, 10)
    divergence = BY_KEY["divergence"]
    half, sure = torch.zeros(1, 2), torch.tensor([[0.0, -40.0]])
    assert divergence.rows(half, sure).item() == pytest.approx(torch.log(torch.tensor(2.0)).item(), rel=1e-6)


def test_landmarks_by_hand():
    wanted = torch.tensor([[0.0, 0.0, 4.0, 9.0], [1.0, 1.0, 2.0, 2.0]])  # boxes of 4 × 9 and 1 × 1
    given = wanted + torch.tensor([[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5]])
    assert BY_KEY["nme"].rows(given, wanted).flatten().tolist() == pytest.approx([2.5 / 6, 0.25])
    assert not BY_KEY["nme"].wants(torch.tensor([[1.0, 1.0, 1.0, 2.0]])), "a box without width says no size"


def test_a_tolerance_is_a_share_of_what_a_network_that_does_not_look_would_lose():
    wanted = torch.tensor([[0.0, 10.0], [4.0, 10.0]])
    assert BY_KEY["mae"].whole(wanted) == pytest.approx(1.0) and BY_KEY["mae"].whole(100 * wanted) == pytest.approx(100)
    assert BY_KEY["mse"].whole(wanted) == pytest.approx(2.0)
    assert BY_KEY["mae"].whole(torch.ones(9, 2)) == 1.0, "targets that do not differ tell no size"
    near = torch.tensor([[10.0, 0.0], [10.0, 1.0]])
    assert 0 < BY_KEY["cosine"].whole(near) < 0.01 < BY_KEY["cosine"].whole(torch.eye(2))
    assert BY_KEY["psnr"].whole(wanted) == 25 and BY_KEY["top1"].whole(torch.tensor([0, 1])) == 1


def value(key, given, wanted) -> float:
    measure = BY_KEY[key]
    return measure.of(measure.rows(given, wanted))[0]


def test_as_scikit_learn_says():
    generator = torch.Generator().manual_seed(4)
    wanted = torch.randn(90, 6, generator=generator)
    given = wanted + torch.randn(90, 6, generator=generator)
    assert value("r2", given, wanted) == pytest.approx(r2_score(wanted, given), rel=1e-5)
    assert value("mae", given, wanted) == pytest.approx(mean_absolute_error(wanted, given), rel=1e-5)
    assert value("mse", given, wanted) == pytest.approx(float((given - wanted).square().mean()), rel=1e-5)
    yes, scores = (wanted > 0.5).float(), given.round(decimals=1)  # with ties
    assert value("auc", scores, yes) == pytest.approx(roc_auc_score(yes, scores), rel=1e-6)
    assert value("map", scores, yes) == pytest.approx(average_precision_score(yes, scores), rel=1e-6)
    assert value("binary_accuracy", given, yes) == pytest.approx(float(((given > 0) == (yes == 1)).float().mean()))
    assert value("binary_accuracy", given.sigmoid(), yes) == pytest.approx(value("binary_accuracy", given, yes))
    assert value("auc", given[:, :1], yes[:, 0]) == pytest.approx(roc_auc_score(yes[:, 0], given[:, 0]))


def test_the_mean_of_recalls_as_scikit_learn_says():
    generator = torch.Generator().manual_seed(6)
    labels = torch.cat([torch.zeros(150), torch.full((30,), 1), torch.full((12,), 4)]).long()  # none of 2 and 3
    scores = torch.randn(192, 5, generator=generator) + 2 * torch.nn.functional.one_hot(labels, 5)
    balanced = BY_KEY["balanced"]
    rows = balanced.rows(scores, labels)
    found, low, high = balanced.of(rows)
    assert found == pytest.approx(balanced_accuracy_score(labels, scores.argmax(1)), rel=1e-12)
    said = np.random.RandomState(0).randint(0, 192, (400, 192))
    drawn = [balanced_accuracy_score(labels[at], scores[at].argmax(1)) for at in map(torch.from_numpy, said)]
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.03)
    first = balanced.rows(torch.eye(3)[[0, 1, 1, 0]], torch.tensor([0, 1, 1, 1]))
    assert balanced.of(first)[0] == pytest.approx((1 + 2 / 3) / 2), "by hand"
    assert balanced.worth(labels) and not balanced.worth(torch.arange(10).repeat(9))


def test_a_question_without_a_yes_in_a_sample_does_not_count_there():
    scores, yes = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(20, 2)
    yes[:10, 0] = 1  # the second question has no yes at all
    found, low, high = BY_KEY["auc"].of(BY_KEY["auc"].rows(scores, yes))
    assert found == pytest.approx(roc_auc_score(yes[:, 0], scores[:, 0])) and low <= found <= high


def test_places_nobody_labelled_do_not_count():
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(7, 4, 5, 6, generator=generator)
    labels = torch.randint(0, 3, (7, 5, 6), generator=generator).byte()
    labels[:, 0] = 255
    known = labels != 255
    said, right = scores.argmax(1)[known].numpy(), labels[known].numpy()
    assert value("pixel_accuracy", scores, labels) == pytest.approx(float(np.mean(said == right)))
    assert value("miou", scores, labels) == pytest.approx(jaccard_score(right, said, average="macro"))
    silent = scores.clone().requires_grad_()
    BY_KEY["miou"].loss(silent, labels).backward()
    assert float(silent.grad[:, :, 0].abs().sum()) == 0 < float(silent.grad[:, :, 1:].abs().sum())


def test_pictures_by_hand():
    picture = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    assert value("psnr", picture + 0.1, picture) == pytest.approx(20.0, rel=1e-4)
    assert value("psnr", picture, picture) == 100.0 and value("ssim", picture, picture) == pytest.approx(1.0)
    other = (picture + 0.2 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    at = np.arange(11) - 5
    bell = np.exp(-(at**2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / np.outer(bell, bell).sum()
    found = []
    for x, y in zip(picture.double().numpy()[:, 0], other.double().numpy()[:, 0]):
        for row in range(6):
            for column in range(6):
                a, b = x[row : row + 11, column : column + 11], y[row : row + 11, column : column + 11]
                p, q = (window * a).sum(), (window * b).sum()
                u, v, w = ((window * c).sum() for c in ((a - p) ** 2, (b - q) ** 2, (a - p) * (b - q)))
                found.append((2 * p * q + 1e-4) * (2 * w + 9e-4) / ((p * p + q * q + 1e-4) * (u + v + 9e-4)))
    assert value("ssim", other, picture) == pytest.approx(np.mean(found), rel=1e-6)
