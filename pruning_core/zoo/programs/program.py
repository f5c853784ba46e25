"""A network that came as a graph, made ready to be looked at, trained and cut like any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import fx, nn

from pruning_core.errors import UserError, quoted
from pruning_core.zoo.interface import LONGEST_NAME, Input, Interface, Output, Wanted
from pruning_core.zoo.programs.any_batch import InPieces, agrees, for_any_batch
from pruning_core.zoo.programs.lookups import looked_up
from pruning_core.zoo.programs.packing import give_first, names_of, read_packed, results
from pruning_core.zoo.programs.sizes import Tried, follow_sizes
from pruning_core.zoo.programs.trial import trial

REWRITTEN, PIECES = "rewritten", "in pieces"


@dataclass(frozen=True, eq=False)
class Program:
    """A graph that takes what ``interface`` says as one tensor, and how many examples at a time (``batch_size``; None:
    any number).

    ``tried`` is what a trial of it saw; ``note`` says where it is from.
    """

    model: fx.GraphModule
    interface: Interface
    batch_size: int | None
    tried: Tried
    note: str

    @staticmethod
    def of(
        model: fx.GraphModule,
        inputs: Sequence[Input],
        batch: int | None,
        name: str,
        note: str,
        wanted: Wanted,
        outputs: Sequence[str] = (),
        hold_sizes: Callable[[fx.GraphModule, Tried], None] = follow_sizes,
    ) -> Program:
        """Try ``model`` on shapes alone; then layers of it hold the sizes that were written into it (``hold_sizes``).

        outputs: what they are called; () asks the graph. Raises UserError, with ``name`` for the file, when it holds or
        does too much, cannot run, or gives nothing that can be judged.
        """
        interface = Interface(tuple(inputs))
        if interface.packed:
            read_packed(model, inputs)
        batches = (2, 3) if batch is None else (batch,)
        tried = Tried(batches, tuple(trial(model, interface.size, count, name) for count in batches))
        given = _outputs(model, tried, outputs)
        measured = _measured(given, wanted.measured, name)
        if measured:
            give_first(model, measured)
        if interface.packed:
            inputs = looked_up(model, tried, inputs)
        hold_sizes(model, tried)
        return Program(model, Interface(tuple(inputs), given, measured), batch, tried, note)

    def for_any_batch(self, way: str = "") -> tuple[nn.Module, str]:
        """The network for any number of examples, and how it became so: REWRITTEN, PIECES, or "" where it always was.

        ``way`` is what was found out before, and need not be proven again.
        """
        if self.batch_size is None:
            return self.model, ""
        pieces, size = InPieces(self.model, self.batch_size), self.interface.size
        if way != PIECES:
            made = for_any_batch(self.model, size, self.batch_size, self.tried.seen[0])
            if made is not None and (way == REWRITTEN or agrees(made, pieces, size)):
                return made, REWRITTEN
        return pieces.eval(), PIECES

    def told(self, way: str) -> str:
        """The same in words."""
        if way == REWRITTEN:
            return (
                f"Exported for exactly {self.batch_size} image(s) at a time; rewritten for any number, with the same "
                "scores."
            )
        return f"Exported for exactly {self.batch_size} image(s) at a time, so it runs in pieces of that many."


def _outputs(model: fx.GraphModule, tried: Tried, names: Sequence[str]) -> tuple[Output, ...]:
    found, seen, batch = results(model), tried.seen[0], tried.batches[0]
    called = names if len(names) == len(found) else names_of(model)
    outputs = []
    for name, node in zip(called, found):
        what = seen.get(node.name)
        shape = what.shape if what else ()
        rows = what is not None and what.dtype is not None and what.dtype.is_floating_point
        rows = rows and shape[:1] == (batch,) and 0 not in shape
        outputs.append(Output(name[:LONGEST_NAME], shape[1:] if rows else shape, rows))
    return tuple(outputs)


def _measured(outputs: Sequence[Output], wanted: int | None, name: str) -> int:
    """The place of the output to be judged. Raises UserError where ``wanted`` is none that can be."""
    if wanted is None:
        return next((at for at, each in enumerate(outputs) if each.measurable), 0)
    if not 0 <= wanted < len(outputs) or not outputs[wanted].measurable:
        raise UserError(f"{quoted(name)} has no such output to be judged. Choose another on the Load page.")
    return wanted
