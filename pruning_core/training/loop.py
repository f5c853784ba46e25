"""The training loop: a generator of events around one copy of a network."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from math import isfinite
from typing import Literal

import torch
from torch import Tensor, nn

from pruning_core.datasets.dataset import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Network, copies
from pruning_core.measuring.device import choose_device, device_title
from pruning_core.measuring.evaluate import Tally, predicting
from pruning_core.measuring.measures import Accuracy
from pruning_core.measuring.registry import measure_of, named
from pruning_core.training.batches import derived, shuffled, steps_per_epoch
from pruning_core.training.begun import Company
from pruning_core.training.checkpoint import Best, Checkpoint, copied
from pruning_core.training.config import FineTune
from pruning_core.training.events import Checking, Epoch, Step, TrainEvent, TrainOutcome
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.learner import Learner
from pruning_core.training.loss import ObjectiveSpec, usual
from pruning_core.training.memory import LOOKED_AT, check_memory
from pruning_core.training.meter import Meter
from pruning_core.training.pace import Pace

EVERY = 0.25  # seconds between events inside an epoch
HELD_OUT = 0.1  # share of the training images set apart when the caller brings no held-out images
STEP, BEGIN, EPOCH_START, EPOCH_END, CHECK = range(1, 6)  # what random numbers are drawn for: each a stream of its own
Keep = Literal["best", "last"]


def fine_tune(
    model: nn.Module,
    train: Dataset,
    test: Dataset,
    config: FineTune,
    hooks: Sequence[HookSpec] = (),
    held_out: Dataset | None = None,
    start: Checkpoint | None = None,
    *,
    network: Network | None = None,
    objective: ObjectiveSpec | None = None,
    others: Mapping[str, nn.Module] | None = None,
    keep: Keep = "best",
) -> Training:
    """Train a copy of ``model``; iterate over what is returned to make it happen.

    The weights kept are those of the epoch with the best accuracy on ``held_out`` (by default a tenth of ``train``, set
    apart and not trained on), so that test images never choose. Epoch 0, the network as it came, is one of them: a
    training that only makes it worse gives it back. ``keep`` "last" keeps those of the last epoch instead: what a
    method needs that shapes the weights while it trains. ``start`` continues an earlier training exactly.

    ``hooks`` take part in it and need ``network``, the capture of ``model``. ``objective`` is what is minimised (by
    default what the measure of ``train`` asks for: cross-entropy with the configured smoothing where it decides for
    classes); ``others`` are the networks that it may ask for by name.
    Raises UserError, while iterating, for what cannot be trained on these data.
    """
    measure = measure_of(train)
    objective = usual(measure, config.label_smoothing) if objective is None else objective.judged_by(measure)
    company = Company(tuple(hooks), network, objective, others or {})
    return Training(model, (train, held_out, test), config, company, start, keep)


class Training(Iterator[TrainEvent]):
    """An iterator of events. ``best`` and ``checkpoint()`` can be read between events and after ``close()``.

    In order: an Epoch 0 before training; Steps and Checkings several times a second; an Epoch at the end of each; one
    TrainOutcome. At the end ``learnt`` is what the hooks had found out when the weights that are kept were measured.
    """

    def __init__(
        self,
        model: nn.Module,
        data: tuple[Dataset, Dataset | None, Dataset],
        config: FineTune,
        company: Company,
        start: Checkpoint | None,
        keep: Keep,
    ) -> None:
        self.config, self.best = config, start.best if start else None
        self.learnt: dict[str, Tensor] = {}
        self._source, self._company, self._start, self._keep = model, company, start, keep
        self._train, self._held_out, self._test = data
        self._epoch, self._step = (start.epoch, start.step) if start else (1, 0)
        self._start_top1 = start.start_top1 if start else 0.0
        self._ended = start.ended if start else False
        self._loss, self._penalty = Meter(start.loss_sum if start else 0.0), Meter(start.penalty_sum if start else 0.0)
        self._learner: Learner | None = None
        self._left: Checkpoint | None = start
        self._events = self._run()

    def __next__(self) -> TrainEvent:
        return next(self._events)

    def close(self) -> None:
        """Stop at once: hooks are gone, memory is freed, ``best`` and ``checkpoint()`` stay. Safe to call twice."""
        self._events.close()

    def best_model(self) -> nn.Module:
        """A new network with the best weights so far, on the CPU, in evaluation mode."""
        network = copies.copied(self._source).cpu()
        if self.best is not None:
            network.load_state_dict(self.best.state)
        return network.eval()

    def checkpoint(self) -> Checkpoint | None:
        """Where the training stands (after ``close``: where it stopped); None before its first evaluation."""
        if self._learner is None or self.best is None:
            return self._left
        return Checkpoint(
            epoch=self._epoch,
            step=self._step,
            steps=self._steps,
            seconds=self._pace.spent,
            start_top1=self._start_top1,
            loss_sum=float(self._loss.total),
            model=copied(self._learner.model),
            optimizer=copy.deepcopy(self._learner.optimizer.state_dict()),
            best=self.best,
            penalty_sum=float(self._penalty.total),
            hooks=self._learner.hooks.state(),
            ended=self._ended,
        )

    # -- the inside --------------------------------------------------------------------------------------------------

    def _run(self) -> Generator[TrainEvent, None, None]:
        self._train.check_trainable()
        device = choose_device(self.config.device)
        train, held_out = self._apart()
        self._steps = steps_per_epoch(len(train), self.config.batch_size)
        self._pace = Pace(self.config, self._steps, self._start.seconds if self._start else 0.0)
        learner = Learner(self._source, self.config, device)
        if device == "cpu":  # a GPU says itself that it is full
            check_memory(learner.model, train.normalised(train.images[:LOOKED_AT]), self.config)
        train, held_out, test = (_resident(data, device) for data in (train, held_out, self._test))
        with ExitStack() as stack:
            stack.callback(self._leave)
            self._equip(learner, stack)
            self._learner = learner
            try:
                if self._start is None:
                    yield (yield from self._check(learner, 0, None, held_out, test))
                # The first epoch always begins, and one that was begun is always evaluated.
                while self._epoch == 1 or self._step > 0 or self._done() < 1.0:
                    yield from self._train_epoch(learner, train)
                    loss = float(self._loss.total) / self._step
                    event = yield from self._check(learner, self._epoch, loss, held_out, test)
                    self._epoch, self._step, self._ended = self._epoch + 1, 0, False
                    self._loss.begin_epoch()
                    self._penalty.begin_epoch()
                    yield event  # the next epoch has begun: whoever stops here resumes behind this event
            except GeneratorExit:
                self._left = self.checkpoint()
                raise
            assert self.best is not None  # the first check has set it
            self._left = self.checkpoint()
            self.learnt = learner.hooks.learnt(self.best.hooks)
            yield self._outcome(self.best.epoch, held_out, device)

    def _equip(self, learner: Learner, stack: ExitStack) -> None:
        """Begin the hooks with the weights that the training starts from, also where it goes on later than that."""
        with learner.dice(derived(self.config.seed, 0, 0, BEGIN)):
            hooks, objective = self._company.begin(learner.model, stack)
        learner.equip(hooks, objective)
        if self._start is not None:
            learner.load(self._start)

    def _train_epoch(self, learner: Learner, train: Dataset) -> Iterator[TrainEvent]:
        config, pace = self.config, self._pace
        if self._step == 0:
            learner.tell(Hook.epoch_start, self._moment(learner), derived(config.seed, self._epoch, 0, EPOCH_START))
        batches = shuffled(
            train, config.batch_size, config.augment, config.seed, self._epoch, learner.device, self._step
        )
        pace.open_window()
        moment, quiet = None, True
        for x, y in batches:
            quiet = True
            moment = self._moment(learner)
            loss, penalty = learner.learn(x, y, moment, derived(config.seed, self._epoch, self._step, STEP))
            self._step += 1
            self._loss.add(loss)
            if penalty is not None:
                self._penalty.add(penalty)
            pace.stepped(len(y))
            if pace.window >= EVERY:
                yield self._told(learner, moment)
                quiet = False
            if config.minutes and self._done() >= 1.0:
                break
        if quiet and moment is not None:  # whoever follows hears of the last step too
            yield self._told(learner, moment)
        self._finite(self._loss.total)
        pace.close_window()
        if not self._ended:  # gone on with while this epoch was being measured
            learner.tell(Hook.epoch_end, self._moment(learner), derived(config.seed, self._epoch, 0, EPOCH_END))
            self._ended = True

    def _told(self, learner: Learner, moment: Moment) -> Step:
        """What the steps since the last such event came to."""
        smooth = self._finite(self._loss.average)
        penalty = self._penalty.average if learner.hooks.penalises else None
        self._pace.close_window()
        position, pace = self._position, self._pace
        return Step(
            epoch=self._epoch,
            position=position,
            done=self._done(),
            loss=smooth,
            rate=moment.rate,
            images_per_s=pace.images_per_s,
            seconds_left=pace.left(position),
            penalty=penalty,
        )

    def _check(
        self, learner: Learner, epoch: int, train_loss: float | None, held_out: Dataset, test: Dataset
    ) -> Generator[TrainEvent, None, Epoch]:
        """Evaluate, keep the weights when they are the best, and return the epoch's event."""
        began, total = self._pace.spent, len(held_out) + len(test)
        learner.training_mode(False)
        model, exchanged = learner.measured(self._moment(learner), derived(self.config.seed, epoch, 0, CHECK))
        tallies, shown = (Tally(held_out), Tally(test)), self._pace.spent
        results: list[Accuracy] = []
        with learner.viewable():
            for data, tally in zip((held_out, test), tallies):
                for batch in predicting(model, data, device=learner.device):
                    result = tally.add(batch)
                    if self._pace.spent - shown >= EVERY:
                        shown = self._pace.spent
                        yield Checking(epoch, sum(r.images for r in results) + result.images, total)
                results.append(result)
        learner.training_mode(True)
        chosen, tested = results
        self._pace.checked(self._pace.spent - began)
        if epoch == 0:
            self._start_top1 = tested.top1
        judged = named(chosen.measure).better(chosen.top1)
        improved = self._keep == "last" or self.best is None or self.best.beaten_by(judged, chosen.loss)
        penalised = train_loss is not None and learner.hooks.penalises
        event = Epoch(
            epoch=epoch,
            train_loss=train_loss,
            top1=tested.top1,
            top5=tested.top5,
            low=tested.low,
            high=tested.high,
            loss=tested.loss,
            images=tested.images,
            chosen_by=judged,
            improved=improved,
            rate=self.config.rate(self._done()),
            images_per_s=self._pace.images_per_s,
            seconds=self._pace.spent,
            penalty=float(self._penalty.total) / self._step if penalised else None,
            watched=learner.hooks.watched(self._moment(learner)),
            measure=tested.measure,
        )
        if improved:
            state = learner.hooks.folded(copied(learner.model), exchanged)
            self.best = Best(state, event, chosen.loss, learner.hooks.state())
        return event

    def _outcome(self, kept: Epoch, held_out: Dataset, device: str) -> TrainOutcome:
        chosen = f"{len(held_out)} images of {held_out.name} that were not trained on in this run"
        return TrainOutcome(
            epoch=kept.epoch,
            epochs=self._epoch - 1,
            top1=kept.top1,
            top5=kept.top5,
            low=kept.low,
            high=kept.high,
            images=kept.images,
            start_top1=self._start_top1,
            chosen_on=chosen if self._keep == "best" else "no images: the weights of the last epoch are kept",
            seconds=self._pace.spent,
            device=device_title(device),
            seed=self.config.seed,
            measure=kept.measure,
        )

    def _apart(self) -> tuple[Dataset, Dataset]:
        if self._held_out is not None:
            return self._train, self._held_out
        return self._train.split_off(HELD_OUT, self.config.seed)

    @property
    def _position(self) -> float:
        return self._epoch - 1 + self._step / self._steps

    def _done(self) -> float:
        return self.config.done(self._position, self._pace.spent)

    def _moment(self, learner: Learner) -> Moment:
        done = self._done()
        return Moment(learner.model, self._epoch, self._step, self._steps, done, self.config.rate(done))

    def _finite(self, loss: Tensor | float) -> float:
        value = float(loss)
        if not isfinite(value):
            raise UserError(
                f"The training loss became NaN or infinite in epoch {self._epoch}. "
                f"Choose a lower learning rate (it was {self.config.lr:g}), or check the data's mean and deviation."
            )
        return value

    def _leave(self) -> None:
        self._learner = None


def _resident(data: Dataset, device: str) -> Dataset:
    """The data on the device, where they take less than half of its free memory; else they travel batch by batch."""
    if not device.startswith("cuda"):
        return data
    free, _ = torch.cuda.mem_get_info(torch.device(device))
    return data.to(device) if data.images.nbytes < free / 2 else data
