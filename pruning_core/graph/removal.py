"""Removing a plan's units for real, with the proof that nothing else changed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from pruning_core.errors import UserError
from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.program import build_program
from pruning_core.graph.silence import silenced_tensors
from pruning_core.graph.surgery import cut

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}


@dataclass(frozen=True)
class Proof:
    """Removed against silenced on the same inputs: largest absolute and relative difference of any output.

    Relative is to the largest output. ``exact`` says whether every touched group is an exact one.
    """

    max_abs: float
    max_rel: float
    dtype: str
    images: int
    exact: bool


@dataclass(frozen=True)
class Removal:
    """``form`` is "module" (the model's own classes, smaller) or "program" (its recorded operators as a module)."""

    model: nn.Module
    form: str
    proof: Proof
    notes: tuple[str, ...] = ()


def remove(model: nn.Module, network: Network, plan: Plan, example: Tensor | tuple[Any, ...] | None = None) -> Removal:
    """A new, smaller network; the caller's is untouched.

    The result is checked against the silenced original on ``example`` (random inputs of the captured shapes without
    one). The model's own classes are tried first; where their code has sizes written into it, the recorded program is
    used instead. Raises UserError when the plan does not fit, or when neither form reproduces the silenced network.
    """
    network.validate(plan)
    arguments = _arguments(model, network, example)
    exact = all(network.group(key).exact for key in plan)
    reference = _run(model, arguments, silenced_tensors(model, network, plan))
    problems = []
    for form, build in (("module", _as_module), ("program", build_program)):
        try:
            candidate = build(model, network, plan, arguments)
            outputs = _run(candidate, arguments, {})
            proof = _proof(outputs, reference, arguments, exact)
        except UserError:
            raise
        except Exception as error:  # user code may fail in any way once its sizes change: that is what is being found out
            problems.append(f"as a {form}: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}")
            continue
        if not exact or proof.max_rel <= TOLERANCE.get(_dtype(reference), 1e-2):
            candidate.train(model.training)
            return Removal(candidate, form, proof)
        problems.append(f"as a {form}: outputs differ by {proof.max_rel:.1e} of the largest output")
    raise UserError(
        "The network could not be cut so that it computes the same as with these channels silenced ("
        + "; ".join(problems) + "). Leave out the groups that you added last, or report this network."
    )


def _as_module(model: nn.Module, network: Network, plan: Plan, arguments: tuple[Any, ...]) -> nn.Module:
    return cut(model, network, plan)


def _arguments(model: nn.Module, network: Network, example: Tensor | tuple[Any, ...] | None) -> tuple[Any, ...]:
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    if example is None:
        generator = torch.Generator().manual_seed(0)
        return tuple(torch.randn(s, generator=generator).to(reference) for s in network.example_shapes)
    arguments = example if isinstance(example, tuple) else (example,)
    moved: tuple[Any, ...] = tree_map(
        lambda v: v.to(reference) if isinstance(v, Tensor) and v.is_floating_point() else v, arguments)
    return moved


def _run(model: nn.Module, arguments: tuple[Any, ...], changed: dict[str, Tensor]) -> list[Tensor]:
    """Outputs in eval mode, on a copy, so that neither modes nor buffers of the caller change."""
    clone = copy.deepcopy(model).eval()
    with torch.no_grad():
        out = torch.func.functional_call(clone, changed, arguments) if changed else clone(*arguments)
    return [t for t in tree_leaves(out) if isinstance(t, Tensor)]


def _dtype(outputs: list[Tensor]) -> torch.dtype:
    return next((t.dtype for t in outputs if t.is_floating_point()), torch.float32)


def _proof(outputs: list[Tensor], reference: list[Tensor], arguments: tuple[Any, ...], exact: bool) -> Proof:
    if [t.shape for t in outputs] != [t.shape for t in reference]:
        raise ValueError("the outputs changed shape")
    differences = [float((a.double() - b.double()).abs().max()) for a, b in zip(outputs, reference) if a.numel()]
    scale = max((float(b.double().abs().max()) for b in reference if b.numel()), default=0.0)
    worst = max(differences, default=0.0)
    if worst != worst:
        raise ValueError("the outputs are not finite")
    images = next((len(a) for a in arguments if isinstance(a, Tensor) and a.dim()), 1)
    relative = worst / scale if scale > 0 else worst
    return Proof(worst, relative, str(_dtype(reference)).removeprefix("torch."), images, exact)
