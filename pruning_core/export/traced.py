"""Following a network with torch.export, for any batch size where that is possible."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule
from torch.utils._pytree import tree_leaves

from pruning_core.errors import UserError
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import set_mode_if_able
from pruning_core.graph.removing.agreement import largest_difference

TOLERANCE = 1e-4  # of the largest output: another order of summation, never another network
BATCHES = (1, 2, 5)  # what a program for any batch size is checked at


@dataclass(frozen=True, eq=False)
class Traced:
    """``network`` is the copy in eval mode on the CPU that was followed; ``inputs`` batches (N, …) that it reads."""

    network: nn.Module
    program: ExportedProgram
    inputs: tuple[Tensor, ...]
    any_batch: bool
    notes: tuple[str, ...]

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes to check what was made of it at."""
        return BATCHES if self.any_batch else (len(self.inputs[0]),)

    def of(self, batch: int) -> tuple[Tensor, ...]:
        """Random inputs (batch, …), always the same."""
        return tuple(_random(batch, each, each.dtype, place) for place, each in enumerate(self.inputs))


def _random(batch: int, like: Tensor, floating: torch.dtype, place: int = 0) -> Tensor:
    """As ``like``, of ``floating`` where it holds such numbers; whole numbers stay among those of ``like``."""
    generator, shape = torch.Generator().manual_seed(batch + 1000 * place), (batch, *like.shape[1:])
    if like.is_floating_point():
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(floating)
    return torch.randint(int(like.max()) + 1, shape, generator=generator).to(like.dtype)


def trace(model: nn.Module, example: Tensor | tuple[Tensor, ...]) -> Traced:
    """Follow ``model`` in eval mode on inputs like ``example``, each (N, …); the model is left as it was.

    The batch size is left free; where that fails, it stays that of the example, and a note says so.
    Raises UserError when the network cannot be followed.
    """
    network = copied(model).cpu()
    set_mode_if_able(network, False)
    reference = next((p for p in network.parameters() if p.is_floating_point()), torch.empty(0))
    given = (example,) if isinstance(example, Tensor) else example
    # The file keeps what it was followed on: no user's image. A batch of one would be taken for a constant.
    inputs, two = (
        tuple(_random(batch, each, reference.dtype, place) for place, each in enumerate(given))
        for batch in (len(given[0]), 2)
    )
    with _quiet():
        try:
            batch = Dim("batch", min=1)
            program = torch.export.export(network, two, dynamic_shapes=tuple({0: batch} for _ in two))
            free = Traced(network, _without_places(program), two, True, ())
            difference(free, program.module())
        except Exception:  # the network's own code, or a rule of torch.export, in any way
            return _fixed(network, inputs)
    return free


def _fixed(network: nn.Module, inputs: tuple[Tensor, ...]) -> Traced:
    try:
        program = torch.export.export(network, inputs)
    except Exception as error:  # as above: there is no list of what may go wrong
        raise UserError(
            f"This network cannot be written as an exported program: {_first_line(error)} "
            "Take the weights and the plan instead, and build it with its own code."
        ) from error
    _without_places(program)
    batch = len(inputs[0])
    count = "1 image" if batch == 1 else f"{batch} images"
    note = f"It takes exactly {count} at a time: the network could not be followed for any number of them."
    return Traced(network, program, inputs, False, (note,))


def _without_places(program: ExportedProgram) -> ExportedProgram:
    """torch.export notes for every operator on which line of which file it stood: of this machine, and maybe of code
    that nobody gives away."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


def difference(traced: Traced, other: nn.Module) -> float:
    """Largest difference between both networks over the batches to check, relative to the largest output.

    Raises UserError when it is above the tolerance.
    """
    return apart(traced.network, other, map(traced.of, traced.batches))


def apart(network: nn.Module, other: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> float:
    """As ``difference``, of ``network`` and what was written of it."""
    with torch.no_grad():
        gaps = [relative(outputs(other(*x)), outputs(network(*x))) for x in batches]
    worst = max(gaps)
    if not all(gap <= TOLERANCE for gap in gaps):  # a gap that is not a number is none either
        raise UserError(f"The written network differs from the pruned one by {worst:.1e} of the largest output.")
    return worst


def outputs(result: object) -> list[Tensor]:
    return [value for value in tree_leaves(result) if isinstance(value, Tensor)]


def relative(got: list[Tensor], wanted: list[Tensor]) -> float:
    """Largest difference over the largest value wanted. Raises UserError when shapes differ."""
    if [t.shape for t in got] != [t.shape for t in wanted]:
        raise UserError("The written network gives outputs of another shape than the pruned one.")
    gap = largest_difference(got, wanted)
    scale = max((float(b.double().abs().max()) for b in wanted if b.numel()), default=0.0)
    return gap / scale if scale > 0 else gap


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.export warns about what it does not support and does anyway."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return line if line.endswith((".", "!", "?")) else line + "."
