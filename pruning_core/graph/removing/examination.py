"""Examining a removed network: is it the cut one that runs, does it compute the same, and would a mistake be seen.

Three things are asked of every candidate, in one pass where one is enough:

* *Identity* (:mod:`.identity`). Every tensor that shrinks stands under its name with its new shape, is read, and shares
  nothing with the original; none of the original's tensors is read; every product is as large as the plan's cost says.
* *Equality* (:mod:`.reference`, :mod:`.training`). The candidate is compared with the original, run while its removed
  channels are silenced in whatever reads them: in float64, with rectifiers that let something through and every
  parameter shaken, so that no closed gate and no dead channel hides a mistake. Training mode is compared too.
* *Evidence* (:mod:`.evidence`). For every weight that reads a group it is shown that reading one channel in another's
  place would change what was compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph.modules import modules_by_name
from pruning_core.graph.network import Cost, Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.agreement import GROSS, Agreement, Unlike, compared
from pruning_core.graph.removing.evidence import blind_groups
from pruning_core.graph.removing.identity import Bound, check_copying, check_reading, check_tensors, cost_of
from pruning_core.graph.removing.inputs import images_in
from pruning_core.graph.removing.reference import Reference, Scene
from pruning_core.graph.removing.stand_ins import StandIns
from pruning_core.graph.removing.subject import Run, Subject, Way
from pruning_core.graph.removing.surgery import kept_positions
from pruning_core.graph.removing.training import trained_scenes


@dataclass(frozen=True)
class Finding:
    """A candidate that passed. ``blind`` are groups in which no mistake would have been seen."""

    agreement: Agreement
    images: int
    blind: tuple[str, ...]
    cost: Cost
    random: bool

    @property
    def dtype(self) -> str:
        return str(next((g.dtype for g in self.agreement.gaps), torch.float32)).removeprefix("torch.")


class Examination:
    """Of the removals of one plan; the silenced original is run once for all of them.

    Raises UserError when the plan does not fit, or when the network does not run.
    """

    def __init__(self, model: nn.Module, network: Network, plan: Plan, example: tuple[Any, ...] | None) -> None:
        self.network, self.plan = network, plan
        self.reference = Reference(model, network, plan, example)
        self.kept = kept_positions(network, plan)
        self.foreign = {**_loose_tensors(model), **self.reference.tensors}

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Noise of the captured sizes."""
        return self.reference.inputs.captured

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the original's tensors, by name."""
        return {name: tuple(tensor.shape) for name, tensor in self.reference.tensors.items()}

    def examine(self, candidate: nn.Module, *, whole: bool) -> Finding:
        """``whole``: the network's own classes, which must do all that the original does, and train as it does.

        Raises Unlike, or whatever the candidate raises.
        """
        reference, subject = self.reference, self._subject(candidate)
        with self._bound(subject):
            number, scene = self._first(subject, whole=whole)
        cost = cost_of(subject, reference, scene, self.network, self.plan, whole=whole)
        agreements, images = [scene.agreement], images_in(scene.arguments)
        if reference.inputs.given is not None or scene.theirs.seen.reads_values:
            seen, images = self._as_it_is(subject)
            agreements.append(seen)
        scenes = [scene]
        if whole:
            check_copying(subject, scene.arguments)
            scenes += trained_scenes(subject, reference, scene, self.kept)
        blind, inner = blind_groups(
            subject, reference, self.network, self.plan, scenes, self._others(subject, number, scene)
        )
        worst = max([*agreements, *inner], key=lambda a: a.max_rel)
        return Finding(worst, images, blind, cost, scene.theirs.seen.random)

    def look(self, candidate: nn.Module, *, whole: bool) -> tuple[Finding, Run]:
        """Identity alone, for what has no silenced counterpart, and the run where that was looked at.

        Raises Unlike, or whatever the candidate raises.
        """
        reference, subject = self.reference, self._subject(candidate)
        with self._bound(subject):
            number, ours = self._run(subject, whole=whole)
            arguments, theirs = reference.inputs.every[number], reference.run(number, reference.way)
            check_reading(ours.seen, theirs.seen, self.kept, whole=whole)
        scene = Scene(arguments, reference.way, ours, theirs, compared(ours.outputs, theirs.outputs))
        cost = cost_of(subject, reference, scene, self.network, self.plan, whole=whole)
        return Finding(scene.agreement, images_in(arguments), (), cost, theirs.seen.random), ours

    def _subject(self, candidate: nn.Module) -> Subject:
        subject = Subject(candidate, StandIns(shaking=self.reference.shaking, kept=self.kept), foreign=self.foreign)
        check_tensors(subject, self.reference.tensors, self.kept)
        return subject

    def _first(self, subject: Subject, *, whole: bool) -> tuple[int, Scene]:
        """The comparison that shows most, and the number of its input."""
        number, ours = self._run(subject, whole=whole)
        return number, self._compared(number, self.reference.way, ours, whole=whole)

    def _run(self, subject: Subject, *, whole: bool) -> tuple[int, Run]:
        """A recorded program may have the captured sizes written into it, where the original takes small images too."""
        inputs, number, way = self.reference.inputs, self.reference.number, self.reference.way
        try:
            return number, subject.run(inputs.every[number], way)
        except RuntimeError:
            if whole or number >= inputs.full:
                raise
        return inputs.full, subject.run(inputs.captured, way)

    def _scene(self, subject: Subject, number: int, way: Way, *, whole: bool) -> Scene:
        """Both networks on one of the inputs. Raises Unlike when they differ by more than rounding."""
        ours = subject.run(self.reference.inputs.every[number], way)
        return self._compared(number, way, ours, whole=whole)

    def _compared(self, number: int, way: Way, ours: Run, *, whole: bool) -> Scene:
        arguments, theirs = self.reference.inputs.every[number], self.reference.run(number, way)
        check_reading(ours.seen, theirs.seen, self.kept, whole=whole)
        return Scene(arguments, way, ours, theirs, self.reference.agreeing(arguments, way, ours, theirs))

    def _others(self, subject: Subject, done: int, first: Scene) -> Iterator[Scene]:
        """The same on inputs of the captured sizes, for what has not shown yet."""
        reference = self.reference
        for number in range(reference.inputs.full, len(reference.inputs.every)):
            if number == done:
                yield first
                continue
            try:
                reference.run(number, reference.way)
            except Exception:  # what the original does not take shows nothing
                continue
            yield self._scene(subject, number, reference.way, whole=False)

    def _as_it_is(self, subject: Subject) -> tuple[Agreement, int]:
        """Both networks unchanged, in their own precision, on the person's inputs. Raises Unlike."""
        original, inputs = self.reference.subject, self.reference.inputs
        arguments = inputs.captured if inputs.given is None else inputs.given
        theirs, ours = original.run(arguments, Way()), subject.run(arguments, Way())
        check_reading(ours.seen, theirs.seen, self.kept, whole=False)
        seen = compared(ours.outputs, theirs.outputs)
        if not seen.is_rounding:
            double = Way(double=True)
            if (
                seen.max_rel >= GROSS
                or not compared(
                    subject.run(arguments, double).outputs, original.run(arguments, double).outputs
                ).is_rounding
            ):
                raise Unlike(f"outputs differ by {seen.max_rel:.1e} of the largest output")
        return seen, images_in(arguments)

    @contextlib.contextmanager
    def _bound(self, subject: Subject) -> Iterator[None]:
        """Whatever goes wrong once the original is reached goes wrong because of that."""
        try:
            yield
        except Exception as error:
            if subject.seen.foreign:
                raise Bound(f"it reads {min(subject.seen.foreign)} of the original") from error
            raise


def _loose_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Tensors that modules keep as ordinary attributes."""
    found = {}
    for name, module in modules_by_name(model).items():
        for key, value in module.__dict__.items():
            if isinstance(value, Tensor):
                found[f"{name}.{key}" if name else key] = value
    return found
