"""Removing a plan's units for real, with the proof that nothing else changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pruning_core.errors import UserError, quoted
from pruning_core.graph.modules import modules_by_name
from pruning_core.graph.network import Cost, Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.agreement import Unlike, compared
from pruning_core.graph.removing.blame import AT, smallest
from pruning_core.graph.removing.examination import Examination, Finding
from pruning_core.graph.removing.identity import Bound
from pruning_core.graph.removing.leftovers import left_behind
from pruning_core.graph.removing.program import build_program
from pruning_core.graph.removing.proof import Proof
from pruning_core.graph.removing.reference import first_line
from pruning_core.graph.removing.subject import Run
from pruning_core.graph.removing.surgery import cut
from pruning_core.graph.undisturbed import undisturbed

PROGRAM_NOTE = (
    "The network's own code has sizes written into it, so this is its recorded evaluation as a program: "
    "dropout that is called as a function is not part of it."
)
BOUND_NOTE = (
    "The network's own code holds on to the object that it was written for, so this is its recorded evaluation as a "
    "program: dropout that is called as a function is not part of it."
)
RANDOM_NOTE = "The network draws random numbers when it is evaluated; for the proof they were held still."
BOLD = "module"  # the first form that is tried
UNCHECKED_NOTE = "The order of the channels that are left could not be checked by a second way of removing them."


@dataclass(frozen=True)
class Removal:
    """``form`` is "module" (the model's own classes, smaller) or "program" (its recorded operators as a module).

    ``cost`` is counted on ``model`` itself: a program leaves out what the network computes and never uses.
    ``bold``: numbers that modules keep were changed although their code works with several dimensions of that size
    (see :func:`pruning_core.graph.removing.surgery.cut`); whoever repeats the removal must do the same.
    """

    model: nn.Module
    form: str
    proof: Proof
    cost: Cost
    notes: tuple[str, ...] = ()
    bold: bool = False


def remove(model: nn.Module, network: Network, plan: Plan, example: Tensor | tuple[Any, ...] | None = None) -> Removal:
    """A new, smaller network; the caller's is untouched.

    The result is checked against the silenced original, on noise and, with an ``example``, on that as well
    (:mod:`pruning_core.graph.removing.examination`). The model's own classes are tried first; where their code has
    sizes written into it or holds on to the original object, the recorded program is used instead. Approximate groups
    have no silenced counterpart: there the two forms check each other.
    Raises UserError when the plan does not fit, or when neither form reproduces the silenced network.
    """
    given = example if example is None or isinstance(example, tuple) else (example,)
    modes = {name: module.training for name, module in modules_by_name(model).items()}
    with undisturbed(model):  # code that holds on to the caller's object runs on it
        try:
            removal = _removed(model, network, plan, given)
        except Refused as refusal:
            raise _named(refusal, model, network, plan, given) from refusal
    for name, module in modules_by_name(removal.model).items():
        module.training = modes.get(name, model.training)
    return removal


class Refused(Exception):
    """No form computes the same; says what became of each."""


def _removed(model: nn.Module, network: Network, plan: Plan, example: tuple[Any, ...] | None) -> Removal:
    forms = _Forms(model, network, plan, Examination(model, network, plan, example))
    return forms.proven() if all(network.group(key).exact for key in plan) else forms.agreed()


def _named(
    refusal: Refused, model: nn.Module, network: Network, plan: Plan, example: tuple[Any, ...] | None
) -> UserError:
    """Which groups cannot be cut, and where that fails; parts of the plan are tried by themselves."""
    said = {tuple(plan): str(refusal)}

    def fails(part: Plan) -> bool:
        try:
            _removed(model, network, part, example)
        except Refused as error:
            said[tuple(part)] = str(error)
        except UserError:  # it cannot be compared at all, which says nothing of the part
            return False
        return tuple(part) in said

    part = smallest(plan, fails)
    named = " and ".join(map(quoted, part))
    together = f"Channels of {named} cannot be removed" + (" together" if len(part) > 1 else "")
    rest = "" if len(part) == len(plan) else " The other groups of the plan are not what fails."
    alone = said[tuple(part)]
    why = alone if alone == str(refusal) else f"{alone}; the whole plan {refusal}"
    return UserError(
        f"{together}: the network would no longer compute the same as with these channels silenced "
        f"({why}).{rest} Leave {'one of them' if len(part) > 1 else 'it'} out of the plan."
    )


class _Forms:
    """Builds both forms, and remembers what went wrong."""

    def __init__(self, model: nn.Module, network: Network, plan: Plan, examination: Examination) -> None:
        self.examination = examination
        self.problems: dict[str, Exception] = {}
        self.builders: dict[str, Callable[[], nn.Module]] = {
            BOLD: lambda: cut(model, network, plan, bold=True),
            "module, cautious": lambda: cut(model, network, plan),
            "program": lambda: build_program(model, network, plan, examination.arguments),
        }

    def proven(self) -> Removal:
        """The first form that passes."""
        for form, build in self.builders.items():
            try:
                candidate = build()
                found = self.examination.examine(candidate, whole=form != "program")
            except UserError:
                raise
            except Exception as error:  # user code fails in any way once its sizes change: that is being found out
                self.problems[form] = error
                continue
            return self._removal(candidate, form, found)
        raise self._refusal()

    def agreed(self) -> Removal:
        """The form that computes what the other computes; the only one, if there is only one."""
        found: dict[str, tuple[nn.Module, Finding, Run]] = {}
        for form in (BOLD, "program"):
            try:
                candidate = self.builders[form]()
                found[form] = (candidate, *self.examination.look(candidate, whole=form != "program"))
            except UserError:
                raise
            except Exception as error:
                self.problems[form] = error
        if not found:
            raise self._refusal()
        form = next(iter(found))
        notes: tuple[str, ...] = ()
        if len(found) == 2:
            ours, theirs = found[BOLD][2], found["program"][2]
            form = BOLD if self._is_same(ours, theirs) else "program"
        elif form == BOLD:
            notes = (UNCHECKED_NOTE,)
        candidate, finding, _ = found[form]
        return self._removal(candidate, form, finding, exact=False, notes=notes)

    @staticmethod
    def _is_same(ours: Run, theirs: Run) -> bool:
        try:
            return compared(ours.outputs, theirs.outputs).is_rounding
        except Unlike:
            return False

    def _removal(
        self, model: nn.Module, form: str, found: Finding, *, exact: bool = True, notes: tuple[str, ...] = ()
    ) -> Removal:
        if form == "program":
            notes = (BOUND_NOTE if self._is_bound else PROGRAM_NOTE, *notes)
        elif left := left_behind(model, self.examination.shapes, self.examination.kept):
            notes = (*notes, left)
        if found.random:
            notes = (*notes, RANDOM_NOTE)
        if found.blind:
            proof = Proof.blind(found.blind, found.dtype, found.images)
        else:
            proof = Proof(found.agreement.max_abs, found.agreement.max_rel, found.dtype, found.images, exact)
        return Removal(model, form.partition(",")[0], proof, found.cost, notes, form == BOLD)

    @property
    def _is_bound(self) -> bool:
        return any(isinstance(problem, Bound) for problem in self.problems.values())

    def _refusal(self) -> Refused:
        return Refused("; ".join(f"as a {form}: {_said(problem)}" for form, problem in self.problems.items()))


def _said(problem: Exception) -> str:
    if isinstance(problem, Unlike):
        return str(problem)
    where = next((note for note in getattr(problem, "__notes__", ()) if note.startswith(AT)), "")
    return f"{type(problem).__name__}: {first_line(problem).rstrip('.')}{where and f' ({where})'}"
