"""The training loop on small real data: it learns, repeats, stops, resumes, and leaves nothing behind."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.training import loop
from pruning_core.training.checkpoint import Best, Checkpoint
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Epoch, Step, TrainEvent, TrainOutcome
from pruning_core.training.loop import Training, fine_tune
from pruning_core.training.loss import AUXILIARY, training_loss

E = TypeVar("E")
FAST = FineTune(epochs=2, batch_size=64, lr=0.05, device="cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(dropout), nn.Linear(128, 10),
    ).eval()  # fmt: skip


def train(digits: tuple[Dataset, Dataset, Dataset], config: FineTune = FAST, **more: Any) -> Training:
    fit, held_out, test = digits
    return fine_tune(more.pop("model", None) or network(), fit, test, config, held_out=held_out, **more)


def only(kind: type[E], events: list[TrainEvent]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def steady(events: list[TrainEvent]) -> list[TrainEvent]:
    """Without what a clock measured."""
    clock = {"seconds": 0.0, "images_per_s": 0.0, "seconds_left": 0.0}
    return [
        dataclasses.replace(event, **{name: 0.0 for name in clock if hasattr(event, name)})
        for event in events
        if isinstance(event, Epoch | TrainOutcome)
    ]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_it_learns_and_keeps_the_best_weights(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    training = train(digits, FineTune(epochs=4, batch_size=64, lr=0.05, device="cpu"))
    events = list(training)
    epochs = only(Epoch, events)
    (outcome,) = only(TrainOutcome, events)
    assert [event.epoch for event in epochs] == [0, 1, 2, 3, 4] and events[-1] is outcome
    assert epochs[0].train_loss is None and epochs[0].top1 < 0.3 < 0.85 < outcome.top1
    losses = [event.train_loss for event in epochs[1:]]
    assert losses == sorted(losses, reverse=True)
    assert outcome.start_top1 == epochs[0].top1 and outcome.images == len(digits[2]) and outcome.epochs == 4
    best = max(epochs[1:], key=lambda event: (event.chosen_by, event.epoch))
    assert outcome.epoch in [event.epoch for event in epochs if event.chosen_by == best.chosen_by]
    assert epochs[outcome.epoch].improved and outcome.top1 == epochs[outcome.epoch].top1
    from pruning_core.measuring.evaluate import evaluate

    kept = training.best_model()
    assert not kept.training and evaluate(kept, digits[2], device="cpu").top1 == outcome.top1
    assert "269 images of digits that were not trained on" in outcome.chosen_on


def test_a_training_that_only_makes_it_worse_keeps_what_it_began_with(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    first = train(digits, FineTune(epochs=4, batch_size=64, lr=0.05, device="cpu"))
    list(first)
    good = first.best_model()
    spoilt = train(digits, FineTune(epochs=2, batch_size=64, lr=1.0, momentum=0.99, device="cpu"), model=good)
    events = list(spoilt)
    epochs, (outcome,) = only(Epoch, events), only(TrainOutcome, events)
    assert all(event.chosen_by < epochs[0].chosen_by for event in epochs[1:]), "or this shows nothing"
    assert [event.improved for event in epochs] == [True, False, False]
    assert outcome.epoch == 0 and outcome.top1 == outcome.start_top1 == epochs[0].top1
    assert same(spoilt.best_model(), good)


def kept(score: float, loss: float, number: int = 0) -> Best:
    return Best({}, Epoch(number, None, 0.1, None, 0.0, 1.0, 9.0, 10, score, True, 0.1, 1.0, 1.0), loss)


def test_accuracy_decides_then_the_loss_and_no_number_never_wins() -> None:
    for number in (0, 3):
        best = kept(0.5, 1.0, number)
        assert best.beaten_by(0.6, 9.0) and not best.beaten_by(0.4, 0.0)
        assert best.beaten_by(0.5, 0.9) and not best.beaten_by(0.5, 1.0)
        assert not best.beaten_by(0.5, float("nan")) and kept(0.5, float("nan"), number).beaten_by(0.5, 9.0)


def test_the_test_images_never_choose(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    fit, held_out, test = digits
    plain = list(fine_tune(network(), fit, test, FAST, held_out=held_out))
    shuffled = dataclasses.replace(test, labels=test.labels.flip(0))
    other = list(fine_tune(network(), fit, shuffled, FAST, held_out=held_out))
    for name in ("improved", "chosen_by", "train_loss"):
        assert [getattr(e, name) for e in only(Epoch, plain)] == [getattr(e, name) for e in only(Epoch, other)]
    assert only(Epoch, plain)[-1].top1 != only(Epoch, other)[-1].top1


def test_without_held_out_images_a_tenth_is_set_apart(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    fit, _, test = digits
    *_, outcome = fine_tune(network(), fit, test, FineTune(epochs=1, batch_size=256, device="cpu"))
    assert isinstance(outcome, TrainOutcome) and "109 images of digits" in outcome.chosen_on


def test_the_callers_network_and_the_global_state_are_untouched(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    model = network(dropout=0.5)
    before, random_state = copy.deepcopy(model), torch.get_rng_state()
    for _ in train(digits, model=model):
        assert torch.is_grad_enabled()
    assert same(model, before) and not model.training and all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_same_seed_gives_the_same_training(digits: tuple[Dataset, Dataset, Dataset], optimizer: str) -> None:
    config = FineTune(epochs=1, batch_size=128, augment="shift and flip", optimizer=optimizer, seed=3, device="cpu")
    first, second = (train(digits, config, model=network(0.3)) for _ in range(2))
    events = steady(list(first))
    torch.manual_seed(99)  # what others do with the global generator must not matter
    assert steady(list(second)) == events and same(first.best_model(), second.best_model())
    other = train(digits, dataclasses.replace(config, seed=4), model=network(0.3))
    assert steady(list(other)) != events


def test_events_come_inside_an_epoch(digits: tuple[Dataset, Dataset, Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    events = list(train(digits))
    steps = only(Step, events)
    assert len(steps) == 2 * 17  # 1,078 images in batches of 64
    assert [step.position for step in steps] == pytest.approx([n / 17 for n in range(1, 35)])
    assert [step.done for step in steps] == pytest.approx([n / 34 for n in range(1, 35)])
    assert all(step.images_per_s > 0 and step.seconds_left >= 0 and step.loss > 0 for step in steps)
    assert steps[0].rate == 0.05 and steps[-1].rate < 0.001, "cosine ends near zero"
    checks = only(Checking, events)
    assert [check.images for check in checks[:2]] == [269, 719] and {check.total for check in checks} == {719}


def test_an_epoch_shorter_than_the_pause_between_events_says_something_once(
    digits: tuple[Dataset, Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a fast machine, or on a GPU: a curve of the loss all the same."""
    monkeypatch.setattr(loop, "EVERY", 3600.0)
    steps = only(Step, list(train(digits, FineTune(epochs=3, batch_size=256, lr=0.05, device="cpu"))))
    assert [step.position for step in steps] == [1.0, 2.0, 3.0] and steps[-1].done == 1.0
    assert all(step.loss > 0 and step.images_per_s > 0 for step in steps)


def test_cancel_inside_an_epoch_keeps_the_best(
    digits: tuple[Dataset, Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    training = train(digits, FineTune(epochs=9, batch_size=64, lr=0.05, device="cpu"))
    epochs = []
    for event in training:
        epochs += [event] if isinstance(event, Epoch) else []
        if isinstance(event, Step) and event.position > 2.4:
            break
    training.close()
    training.close()
    assert training.best is not None and training.best.epoch in epochs[1:]
    assert list(training) == [], "a closed training says nothing more"
    assert training.best_model()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


@pytest.mark.parametrize(
    ("kind", "at"), [(Epoch, 0), (Step, 0.3), (Step, 1.0), (Checking, 2), (Step, 1.7), (Epoch, 2), (Epoch, 3)]
)
def test_a_resumed_training_ends_as_if_it_had_never_stopped(
    digits: tuple[Dataset, Dataset, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, at: float
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    config = FineTune(epochs=3, batch_size=128, lr=0.05, augment="shift", seed=1, device="cpu")
    whole = train(digits, config, model=network(0.2))
    expected = list(whole)

    first = train(digits, config, model=network(0.2))
    before = []
    for event in first:
        before.append(event)
        if isinstance(event, kind) and getattr(event, "position", getattr(event, "epoch", None)) >= at:
            break
    first.close()
    checkpoint = first.checkpoint()
    assert checkpoint is not None
    assert whole.checkpoint() is not None and whole.checkpoint().position == 3.0, "at its end"
    torch.save(checkpoint.plain(), tmp_path / "here.pt")
    loaded = Checkpoint.of(torch.load(tmp_path / "here.pt", weights_only=True))
    assert loaded.position == checkpoint.position >= at

    second = train(digits, config, model=network(0.2), start=loaded)
    after = list(second)
    assert steady(before) + steady(after) == steady(expected)
    assert same(second.best_model(), whole.best_model())


def test_products_in_bfloat16_leave_weights_and_measurements_in_float32(
    digits: tuple[Dataset, Dataset, Dataset],
) -> None:
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}

    class Watched(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            seen[self.training].add(out.dtype)
            return out

    torch.manual_seed(0)
    model = nn.Sequential(Watched(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)).eval()
    training = train(digits, dataclasses.replace(FAST, epochs=1, precision="bfloat16"), model=model)
    outcome = only(TrainOutcome, list(training))[0]
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert {tensor.dtype for tensor in training.best_model().state_dict().values()} == {torch.float32, torch.int64}
    assert outcome.top1 > outcome.start_top1 + 0.2


def test_frozen_parameters_stay_frozen(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    model = network()
    model[0].requires_grad_(False)
    training = train(digits, model=model)
    list(training)
    assert torch.equal(training.best_model()[0].weight, model[0].weight)
    assert not torch.equal(training.best_model()[6].weight, model[6].weight)


class TwoHeads(nn.Module):
    """An auxiliary classifier in training mode only, as GoogLeNet has."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.main, self.aux = nn.Flatten(), nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.body(x)
        return {"out": self.main(x), "aux": self.aux(x)} if self.training else self.main(x)


def test_auxiliary_heads_are_trained_with_their_weight(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    torch.manual_seed(0)
    model = TwoHeads()
    x, y = torch.randn(5, 64), torch.arange(5)
    main, aux = model.main(x), model.aux(x)
    alone = nn.functional.cross_entropy
    for output in ({"out": main, "aux": aux}, (main, aux), [main, aux, None, aux[:, :3]]):
        total, loss = training_loss(output, y, 0.0)
        assert loss.item() == pytest.approx(alone(main, y).item())
        assert total.item() == pytest.approx((alone(main, y) + AUXILIARY * alone(aux, y)).item())
    training = train(digits, model=model)
    *_, outcome = training
    assert isinstance(outcome, TrainOutcome) and outcome.top1 > 0.7
    assert not torch.equal(training.best_model().aux.weight, model.aux.weight)


def test_minutes_end_a_training_inside_an_epoch(
    digits: tuple[Dataset, Dataset, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    ticks = iter(range(10**6))
    monkeypatch.setattr("pruning_core.training.pace.time.perf_counter", lambda: float(next(ticks)))
    events = list(train(digits, FineTune(epochs=0, minutes=2.0, batch_size=64, device="cpu")))
    (outcome,) = only(TrainOutcome, events)
    last = only(Step, events)[-1]
    assert outcome.epochs == 1 and last.position < 1.0 and last.seconds_left < 30
    assert [event.epoch for event in only(Epoch, events)] == [0, 1], "an epoch that was begun is evaluated"


def test_even_the_shortest_training_makes_a_step(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    *_, outcome = train(digits, FineTune(epochs=0, minutes=1e-9, batch_size=64, device="cpu"))
    assert isinstance(outcome, TrainOutcome) and outcome.epochs == 1 and outcome.epoch == 1


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (nn.Flatten(), "tells 64 classes apart|Nothing in this network"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False),
            "Nothing in this network can be trained",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), "tells 7 classes apart, the data has 10"),
    ],
)
def test_what_cannot_be_trained_is_said(
    digits: tuple[Dataset, Dataset, Dataset], model: nn.Module, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        list(train(digits, model=model))


def test_an_exported_program_is_trained_in_its_own_mode(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    free = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network(), (torch.randn(2, 1, 8, 8),), dynamic_shapes=free).module()
    before = copy.deepcopy(program.state_dict())
    *_, outcome = train(digits, model=program)
    assert isinstance(outcome, TrainOutcome) and outcome.top1 > 0.7
    assert all(torch.equal(before[name], tensor) for name, tensor in program.state_dict().items())


def test_a_loss_that_explodes_ends_with_advice(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    class Explodes(nn.Sequential):
        steps = 0

        def forward(self, x: Tensor) -> Tensor:
            self.steps += self.training
            return super().forward(x) * (float("nan") if self.training and self.steps > 17 else 1.0)

    training = train(digits, model=Explodes(*network()))
    with pytest.raises(UserError, match=r"NaN or infinite in epoch 2\. Choose a lower learning rate \(it was 0\.05\)"):
        list(training)
    assert training.best is not None and training.best.epoch.epoch == 1


def test_an_exhausted_memory_names_the_batch(digits: tuple[Dataset, Dataset, Dataset]) -> None:
    class Hungry(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return super().forward(x)

    with pytest.raises(UserError, match=r"batches of 64\. Choose a smaller batch"):
        list(train(digits, model=Hungry(*network())))
