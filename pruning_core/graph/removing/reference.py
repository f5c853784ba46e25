"""The silenced original: what a removed network is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from pruning_core.errors import UserError
from pruning_core.graph.modules import modules_by_name, named_tensors
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.agreement import GROSS, Agreement, Unlike, compared, is_finite
from pruning_core.graph.removing.inputs import Inputs, rounded_otherwise
from pruning_core.graph.removing.silence import check_fit
from pruning_core.graph.removing.stand_ins import Shaking, StandIns, silenced_slices
from pruning_core.graph.removing.subject import Run, Subject, Way, stand_in_for

# what the precision, or the size of an image, may add or leave out without meaning anything
INCIDENTAL = frozenset({"empty", "empty_like", "_to_copy", "detach", "alias", "lift_fresh", "clone", "copy_"})
# the most telling first; the last is the network as it is
WAYS = (Way(double=True, leaky=True, shaken=True), Way(double=True), Way())


@dataclass(frozen=True)
class Scene:
    """One comparison: how both networks were run on what, and what they did."""

    arguments: tuple[Any, ...]
    way: Way
    ours: Run
    theirs: Run
    agreement: Agreement


class Reference:
    """The original, run while the plan's units are silenced in whatever reads them.

    ``number`` and ``way`` say on which of the inputs, and how, a mistake shows best at the least expense: small images
    serve where the network calls the same operators on them as on captured ones.

    Raises UserError when the plan does not fit, or when the network does not run.
    """

    def __init__(self, model: nn.Module, network: Network, plan: Plan, example: tuple[Any, ...] | None) -> None:
        network.validate(plan)
        self.tensors = named_tensors(model)
        check_fit(self.tensors, network)
        self.shaking = Shaking.of(self.tensors)
        silencing = StandIns(silenced_slices(network, plan), self.shaking)
        self.subject = Subject(stand_in_for(model), silencing, values=self.tensors, also=self.tensors)
        self.inputs = Inputs.of(model, network, example)
        self._runs: dict[tuple[int, Way], Run | Exception] = {}
        self.number, self.way = self._stage(network)
        if self.run(self.number, self.way).seen.outside and any(m.training for m in modules_by_name(model).values()):
            raise UserError(
                "Code of this network holds on to the very object that was given, and that is in training mode. "
                "Call eval() on it first."
            )

    def run(self, number: int, way: Way) -> Run:
        """On one of the inputs, once. Raises whatever the original raises, each time it is asked."""
        if (number, way) not in self._runs:
            try:
                self._runs[number, way] = self.subject.run(self.inputs.every[number], way)
            except Exception as error:  # user code may fail in any way
                self._runs[number, way] = error
        found = self._runs[number, way]
        if isinstance(found, Exception):
            raise found
        return found

    def _stage(self, network: Network) -> tuple[int, Way]:
        problem: Exception | None = None
        for way in WAYS:
            for number in range(0 if way.double else self.inputs.full, len(self.inputs.every)):
                try:
                    run = self.run(number, way)
                except Exception as error:
                    problem = error
                    continue
                if not is_finite(run.outputs):
                    problem = Unlike("the outputs are not finite")
                    break
                if number >= self.inputs.full or _telling(run.seen.trail) == _telling(network.layout.trail):
                    return number, way
        raise UserError(
            f"The network cannot be compared with its pruned self: {first_line(problem)} "
            "Capture it again on an input that it takes."
        ) from problem

    def agreeing(self, arguments: tuple[Any, ...], way: Way, ours: Run, theirs: Run) -> Agreement:
        """How far apart they are. Raises Unlike when that is more than rounding."""
        agreement = compared(ours.outputs, theirs.outputs)
        if agreement.is_rounding:
            return agreement
        if agreement.max_rel < GROSS:
            again = self.subject.run(rounded_otherwise(arguments), way)  # what rounding does to the original alone
            if agreement.is_no_more_than(compared(again.outputs, theirs.outputs)):
                return agreement
        raise Unlike(f"outputs differ by {agreement.max_rel:.1e} of the largest output")


def _telling(trail: Any) -> list[str]:
    return [name for name in trail if name not in INCIDENTAL]


def first_line(error: Exception | None) -> str:
    """Of what an error says, as a sentence."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return line if line.endswith((".", "!", "?")) else line + "."
