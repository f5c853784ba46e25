"""Digits, splits, batches and references."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.datasets import DIGITS, DataRef, Dataset, channel_statistics, hold_out, load_data, load_splits
from pruning_core.errors import UserError


def make(count: int = 40, channels: int = 3, classes: int = 4, side: int = 6, seed: int = 0) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8)
    mean, std = channel_statistics(images)
    names = tuple(f"class {i}" for i in range(classes))
    return Dataset(images, torch.arange(count) % classes, names, mean, std, name="made", split="train")


def test_digits_are_bundled_and_their_splits_are_disjoint_and_complete():
    train, test = load_splits(DIGITS)
    fit, held_out = hold_out(train, DIGITS)
    assert (len(fit), len(held_out), len(test)) == (1078, 269, 450)
    assert train.size == (1, 8, 8) and train.classes == tuple("0123456789")
    assert train.mean == test.mean and train.std == test.std
    assert int(train.images.max()) == 255

    from sklearn.datasets import load_digits

    seen = sorted(image.numpy().tobytes() for part in (fit, held_out, test) for image in part.images)
    want = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert seen == sorted(image.tobytes() for image in want)


def test_splits_are_stratified_and_the_same_every_time():
    first, again = load_splits(DIGITS), load_splits(DIGITS)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
    shares = torch.bincount(first[1].labels) / torch.bincount(first[0].labels)
    assert float(shares.max() - shares.min()) < 0.02
    other = load_splits(dataclasses.replace(DIGITS, seed=1))[1]
    assert not torch.equal(other.images, first[1].images)


@pytest.mark.parametrize(("split", "count"), [("train", 1347), ("fit", 1078), ("held-out", 269), ("test", 450)])
def test_a_reference_names_one_split(split, count):
    data = load_data(dataclasses.replace(DIGITS, split=split))
    assert len(data) == count and data.split == split


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.9), st.integers(0, 2**40))
def test_any_split_keeps_every_image_and_every_class(fraction, seed):
    data = make(80)
    rest, part = data.split_off(fraction, seed)
    assert len(rest) + len(part) == 80
    assert set(part.labels.tolist()) == set(rest.labels.tolist()) == {0, 1, 2, 3}
    together = torch.cat((rest.images, part.images)).flatten(1)
    assert len(torch.unique(together, dim=0)) == 80


def test_a_smaller_subset_is_a_prefix_of_a_larger_one():
    data = make(40)
    small, large = data.subset(5, seed=3), data.subset(20, seed=3)
    assert torch.equal(large.images[:5], small.images)
    assert data.subset(100) is data
    with pytest.raises(UserError, match="At least one image"):
        data.subset(0)


def test_statistics_equal_the_float_computation():
    data = make(30)
    pixels = data.images.double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert data.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-6)
    constant = torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)
    assert channel_statistics(constant)[1] == (1.0,)


def test_batches_are_normalised_and_follow_the_indices():
    data = make(10)
    batches = list(data.batches(4))
    assert [len(y) for _, y in batches] == [4, 4, 2]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (data.mean, data.std))
    assert torch.allclose(torch.cat([x for x, _ in batches]), (data.images / 255 - mean) / std, atol=1e-5)
    ((x, y),) = data.batches(8, indices=[7, 2], dtype=torch.float64)
    assert x.dtype == torch.float64 and y.tolist() == [int(data.labels[7]), int(data.labels[2])]
    assert torch.allclose(x.float(), ((data.images / 255 - mean) / std)[[7, 2]], atol=1e-5)


def test_size_and_colour_can_be_changed():
    grey = load_data(DIGITS)
    fitted = grey.fitted((3, 32, 32))
    assert fitted.size == (3, 32, 32) and len(fitted.mean) == 3
    assert torch.equal(fitted.images[:, 0], fitted.images[:, 2])
    assert make().with_channels(1).size == (1, 6, 6)
    assert grey.resized(8, 8) is grey
    flat = dataclasses.replace(make(), images=torch.full((40, 3, 6, 6), 200, dtype=torch.uint8))
    assert flat.resized(9, 13).images.unique().tolist() == [200]
    assert flat.with_channels(1).images.unique().tolist() == [200]
    with pytest.raises(UserError, match="cannot be turned"):
        make().with_channels(2)


def test_a_reference_carries_what_the_user_changed():
    ref = dataclasses.replace(
        DIGITS, size=(12, 10), channels=3, mean=(0.5,) * 3, std=(0.25,) * 3, classes=tuple("abcdefghij")
    )
    data = load_data(ref)
    assert data.size == (3, 12, 10)
    assert (data.mean, data.std, data.classes[0]) == ((0.5,) * 3, (0.25,) * 3, "a")
    with pytest.raises(UserError, match="one name each"):
        load_data(dataclasses.replace(DIGITS, classes=("a", "b")))
    with pytest.raises(UserError, match="as many means"):
        load_data(dataclasses.replace(DIGITS, mean=(0.5, 0.5)))
    with pytest.raises(UserError, match="above 0"):
        load_data(dataclasses.replace(DIGITS, std=(0.0,)))


def test_references_survive_json_and_hash_by_value():
    ref = DataRef("npz", "mine.npz", digest="a" * 64, size=(8, 8), classes=("x", "y"))
    again = DataRef.from_json(ref.to_json())
    assert again == ref and hash(again) == hash(ref) and again.key == ref.key
    assert dataclasses.replace(ref, seed=1).key != ref.key
    for text in ("", "[]", '{"$":"Path"}', "not json", '{"$":"DataRef","source":"digits"}'):
        with pytest.raises(UserError, match="not a stored reference"):
            DataRef.from_json(text)
    for wrong in ({"source": "web"}, {"split": "all"}, {"size": (0, 8)}, {"channels": 2}):
        with pytest.raises(UserError):
            dataclasses.replace(ref, **wrong)


def test_a_class_count_that_does_not_fit_is_said_before_anything_runs():
    data = make(classes=4)
    data.check_fits(4)
    with pytest.raises(UserError, match=r"10 classes apart.* has 4"):
        data.check_fits(10)


def test_unusable_data_is_refused_with_a_sentence():
    data = make()
    with pytest.raises(UserError, match="holds no train images"):
        dataclasses.replace(data, images=data.images[:0], labels=data.labels[:0])
    with pytest.raises(UserError, match="40 images and 39 labels"):
        dataclasses.replace(data, labels=data.labels[:39])
    with pytest.raises(UserError, match="run from 0 to 3, but there are 2 classes"):
        dataclasses.replace(data, classes=("a", "b"))
    with pytest.raises(UserError, match="too few to set some apart"):
        make(count=5, classes=4).split_off(0.2)
    with pytest.raises(UserError, match="between 0 and 1"):
        data.split_off(1.0)
