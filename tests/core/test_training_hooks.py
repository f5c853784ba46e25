"""Hooks and objectives: called at their moments, trained, stored, then gone; what is kept is what was measured."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.graph import Network, Plan, capture
from pruning_core.graph.removing.silent import silence
from pruning_core.measuring.evaluate import evaluate
from pruning_core.training import learner, loop
from pruning_core.training.checkpoint import Checkpoint
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Epoch, Step, TrainOutcome
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.loop import Training, fine_tune
from pruning_core.training.loss import CrossEntropy, Forward, Objective, ObjectiveSpec
from tests.core.test_training import FAST, network, only, same, steady

Parts = tuple[Dataset, Dataset, Dataset]
FIRST = "0.weight"  # of the convolution in network()

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Given(HookSpec):
    """A hook made in a test."""

    make: Callable[[nn.Module, Network], Hook]

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return self.make(model, network)


def captured(model: nn.Module) -> Network:
    return capture(model, torch.zeros(1, 1, 8, 8))


def train(data: Parts, *hooks: Any, config: FineTune = FAST, model: nn.Module | None = None, **more: Any) -> Training:
    fit, held_out, test = data
    model = model or network()
    specs = tuple(Given(hook if callable(hook) else (lambda m, n, h=hook: h)) for hook in hooks)
    return fine_tune(model, fit, test, config, specs, held_out, network=captured(model), **more)


class Notes(Hook):
    """Writes down what happens; raises at ``fail``."""

    def __init__(self, fail: str = "") -> None:
        self.notes: list[str] = []
        self.fail = fail

    def note(self, name: str) -> None:
        self.notes.append(name)
        if name == self.fail:
            raise ZeroDivisionError

    def begun(self, model: nn.Module, network: Network) -> Hook:
        self.note("begin")
        return self

    def overrides(self, moment: Moment) -> dict[str, Tensor]:
        self.note("overrides" if moment.model.training else "evaluate")
        return {}

    def penalty(self, moment: Moment) -> None:
        self.note("penalty")

    def epoch_start(self, moment: Moment) -> None:
        self.note("epoch start")
        assert moment.step == 0

    def after_backward(self, moment: Moment) -> None:
        self.note("backward")
        assert all(p.grad is not None for p in moment.model.parameters())

    def after_step(self, moment: Moment) -> None:
        self.note("step")

    def epoch_end(self, moment: Moment) -> None:
        self.note("epoch end")
        assert moment.step == moment.steps

    def learnt(self) -> dict[str, Tensor]:
        self.note("learnt")
        return {}

    def stop(self, model: nn.Module) -> None:
        self.note("stop")


def test_hooks_are_called_at_their_moments(digits: Parts) -> None:
    hook = Notes()
    list(train(digits, hook.begun, config=FineTune(epochs=2, batch_size=512, device="cpu")))
    epoch = ["epoch start", *["overrides", "penalty", "backward", "step"] * 3, "epoch end", "evaluate"]
    assert hook.notes == ["begin", "evaluate", *epoch, *epoch, "learnt", "stop"]


FAILS = ["begin", "evaluate", "epoch start", "overrides", "penalty", "backward", "step", "epoch end", "learnt"]


@pytest.mark.parametrize("moment", FAILS)
def test_every_hook_is_stopped_once_after_an_error(digits: Parts, moment: str) -> None:
    hooks = [Notes(), Notes(fail=moment), Notes()]
    config = FineTune(epochs=1, batch_size=512, device="cpu")
    with pytest.raises(ZeroDivisionError):
        list(train(digits, *(hook.begun for hook in hooks), config=config))
    begun = hooks[:1] if moment == "begin" else hooks
    for hook in hooks:
        assert hook.notes.count("stop") == (hook in begun) and ("stop" not in hook.notes or hook.notes[-1] == "stop")


def test_a_cancel_stops_the_hooks_once(digits: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    hook = Notes()
    training = train(digits, hook.begun)
    for event in training:
        if isinstance(event, Step) and event.position > 0.4:
            break
    training.close()
    training.close()
    assert hook.notes[-1] == "stop" and hook.notes.count("stop") == 1


def test_hooks_need_the_capture_of_the_network(digits: Parts) -> None:
    fit, held_out, test = digits
    with pytest.raises(ValueError, match="captured network"):
        list(fine_tune(network(), fit, test, FAST, (Given(lambda m, n: Hook()),), held_out))


def test_a_hook_may_mask_parameters(digits: Parts) -> None:
    class Mask(Hook):
        def after_step(self, moment: Moment) -> None:
            with torch.no_grad():
                moment.model[0].weight[:3] = 0.0

    training = train(digits, Mask())
    list(training)
    weight = training.best_model()[0].weight
    assert not weight[:3].any() and weight[3:].abs().sum() > 0


# -- penalties ---------------------------------------------------------------------------------------------------------


class Squares(Hook):
    """Half the strength times the sum of squares of every parameter: its gradient is weight decay."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def penalty(self, moment: Moment) -> Tensor:
        return 0.5 * self.strength * torch.stack([p.square().sum() for p in moment.model.parameters()]).sum()


def test_a_penalty_acts_like_its_gradient_and_is_told_beside_the_loss(
    digits: Parts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)
    model = network()
    plain = FineTune(epochs=1, batch_size=64, lr=0.05, weight_decay=0.0, device="cpu")
    decayed = FineTune(epochs=1, batch_size=64, lr=0.05, weight_decay=0.05, device="cpu")
    trainings = [train(digits, config=decayed), train(digits, Squares(0.05), config=plain)]
    events = [list(training) for training in trainings]
    ours, theirs = (t.best_model().state_dict() for t in trainings)
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name], atol=1e-5), name
    (old, new) = (only(Step, each) for each in events)
    first = 0.5 * 0.05 * sum(float(p.detach().square().sum()) for p in model.parameters())
    assert new[0].penalty == pytest.approx(first, rel=1e-5)
    assert [s.loss for s in new] == pytest.approx([s.loss for s in old], rel=1e-3), "the penalty is not in the loss"
    epoch_0, epoch_1 = only(Epoch, events[1])
    assert epoch_0.penalty is None and 0.0 < epoch_1.penalty < 2 * first
    assert {e.penalty for e in only(Step, events[0]) + only(Epoch, events[0])} == {None}


def test_penalties_of_several_hooks_add_up(digits: Parts) -> None:
    config = FineTune(epochs=1, batch_size=256, lr=0.05, device="cpu")
    two, one = (train(digits, *hooks, config=config) for hooks in ((Squares(0.1), Squares(0.2)), (Squares(0.3),)))
    (_, first), (_, second) = only(Epoch, list(two)), only(Epoch, list(one))
    assert first.penalty == pytest.approx(second.penalty, rel=1e-4)


# -- what is exchanged -------------------------------------------------------------------------------------------------


class Gates(Hook):
    """A trained factor for every channel of the first convolution; draws noise too, and counts its steps."""

    def __init__(self, model: nn.Module, network: Network, noise: float = 0.0, first: float = 1.0) -> None:
        self.weight, self.noise, self.steps, self.smooth = model[0].weight, noise, 0, torch.zeros(8)
        self.gates = nn.Parameter(torch.full((8,), first) + noise * torch.rand(8))

    def parameters(self) -> list[nn.Parameter]:
        return [self.gates]

    def overrides(self, moment: Moment) -> dict[str, Tensor]:
        gates = self.gates + self.noise * torch.randn(8) * moment.model.training
        return {FIRST: self.weight * gates[:, None, None, None]}

    def penalty(self, moment: Moment) -> Tensor:
        return 0.01 * self.gates.abs().sum()

    def after_step(self, moment: Moment) -> None:
        self.steps += 1
        self.smooth = 0.9 * self.smooth + 0.1 * self.gates.detach()

    def epoch_end(self, moment: Moment) -> None:
        with torch.no_grad():
            moment.model[0].bias[int(self.smooth.argmin())] = self.smooth.mean() + 0.1 * torch.rand(())

    def learnt(self) -> dict[str, Tensor]:
        return {"0": self.gates.detach().clone(), "steps": torch.tensor(self.steps)}

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "smooth": self.smooth}

    def load(self, state: Mapping[str, Any]) -> None:
        self.steps, self.smooth = state["steps"], state["smooth"]


def test_what_is_kept_is_what_was_measured_and_nothing_is_patched(digits: Parts) -> None:
    seen: list[nn.Module] = []

    class Watching(Gates):
        def after_backward(self, moment: Moment) -> None:
            assert self.gates.grad is not None and self.gates.grad.abs().sum() > 0
            assert moment.model[0].weight.grad is not None
            seen.append(moment.model)

    model = network()
    before = copy.deepcopy(model)
    training = train(digits, Watching, model=model)
    *_, outcome = training
    assert isinstance(outcome, TrainOutcome) and outcome.epoch > 0
    gates = training.learnt["0"]
    assert not torch.equal(gates, torch.ones(8))
    kept = training.best_model()
    assert evaluate(kept, digits[2], device="cpu").top1 == outcome.top1
    trained = seen[-1]
    assert trained is seen[0] and isinstance(trained[0].weight, nn.Parameter)
    assert vars(trained[0]).keys() == vars(network()[0]).keys() and type(trained[0]) is nn.Conv2d
    assert torch.equal(kept[0].weight, trained[0].weight.detach() * gates[:, None, None, None])
    assert same(model, before) and training.best is not None and training.best.epoch.epoch == outcome.epoch


def test_gates_at_zero_are_the_silenced_network(digits: Parts) -> None:
    """In unit coordinates: where the columns are silenced that read a unit."""
    model = network()
    found = captured(model)
    key = found.groups[0].key
    silenced = silence(model, found, Plan({key: (1, 4)}))
    (name,) = (n for n, p in model.named_parameters() if not torch.equal(p, silenced.get_parameter(n)))

    class Closed(Hook):
        def overrides(self, moment: Moment) -> dict[str, Tensor]:
            return {name: silenced.get_parameter(name)}

    first = next(iter(train(digits, Closed(), model=model)))
    assert isinstance(first, Epoch)
    expected = evaluate(silenced, digits[2], device="cpu")
    assert (first.top1, first.loss) == (expected.top1, expected.loss)
    assert expected.loss != evaluate(model, digits[2], device="cpu").loss


def test_a_tensor_under_two_names_is_exchanged_under_both(digits: Parts) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(64, 64)
            self.two = self.one
            self.end = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.end(self.two(torch.relu(self.one(x.flatten(1)))))

    torch.manual_seed(0)
    model = Tied().eval()

    class Half(Hook):
        def overrides(self, moment: Moment) -> dict[str, Tensor]:
            return {"two.weight": 0.5 * moment.model.one.weight}

    training = train(digits, Half(), model=model)
    *_, outcome = training
    kept = training.best_model()
    assert kept.one is kept.two and evaluate(kept, digits[2], device="cpu").top1 == outcome.top1


def test_without_overrides_the_network_is_called_as_it_is(
    digits: Parts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*arguments: Any) -> None:
        raise AssertionError("nothing is to be exchanged")

    monkeypatch.setattr(learner, "functional_call", never)

    class Quiet(Hook):
        def epoch_end(self, moment: Moment) -> None:
            assert moment.model.training

    plain, hooked = train(digits), train(digits, Quiet())
    assert steady(list(plain)) == steady(list(hooked)) and same(plain.best_model(), hooked.best_model())


@pytest.mark.parametrize(("name", "sentence"), [(FIRST, "by two hooks"), ("9.weight", "does not have")])
def test_a_name_that_is_taken_or_unknown_is_refused(digits: Parts, name: str, sentence: str) -> None:
    class Exchanging(Hook):
        def overrides(self, moment: Moment) -> dict[str, Tensor]:
            return {name: moment.model[0].weight * 1.0}

    with pytest.raises(ValueError, match=sentence):
        list(train(digits, Exchanging(), Exchanging()))


# -- resuming ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "at"), [(Epoch, 0), (Step, 0.3), (Step, 1.0), (Checking, 2), (Step, 1.7), (Epoch, 2), (Epoch, 3)]
)
def test_a_resumed_training_with_hooks_ends_as_if_it_had_never_stopped(
    digits: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    at: float,
) -> None:
    monkeypatch.setattr(loop, "EVERY", 0.0)

    def begun() -> Training:
        config = FineTune(epochs=3, batch_size=128, lr=0.05, augment="shift", seed=1, device="cpu")
        noisy = lambda m, n: Gates(m, n, noise=0.1)  # noqa: E731
        return train(digits, noisy, Squares(0.01), config=config, model=network(0.2), start=start)

    start: Checkpoint | None = None
    whole = begun()
    expected = list(whole)
    first, before = begun(), []
    for event in first:
        before.append(event)
        if isinstance(event, kind) and getattr(event, "position", getattr(event, "epoch", None)) >= at:
            break
    first.close()
    checkpoint = first.checkpoint()
    assert checkpoint is not None
    torch.save(checkpoint.plain(), tmp_path / "here.pt")
    torch.manual_seed(77)
    start = Checkpoint.of(torch.load(tmp_path / "here.pt", weights_only=True))
    second = begun()
    after = list(second)
    assert steady(before) + steady(after) == steady(expected)
    assert same(second.best_model(), whole.best_model())
    assert second.learnt.keys() == whole.learnt.keys() == {"0", "steps"}
    assert all(torch.equal(value, whole.learnt[name]) for name, value in second.learnt.items())


def test_a_checkpoint_of_other_hooks_is_refused(digits: Parts) -> None:
    first = train(digits, Gates)
    next(iter(first))
    first.close()
    with pytest.raises(ValueError, match="other hooks"):
        list(train(digits, start=first.checkpoint()))
    with pytest.raises(ValueError, match="other hooks"):
        list(train(digits, Gates, Gates, start=first.checkpoint()))


def test_a_state_that_cannot_be_loaded_is_said(digits: Parts) -> None:
    class Forgetful(Hook):
        def state(self) -> dict[str, Any]:
            return {"seen": 3}

    first = train(digits, Forgetful())
    next(iter(first))
    first.close()
    with pytest.raises(NotImplementedError, match="Forgetful keeps a state"):
        list(train(digits, Forgetful(), start=first.checkpoint()))


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_the_last_weights_are_kept_where_the_best_are_not_wanted(digits: Parts) -> None:
    class Spoils(Hook):
        def epoch_end(self, moment: Moment) -> None:
            if moment.epoch == 3:
                with torch.no_grad():
                    moment.model[6].weight.zero_()

    config = FineTune(epochs=3, batch_size=128, lr=0.05, device="cpu")
    best, last = (train(digits, Spoils(), Gates, config=config, keep=keep) for keep in ("best", "last"))
    (first,), events = only(TrainOutcome, list(best)), list(last)
    (outcome,) = only(TrainOutcome, events)
    assert first.epoch < 3 and first.top1 > 0.5 and "269 images" in first.chosen_on
    assert outcome.epoch == 3 and outcome.top1 < 0.2 and "last epoch" in outcome.chosen_on
    assert all(event.improved for event in only(Epoch, events))
    assert not last.best_model()[6].weight.any() and best.best_model()[6].weight.any()
    assert int(last.learnt["steps"]) == 3 * 9 and int(best.learnt["steps"]) == first.epoch * 9


# -- objectives --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taught(ObjectiveSpec):
    """Only what the network "teacher" says counts; the labels are not looked at."""

    def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
        return Following(others["teacher"])


class Following(Objective):
    def __init__(self, teacher: nn.Module) -> None:
        self.teacher = teacher

    def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            wanted = self.teacher(x).log_softmax(1)
        student = forward(x).log_softmax(1)
        distance = F.kl_div(student, wanted, log_target=True, reduction="batchmean")
        return distance, distance


def test_an_objective_may_follow_another_network(digits: Parts) -> None:
    fit, held_out, test = digits
    taught = fine_tune(network(), fit, test, FineTune(epochs=3, batch_size=64, lr=0.05, device="cpu"), (), held_out)
    list(taught)
    teacher = taught.best_model()
    wrong = Dataset(fit.images, fit.labels.roll(1), fit.classes, fit.mean, fit.std, fit.name)
    torch.manual_seed(5)
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).eval()
    training = fine_tune(
        student, wrong, test, FAST, (), held_out, objective=Taught(), others={"teacher": teacher}
    )  # fmt: skip
    *_, outcome = training
    assert isinstance(outcome, TrainOutcome) and outcome.top1 > 0.7, "although every label was wrong"
    x = test.normalised(test.images)
    with torch.no_grad():
        agree = training.best_model()(x).argmax(1) == teacher(x).argmax(1)
    assert agree.float().mean() > 0.7


def test_an_objective_may_call_the_network_at_several_widths(digits: Parts) -> None:
    """A sandwich: the whole network, and the one with half of its channels silenced, in every step."""
    shown: list[int] = []

    @dataclass(frozen=True)
    class Sandwich(ObjectiveSpec, Objective):
        def begin(self, model: nn.Module, others: Mapping[str, nn.Module]) -> Objective:
            return self

        def loss(self, forward: Forward, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            widest = F.cross_entropy(forward(x), y)
            narrow = F.cross_entropy(forward(x, {"6.weight": weights[0] * keep}), y)
            shown.append(len(x))
            return widest + narrow, widest

    class Holds(Hook):
        def __init__(self, model: nn.Module, network: Network) -> None:
            weights[:] = [model[6].weight]

    weights: list[Tensor] = []
    keep = torch.ones(128)
    keep[64:] = 0  # the flattened columns of the last four channels
    config = FineTune(epochs=2, batch_size=64, lr=0.05, device="cpu")
    alone, both = train(digits, config=config), train(digits, Holds, config=config, objective=Sandwich())
    list(alone)
    events = list(both)
    narrow = []
    for training in (alone, both):
        half = copy.deepcopy(training.best_model())
        with torch.no_grad():
            half[6].weight *= keep
        narrow.append(evaluate(half, digits[2], device="cpu").top1)
    assert narrow[1] > narrow[0] + 0.05 and only(TrainOutcome, events)[0].top1 > 0.8
    assert sum(shown) == 2 * len(digits[0])


def test_smoothing_is_that_of_the_settings(digits: Parts) -> None:
    config = FineTune(epochs=1, batch_size=256, lr=0.05, label_smoothing=0.3, device="cpu")
    plain, told = train(digits, config=config), train(digits, config=config, objective=CrossEntropy(0.3))
    assert steady(list(plain)) == steady(list(told))
    assert steady(list(train(digits, config=config, objective=CrossEntropy()))) != steady(
        list(train(digits, config=config))
    )
