"""Both memory layouts train the same network: one of them is chosen before, by time, and is part of what a run is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from pruning_core.datasets import DataRef, Dataset
from pruning_core.errors import UserError
from pruning_core.storage.codec import dump
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.specs import PRODUCT
from pruning_core.training import layout, loop
from pruning_core.training.checkpoint import Checkpoint
from pruning_core.training.config import CHANNELS_LAST, CONTIGUOUS, FineTune
from pruning_core.training.events import Epoch, Step, TrainOutcome
from pruning_core.training.layout import measured_layout
from pruning_core.training.loop import Training, fine_tune
from pruning_core.zoo import ModelRef

LAST = FineTune(epochs=2, batch_size=128, lr=0.05, augment="shift", seed=1, device="cpu", layout=CHANNELS_LAST)

pytestmark = pytest.mark.usefixtures("one_thread")
Parts = tuple[Dataset, Dataset, Dataset]


class Seen(nn.Conv2d):
    """Notes how what it reads and its own weights lie."""

    lay: ClassVar[set[bool]] = set()

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            last = torch.channels_last
            self.lay.add(x.is_contiguous(memory_format=last) and self.weight.is_contiguous(memory_format=last))
        return super().forward(x)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), Seen(8, 8, 3, padding=1),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10),
    ).eval()  # fmt: skip


class Viewed(nn.Module):
    """Code that takes its tensors to lie in the order of their indices."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.linear(self.conv(x).view(len(x), -1))
        return made


def train(digits: Parts, config: FineTune = LAST, **more: Any) -> Training:
    fit, held_out, test = digits
    return fine_tune(more.pop("model", None) or network(), fit, test, config, held_out=held_out, **more)


def test_channels_last_is_the_same_training_but_for_rounding(digits: Parts) -> None:
    states = {}
    for name in (CONTIGUOUS, CHANNELS_LAST):
        model = network()
        training = train(digits, dataclasses.replace(LAST, layout=name), model=model)
        *_, outcome = training
        assert isinstance(outcome, TrainOutcome) and outcome.top1 > outcome.start_top1 + 0.2
        states[name] = training.best_model().state_dict()
        assert all(each.is_contiguous() for each in states[name].values()), "as the network came"
    for name, one in states[CONTIGUOUS].items():
        assert torch.allclose(one.double(), states[CHANNELS_LAST][name].double(), rtol=1e-2, atol=1e-3), name


def test_every_step_runs_in_the_layout_of_the_spec(digits: Parts) -> None:
    for name, expected in ((CONTIGUOUS, False), (CHANNELS_LAST, True)):
        Seen.lay.clear()
        list(train(digits, dataclasses.replace(LAST, layout=name, epochs=1)))
        assert Seen.lay == {expected}, name


def test_a_resumed_training_ends_as_if_it_had_never_stopped(
    digits: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    whole = train(digits)
    expected = [dataclasses.replace(e, seconds=0.0, images_per_s=0.0) for e in whole if isinstance(e, Epoch)]
    first = train(digits)
    next(event for event in first if isinstance(event, Step) and event.position > 1)
    first.close()
    checkpoint = first.checkpoint()
    assert checkpoint is not None
    torch.save(checkpoint.plain(), tmp_path / "here.pt")
    second = train(digits, start=Checkpoint.of(torch.load(tmp_path / "here.pt", weights_only=True)))
    rest = [dataclasses.replace(e, seconds=0.0, images_per_s=0.0) for e in second if isinstance(e, Epoch)]
    assert rest == expected[-len(rest) :] and rest
    one, other = whole.best_model().state_dict(), second.best_model().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("gain", "chosen"), [(1.3, CHANNELS_LAST), (1.01, CONTIGUOUS), (0.87, CONTIGUOUS)])
def test_the_faster_layout_is_chosen_where_it_is_worth_it(
    digits: Parts, monkeypatch: pytest.MonkeyPatch, gain: float, chosen: str
) -> None:
    took = {CONTIGUOUS: gain, CHANNELS_LAST: 1.0}
    lies = lambda x: x.is_contiguous(memory_format=torch.channels_last)  # noqa: E731
    monkeypatch.setattr(layout._Steps, "taken", lambda self, number: took[LAY[lies(self.learner.model[3].weight)]])
    found = measured_layout(network(), digits[0], LAST)
    assert found is not None and (found.name, found.gain) == (chosen, pytest.approx(gain))
    assert found.rounds == layout.ROUNDS and found.images == layout.IMAGES


LAY = {False: CONTIGUOUS, True: CHANNELS_LAST}


def test_measuring_changes_nothing(digits: Parts) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(7)
    found = measured_layout(model, digits[0], LAST)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(7)))
    assert found is not None and found.gain is not None and found.gain > 0 and found.rounds >= layout.LEAST
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and not model.training
    assert all(parameter.grad is None and parameter.is_contiguous() for parameter in model.parameters())


def test_code_that_reads_tensors_in_their_order_stays_contiguous_and_says_so(digits: Parts) -> None:
    found = measured_layout(Viewed(), digits[0], LAST)
    assert found is not None and (found.name, found.gain) == (CONTIGUOUS, None)
    with pytest.raises(UserError, match=r"cannot be trained channels-last\. Choose the contiguous"):
        list(train(digits, model=Viewed()))
    list(train(digits, dataclasses.replace(LAST, layout=CONTIGUOUS, epochs=1), model=Viewed()))


def test_nothing_is_measured_where_there_is_nothing_to_choose(digits: Parts) -> None:
    assert measured_layout(network(), digits[0], dataclasses.replace(LAST, precision="bfloat16")) is None
    numbers = dataclasses.replace(
        digits[0], images=digits[0].images.float().flatten(1), mean=(0.0,) * 64, std=(1.0,) * 64
    )
    assert not numbers.pictures
    assert measured_layout(nn.Linear(64, 10), numbers, LAST) is None


def test_it_is_part_of_what_a_run_is_and_a_spec_stored_without_it_is_contiguous() -> None:
    ref, data = ModelRef("demo", "digits_resnet"), DataRef("digits", "digits")
    one, other = (
        FineTuneRun(ref, data, dataclasses.replace(LAST, layout=name)) for name in (CONTIGUOUS, CHANNELS_LAST)
    )
    assert one.key != other.key and PRODUCT.spec(dump(other)) == other
    stored = json.loads(dump(other))
    del stored["config"]["layout"]
    assert PRODUCT.spec(json.dumps(stored)) == one
