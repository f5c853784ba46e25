"""Removing a plan's units for real, with the proof that nothing else changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pruning_core.errors import UserError
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.mistakes import mistaken
from pruning_core.graph.removing.program import build_program
from pruning_core.graph.removing.proof import (
    GROSS,
    TELLING,
    TOLERANCE,
    Comparison,
    Proof,
    Reference,
    doubled,
    largest,
    largest_difference,
    run,
)
from pruning_core.graph.removing.silence import silenced_tensors
from pruning_core.graph.removing.surgery import cut

PROGRAM_NOTE = (
    "The network's own code has sizes written into it, so this is its recorded evaluation as a program: "
    "dropout that is called as a function is not part of it."
)
BOLD = "module"  # the first form that is tried
UNCHECKED_NOTE = "The order of the channels that are left could not be checked by a second way of removing them."


@dataclass(frozen=True)
class Removal:
    """``form`` is "module" (the model's own classes, smaller) or "program" (its recorded operators as a module).

    ``bold``: numbers that modules keep were changed although their code works with several dimensions of that size
    (see :func:`pruning_core.graph.removing.surgery.cut`); whoever repeats the removal must do the same.
    """

    model: nn.Module
    form: str
    proof: Proof
    notes: tuple[str, ...] = ()
    bold: bool = False


@dataclass(frozen=True)
class _Candidate:
    model: nn.Module
    form: str
    comparison: Comparison
    bold: bool

    def removal(self, arguments: tuple[Any, ...], exact: bool, *notes: str) -> Removal:
        images = next((len(a) for a in arguments if isinstance(a, Tensor) and a.dim()), 1)
        c = self.comparison
        notes = ((PROGRAM_NOTE,) if self.form == "program" else ()) + notes
        proof = Proof(c.max_abs, c.max_rel, str(c.dtype).removeprefix("torch."), images, exact)
        return Removal(self.model, self.form, proof, notes, self.bold)


def remove(model: nn.Module, network: Network, plan: Plan, example: Tensor | tuple[Any, ...] | None = None) -> Removal:
    """A new, smaller network; the caller's is untouched.

    The result is checked against the silenced original on ``example`` (random inputs of the captured shapes without
    one). The model's own classes are tried first; where their code has sizes written into it, the recorded program is
    used instead. Approximate groups have no silenced counterpart: there the two forms check each other.
    Raises UserError when the plan does not fit, or when neither form reproduces the silenced network.
    """
    reference = Reference.of(model, silenced_tensors(model, network, plan), _arguments(model, network, example))
    forms = _Forms(model, network, plan, reference)
    if all(network.group(key).exact for key in plan):
        return _proven(forms)
    return _agreed(forms)


class _Forms:
    """Builds both forms, and remembers what went wrong."""

    def __init__(self, model: nn.Module, network: Network, plan: Plan, reference: Reference) -> None:
        self.reference, self.problems = reference, list[str]()
        self.arguments = reference.arguments
        self.network, self.plan = network, plan
        self.double: Reference | None = None
        self.builders: dict[str, Callable[[], nn.Module]] = {
            BOLD: lambda: cut(model, network, plan, bold=True),
            "module, cautious": lambda: cut(model, network, plan),
            "program": lambda: build_program(model, network, plan, reference.arguments),
        }

    def build(self, form: str) -> _Candidate | None:
        try:
            candidate = self.builders[form]()
            return _Candidate(candidate, form.partition(",")[0], self.reference.compare(candidate), form == BOLD)
        except UserError:
            raise
        except (
            Exception
        ) as error:  # user code may fail in any way once its sizes change: that is what is being found out
            self.problems.append(
                f"as a {form}: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}"
            )
            return None

    def convinces(self, candidate: _Candidate) -> bool:
        """Differences are rounding, and far smaller than wrong channels would make them.

        In float64 rounding alone says so; where coarser numbers hide too much, everything is computed in it again.
        """
        seen = candidate.comparison
        if seen.is_rounding and (
            seen.dtype == torch.float64
            or seen.max_abs <= TELLING * self._of_mistakes(candidate)
            or seen.max_abs <= TELLING * self.reference.effect
        ):
            return True
        if seen.max_rel >= GROSS:
            return False
        try:
            self.double = self.double or self.reference.in_double()
            return self.double.compare(doubled(candidate.model)).is_rounding
        except Exception as error:  # code that insists on its own precision
            self.problems.append(f"in float64: {type(error).__name__}")
            return False

    def _of_mistakes(self, candidate: _Candidate) -> float:
        with mistaken(candidate.model, self.network, self.plan):
            return largest_difference(run(candidate.model, self.arguments), candidate.comparison.outputs)

    def refuse(self) -> UserError:
        return UserError(
            "The network could not be cut so that it computes the same as with these channels silenced ("
            + "; ".join(self.problems)
            + "). Leave out the groups that you added last, or report this network."
        )


def _proven(forms: _Forms) -> Removal:
    for form in forms.builders:
        candidate = forms.build(form)
        if candidate is None:
            continue
        if forms.convinces(candidate):
            return candidate.removal(forms.arguments, True)
        difference = candidate.comparison.max_rel
        forms.problems.append(f"as a {form}: outputs differ by {difference:.1e} of the largest output")
    raise forms.refuse()


def _agreed(forms: _Forms) -> Removal:
    module, program = forms.build(BOLD), forms.build("program")
    if module is not None and program is not None:
        ours, theirs = module.comparison.outputs, program.comparison.outputs
        allowed = TOLERANCE.get(module.comparison.dtype, 1e-2) * largest(theirs)
        return (module if largest_difference(ours, theirs) <= allowed else program).removal(forms.arguments, False)
    alone = module or program
    if alone is None:
        raise forms.refuse()
    return alone.removal(forms.arguments, False, *([UNCHECKED_NOTE] if alone is module else []))


def _arguments(model: nn.Module, network: Network, example: Tensor | tuple[Any, ...] | None) -> tuple[Any, ...]:
    """The example, or noise in the shapes of the captured one (whose whole numbers are kept)."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    generator = torch.Generator().manual_seed(0)

    def fitting(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if not value.is_floating_point():
            return value.to(like.device)
        return (value if example is not None else torch.randn(value.shape, generator=generator)).to(like)

    given = network.example if example is None else example if isinstance(example, tuple) else (example,)
    arguments: tuple[Any, ...] = tree_map(fitting, given)
    return arguments
