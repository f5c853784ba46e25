"""Which images are computed again precisely."""

import pytest
import torch
from torch import Tensor

from pruning_core.replay.recheck import FINE, SAMPLE, error_of, rechecked


def scores(images: int = 40) -> Tensor:
    """Two classes, further and further apart: the lead of image i, as a share of its largest score, is i / 20."""
    lead = torch.arange(images) / 20
    return torch.stack([lead / 2, -lead / 2, torch.full((images,), -1.0)], 1)


def again(sure: Tensor, asked: list[int]):
    def compute(rows: Tensor) -> Tensor:
        asked.extend(rows.tolist())
        return sure[rows]

    return compute


def test_clear_images_keep_their_quick_scores_and_close_ones_are_computed_again():
    sure = scores()
    rough = sure + 1e-6
    rough[:, 1] += 1e-3
    asked: list[int] = []
    found, error = rechecked(rough, 0.3, again(sure, asked))
    close = ((rough[:, 0] - rough[:, 1]) / (rough - rough.mean(1, keepdim=True)).abs().amax(1) < 0.6).sum()
    assert asked == list(range(int(close))) and len(asked) > SAMPLE and error == 0.3
    assert torch.equal(found[asked], sure[asked]) and torch.equal(found[len(asked) :], rough[len(asked) :])


def test_a_sample_is_looked_at_and_its_error_widens_the_search():
    sure = scores()
    rough = sure.clone()
    rough[:, 1] += 0.3  # the quick scores are far off, which the unpruned network did not show
    asked: list[int] = []
    found, error = rechecked(rough, 0.0, again(sure, asked))
    assert len(asked) > SAMPLE and error >= error_of(rough[:SAMPLE], sure[:SAMPLE]) > 0.1
    assert torch.equal(found.argmax(1), sure.argmax(1))


@pytest.mark.parametrize(("known", "looked"), [(None, SAMPLE), (2 * FINE, SAMPLE), (FINE / 2, 0)])
def test_a_removal_known_to_err_little_needs_no_sample(known, looked):
    sure = scores()[10:]  # no image is close
    asked: list[int] = []
    found, error = rechecked(sure.clone(), 1e-6, again(sure, asked), known)
    assert len(asked) == looked and error == max(1e-6, known or 0) and torch.equal(found, sure)


def test_what_was_given_is_left_as_it_is():
    sure = scores()
    rough = sure + torch.tensor([0.0, 0.2, 0.0])
    before = rough.clone()
    rechecked(rough, 0.5, again(sure, []))
    assert torch.equal(rough, before)
