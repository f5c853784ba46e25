"""Settings, schedules, batches and augmentation."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.knobs import knobs_of
from pruning_core.training.batches import augmented, derived, dice, shuffled, steps_per_epoch
from pruning_core.training.config import FineTune
from pruning_core.training.pace import Pace


def test_every_setting_but_the_device_is_a_knob() -> None:
    names = [knob.name for knob in knobs_of(FineTune)]
    fields = [field.name for field in dataclasses.fields(FineTune)]
    assert names == fields[:-1] and fields[-1] == "device"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"lr": 0.0}, "lr must lie in"),
        ({"optimizer": "magic"}, "optimizer must be one of"),
        ({"batch_size": 1}, "batch_size must lie in"),
        ({"epochs": 0}, "Nothing would end this training"),
    ],
)
def test_settings_out_of_range_are_said(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        FineTune(**wrong)


def test_what_comes_first_ends_a_training() -> None:
    assert FineTune(epochs=4).done(1.0, 1e9) == 0.25
    assert FineTune(epochs=0, minutes=2).done(1e9, 30.0) == 0.25
    both = FineTune(epochs=4, minutes=2)
    assert (both.done(1.0, 90.0), both.done(3.5, 0.0), both.done(9.0, 0.0)) == (0.75, 0.875, 1.0)


@given(st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_schedules_never_rise(one: float, other: float) -> None:
    early, late = sorted((one, other))
    for schedule in ("cosine", "constant", "step"):
        config = FineTune(lr=0.1, schedule=schedule)
        assert 0.1 == config.rate(0.0) >= config.rate(early) >= config.rate(late) >= 0.0
    assert FineTune(lr=0.1).rate(0.5) == pytest.approx(0.05) and FineTune(lr=0.1).rate(1.0) == pytest.approx(0)
    warm = FineTune(lr=0.1, warm_up=0.2)
    assert [warm.rate(done) for done in (0.0, 0.1, 0.2, 0.6)] == pytest.approx([0.001, 0.0505, 0.1, 0.05])
    step = FineTune(lr=1.0, schedule="step")
    assert [step.rate(done) for done in (0.49, 0.5, 0.75)] == [1.0, 0.1, 0.01]


def test_the_precision_is_asked_for_or_that_of_the_device() -> None:
    assert FineTune().mixed("cuda:0") and not FineTune().mixed("cpu")
    assert FineTune(precision="bfloat16").mixed("cpu") and not FineTune(precision="float32").mixed("cuda:0")


def data(images: int) -> Dataset:
    pixels = torch.arange(images, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    return Dataset(pixels, torch.arange(images), tuple(map(str, range(images))), (0.0,), (1 / 255,), "ramp")


@given(st.integers(2, 200), st.integers(2, 64), st.integers(0, 3), st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_an_epoch_sees_every_image_once_and_never_a_batch_of_one(n: int, size: int, seed: int, epoch: int) -> None:
    batches = list(shuffled(data(n), size, "none", seed, epoch, "cpu"))
    assert len(batches) == steps_per_epoch(n, size) and all(2 <= len(y) <= size for _, y in batches)
    seen = torch.cat([y for _, y in batches])
    assert len(set(seen.tolist())) == len(seen) == n - (n % size == 1)
    assert all(torch.equal(x[:, 0, 0, 0].round().long(), y) for x, y in batches)
    again = list(shuffled(data(n), size, "none", seed, epoch, "cpu", start=1))
    assert len(again) == len(batches) - 1 and all(torch.equal(a[0], b[0]) for a, b in zip(again, batches[1:]))


def test_orders_differ_by_seed_and_epoch_and_one_image_is_not_enough() -> None:
    orders = {tuple(next(shuffled(data(64), 64, "none", *key, "cpu"))[1].tolist()) for key in ((0, 1), (0, 2), (1, 1))}
    assert len(orders) == 3
    with pytest.raises(UserError, match="at least two images"):
        steps_per_epoch(1, 8)
    assert len({derived(a, b) for a in range(40) for b in range(40)}) == 1600


def edged(image: torch.Tensor, right: int, down: int) -> torch.Tensor:
    frame = (right, right, down, down)
    return torch.nn.functional.pad(image[None].float(), frame, mode="replicate")[0].to(image.dtype)


@given(st.integers(0, 10**6), st.sampled_from([(8, 8), (16, 24), (5, 9)]))
@settings(deadline=None, max_examples=30)
def test_augmentation_only_shifts_and_mirrors(seed: int, size: tuple[int, int]) -> None:
    height, width = size
    images = torch.randint(1, 256, (6, 3, height, width), generator=dice(seed)).to(torch.uint8)
    assert augmented(images, "none", dice(seed)) is images
    for kind in ("shift", "shift and flip"):
        moved = augmented(images, kind, dice(seed))
        assert moved.shape == images.shape and moved.dtype == torch.uint8
        down, right = max(1, height // 8), max(1, width // 8)
        for before, after in zip(images, moved):
            options = [before] + ([before.flip(2)] if kind != "shift" else [])
            framed = [edged(o, right, down) for o in options]
            windows = [
                f[:, dy : dy + height, dx : dx + width]
                for f in framed
                for dy in range(2 * down + 1)
                for dx in range(2 * right + 1)
            ]
            assert any(torch.equal(after, window) for window in windows)


def test_the_pace_tells_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("pruning_core.training.pace.time.perf_counter", lambda: now[0])
    pace = Pace(FineTune(epochs=3), steps=10)
    for _ in range(5):
        pace.stepped(64)
    now[0] = 10.0
    pace.close_window()
    pace.checked(4.0)
    assert pace.images_per_s == 32.0 and pace.spent == 10.0
    assert pace.left(0.5) == pytest.approx(2.5 * 10 * 2.0 + 3 * 4.0)
    timed = Pace(FineTune(epochs=3, minutes=1), steps=10, spent=30.0)
    timed.checked(4.0)
    now[0] = 15.0
    assert timed.spent == 35.0 and timed.left(0.1) == min(25.0 + 4.0, 3 * 4.0)
