"""Setting weights to zero, giving a network new weights, and keeping its zeros: what the phases of masks do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator

import torch
from torch import Tensor, nn

from pruning_core.allocation.budget import Budget
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError, quoted
from pruning_core.graph import Network
from pruning_core.graph.modules import modules_by_name
from pruning_core.methods.phases import Mask
from pruning_core.methods.saliency import IMAGES
from pruning_core.sparsity.fitting import check_reach, kept, share_within
from pruning_core.sparsity.patterns import NEVER
from pruning_core.sparsity.weights import Bill, prunable


def masked(
    model: nn.Module,
    network: Network,
    phase: Mask,
    full: Network,
    fit: Dataset | None,
    seed: int,
) -> Generator[float, None, nn.Module]:
    """A copy with the zeros of ``phase``, whose budget is of what ``full`` costs; yields the share done.

    What is zero stays zero. Every round removes the same share of what is left. A pattern that alone says how much is
    left ignores the budget. Raises UserError for a budget out of reach.
    """
    pattern, saliency, budget, rounds = phase.pattern, phase.saliency, phase.to, phase.rounds
    copied = copy.deepcopy(model)
    weights, bill = prunable(copied, network), Bill.of(copied, network)
    limit = budget.allowed(full.cost())
    images = fit.subset(IMAGES, seed) if fit is not None and saliency.images else None
    begin = _standing(bill, weights, budget)
    for number in range(1, rounds + 1):
        scores = saliency.scores(copied, network, images, seed)
        levels = pattern.levels({name: _alive(scores[name], weight) for name, weight in weights.items()})
        part = limit if number == rounds else begin * (min(limit, begin) / begin) ** (number / rounds)
        share = share_within(levels, bill, budget, part) if pattern.shares else 1.0
        with torch.no_grad():
            for name, mask in kept(levels, share).items():
                weights[name].mul_(mask.to(weights[name]))
        yield number / rounds
    return copied


def check_masked(model: nn.Module, network: Network, phase: Mask) -> None:
    """Raises UserError where no zeros of ``phase`` keep to its budget, before anything is judged."""
    if not phase.pattern.shares:
        return
    weights, bill = prunable(model, network), Bill.of(model, network)
    spared = phase.pattern.spared(weights) | phase.saliency.spared(weights)
    least = bill.left({name: weight.numel() if name in spared else 0 for name, weight in weights.items()})
    check_reach(phase.to.counts(*least), phase.to, phase.to.allowed(network.cost()))


def _standing(bill: Bill, weights: dict[str, Tensor], budget: Budget) -> float:
    macs, parameters = bill.left({name: int(weight.count_nonzero()) for name, weight in weights.items()})
    return budget.counts(macs, parameters)


def _alive(scores: Tensor, weight: Tensor) -> Tensor:
    return scores.to(weight.device).masked_fill(weight.detach() == 0, -NEVER)


def without_drawing(model: nn.Module) -> str:
    """The obstacle of what begins with new weights, "" where all modules with numbers of their own can draw them."""
    lost = [name for name, module in modules_by_name(model).items() if _reset(module) is None and _has_numbers(module)]
    if not lost:
        return ""
    return (
        f"New weights cannot be drawn for {quoted(lost[0]) if lost[0] else 'this network'}: its code does not say how. "
        "Only networks of PyTorch's own layers, as modules, can begin anew."
    )


def reinitialised(model: nn.Module, seed: int) -> nn.Module:
    """A copy with new weights, as its modules draw them, the same for the same ``seed``; batch norms know nothing.

    Raises UserError for a network with parameters that none of its modules can draw.
    """
    if obstacle := without_drawing(model):
        raise UserError(obstacle)
    new = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module in modules_by_name(new).values():
            if reset := _reset(module):
                reset()
    return new


def _reset(module: nn.Module) -> Callable[[], None] | None:
    return getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)


def _has_numbers(module: nn.Module) -> bool:
    """Of its own, not of what lies inside it."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return any(tensor.is_floating_point() for tensor in own)


def with_zeros_of(model: nn.Module, masked: nn.Module, network: Network) -> nn.Module:
    """A copy of ``model`` that is zero where ``masked`` (same shapes) is."""
    new = copy.deepcopy(model)
    zeros = prunable(masked, network)
    with torch.no_grad():
        for name, weight in prunable(new, network).items():
            weight.mul_((zeros[name] != 0).to(weight))
    return new
