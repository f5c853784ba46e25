"""What a person moving sliders asks of a network: an accuracy at once, and a measured one right after it.

The estimate is first order. Around the plan measured last, every class score of every image is taken as linear in the
gates of the channels (:mod:`gates`); an image counts as right when its true class keeps the highest of the predicted
scores. Predicted changes are added to the accuracy measured there. Far from that plan the estimate is too high: scores
are not linear, and channels that are cut together stand in for each other. So it is overwritten by a measurement, and
the terms are taken anew there.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from pruning_core.datasets.dataset import Dataset
from pruning_core.graph import Network, Plan, remove
from pruning_core.measuring.device import choose_device, device_title
from pruning_core.measuring.evaluate import Batch, Tally
from pruning_core.measuring.forward import check_scores, outputs_for, precision, ready
from pruning_core.measuring.measures import TOP1, Accuracy, Drop
from pruning_core.measuring.registry import measure_of
from pruning_core.replay.gates import Expansion, Gates
from pruning_core.replay.planned import Kept, PlannedReplay
from pruning_core.replay.recheck import error_of, rechecked
from pruning_core.replay.steps import NotReplayable, record_steps

BATCH_MACS = 5.5e9  # of one batch: a first answer within a tenth of a second on two processor cores
LARGEST, SMALLEST = 128, 8  # images of a batch
EXPANDED, LEAST_EXPANDED = 128, 32  # images that the first-order terms are taken on
EXPANDED_MACS = 3e10  # of them together, where that is enough for the least
KEPT_BYTES = 192 << 20  # activations kept between plans
EXPANSIONS, ANSWERS = 6, 200  # plans remembered

Key = TypeVar("Key")
Known = TypeVar("Known")


@dataclass(frozen=True)
class Estimate:
    """``top1`` in [0, 1] by first-order terms of ``images`` images around a plan that ``units`` units differ from."""

    top1: float
    images: int
    units: int
    milliseconds: float
    measure: str = TOP1


@dataclass(frozen=True)
class Measured:
    """A plan's accuracy, and what it lost against the unpruned network on the same images."""

    accuracy: Accuracy
    drop: Drop


class Slider:
    """One network on one sample of images; may be shared by threads.

    ``dataset`` holds the sample, in the size that the network takes; the first images are asked first, so it must be
    in random order. Raises UserError when network and data do not fit.
    """

    def __init__(self, model: nn.Module, network: Network, dataset: Dataset, *, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.given, self.network, self.dataset = model, network, dataset
        self.model = ready(model, self.device)
        macs = max(1, network.cost().macs)
        self.size = max(SMALLEST, min(LARGEST, int(BATCH_MACS / macs)))
        self.rows = torch.arange(len(dataset)).split(self.size)
        wanted = max(LEAST_EXPANDED, min(EXPANDED, EXPANDED_MACS / macs))
        self.expanded = max(1, min(len(self.rows), round(wanted / self.size)))  # batches
        example = self._images(0)[:1]
        self.measure = measure_of(dataset)
        outputs = outputs_for(self.model, example.to(self.device, precision(self.model)))
        if self.measure.decides:
            check_scores(outputs, len(dataset.classes))
        self.full, self.fast = self._replays(example)
        self.gates = Gates(self.fast) if self.fast and self.measure.decides else None
        self.keep = self.fast.worth_keeping(KEPT_BYTES // len(dataset)) if self.fast else frozenset()
        self.kept: dict[int, Kept] = {}
        self.errors: dict[int, float] = {}  # of the rough scores of each batch
        self.checked: OrderedDict[Plan, float] = OrderedDict()  # errors of plans' rough scores, on the images before
        self.base = Tally(dataset)  # the unpruned network's, filled batch after batch
        self.known = set[int]()  # batches of it
        self.expansions: OrderedDict[Plan, Expansion] = OrderedDict()
        self.answers: OrderedDict[Plan, Measured] = OrderedDict()
        self.removed: tuple[Plan, nn.Module] | None = None
        self.lock = threading.Lock()

    def _replays(self, example: Tensor) -> tuple[PlannedReplay | None, PlannedReplay | None]:
        """(one to be trusted, a fast one); the same where nothing is faster."""
        given = (self.given, self.network, example)
        try:
            recorded = record_steps(*given, takes=self.measure.takes)
            full = PlannedReplay.trusted(*given, device=self.device, recorded=recorded)
            if not self.measure.decides:  # the numbers themselves matter, not which of them is the largest
                return full, full
            return full, PlannedReplay.quick(*given, device=self.device, recorded=recorded) or full
        except NotReplayable:
            return None, None

    def _images(self, batch: int) -> Tensor:
        return self.dataset.normalised(self.dataset.images[self.rows[batch]], precision(self.model))

    # -- the estimate --------------------------------------------------------------------------------------------------
    def estimates(self, plan: Plan) -> bool:
        """Whether a plan has first-order terms: all its groups are exact, and the network runs in steps."""
        return self.fast is not None and self.gates is not None and self.fast.can(plan)

    def expanding(self, plan: Plan) -> Iterator[int]:
        """Take the first-order terms around ``plan``, yielding the images done; nothing when they are known."""
        if self.gates is None or not self.estimates(plan) or plan in self.expansions:
            return
        parts = []
        for batch in range(self.expanded):
            labels = self.dataset.labels[self.rows[batch]]
            with self.lock:
                parts.append(self.gates.expand(self._images(batch), labels, plan))
            yield sum(len(part.scores) for part in parts)
        _remember(self.expansions, plan, Expansion.joined(parts), EXPANSIONS)

    def estimate(self, plan: Plan) -> Estimate | None:
        """From the nearest plan whose terms are known; None where there is none or it cannot say."""
        began = time.perf_counter()
        if not self.expansions or not self.estimates(plan):
            return None
        there = torch.from_numpy(self.network.keep(plan))[:-1].float()
        nearest, units, change = None, torch.empty(0, dtype=torch.int64), torch.empty(0)
        for found in tuple(self.expansions.values()):
            difference = there - torch.from_numpy(self.network.keep(found.plan))[:-1].float()
            differing = difference.nonzero().flatten()
            if nearest is None or len(differing) < len(units):
                nearest, units, change = found, differing, difference[differing]
        assert nearest is not None
        before, after = (s.argmax(1) == 0 for s in (nearest.scores, nearest.predicted(units, change)))
        measured = self.answers.get(nearest.plan)
        start = measured.accuracy.top1 if measured else float(before.float().mean())
        top1 = start + float(after.float().mean() - before.float().mean())
        took = 1000 * (time.perf_counter() - began)
        return Estimate(min(1.0, max(0.0, top1)), len(before), len(units), took, self.measure.key)

    # -- the measurement -----------------------------------------------------------------------------------------------
    def measured(self, plan: Plan) -> Measured | None:
        """The complete answer, where this plan was measured before."""
        return self.answers.get(plan)

    def measuring(self, plan: Plan) -> Iterator[Measured]:
        """Measure a plan, yielding after every batch; the last one has seen every image.

        Predictions are those of the really smaller network. Raises UserError when the plan does not fit the network.
        """
        self.network.validate(plan)
        tally = Tally(self.dataset)
        for batch, rows in enumerate(self.rows):
            with self.lock:
                self._unpruned(batch)
                accuracy = tally.add(Batch(rows, self._scores(plan, batch), self.dataset.labels[rows]))
            seen = accuracy.images
            found = Measured(accuracy, self.base.marks.first(seen).drop(tally.marks.first(seen)))
            if accuracy.complete:
                _remember(self.answers, plan, found, ANSWERS)
            yield found

    def instead(self, other: nn.Module) -> Measured:
        """What a changed copy of the network, such as one with zeros in it, is worth on the same images.

        Raises UserError when it cannot read them or returns something else.
        """
        tally, changed = Tally(self.dataset), ready(other, self.device)
        for batch, rows in enumerate(self.rows):
            with self.lock:
                self._unpruned(batch)
            outputs = self._outputs(changed, batch)
            if self.measure.decides:
                check_scores(outputs, len(self.dataset.classes))
            accuracy = tally.add(Batch(rows, outputs, self.dataset.labels[rows]))
        return Measured(accuracy, self.base.marks.drop(tally.marks))

    def _unpruned(self, batch: int) -> None:
        """Judge the network as it is; and find out how far off its rough scores are."""
        if batch in self.known:
            return
        if self.full is None:
            sure = self._scores(Plan(), batch)
        else:
            sure = self.full.planned(Plan(), self.full.kept(self._images(batch))).float().cpu()
            if self.fast is not self.full:
                self.errors[batch] = error_of(self._rough(Plan(), batch), sure)
        rows = self.rows[batch]
        self.base.add(Batch(rows, sure, self.dataset.labels[rows]))
        self.known.add(batch)

    def _rough(self, plan: Plan, batch: int) -> Tensor:
        assert self.fast is not None
        if batch not in self.kept:
            self.kept[batch] = self.fast.kept(self._images(batch))
        return self.fast.planned(plan, self.kept[batch], self.keep).float().cpu()

    def _scores(self, plan: Plan, batch: int) -> Tensor:
        """Outputs (n, …), float32 on the CPU; enough of it at full precision to trust the predictions."""
        if self.full is None or not self.full.can(plan):
            return self._outputs(self._smaller(plan), batch)
        scores = self._rough(plan, batch)
        return scores if self.fast is self.full else self._checked(plan, batch, scores)

    def _outputs(self, network: nn.Module, batch: int) -> Tensor:
        x = self._images(batch).to(self.device)
        return outputs_for(network, x, self.measure.takes).float().cpu()

    def _smaller(self, plan: Plan) -> nn.Module:
        if self.removed is None or self.removed[0] != plan:
            removed = remove(self.given, self.network, plan).model.eval().to(self.device) if plan else self.model
            self.removed = plan, removed
        return self.removed[1]

    def _checked(self, plan: Plan, batch: int, rough: Tensor) -> Tensor:
        full, x = self.full, self._images(batch)
        assert full is not None
        scores, error = rechecked(
            rough,
            self.errors[batch],
            lambda rows: full.planned(plan, full.kept(x[rows])).float().cpu(),
            self.checked.get(plan),
        )
        _remember(self.checked, plan, error, ANSWERS)
        return scores

    @property
    def title(self) -> str:
        """Where it is computed, for a person."""
        return device_title(self.device)


def _remember(known: OrderedDict[Key, Known], key: Key, value: Known, most: int) -> None:
    known[key] = value
    while len(known) > most:
        known.popitem(last=False)
