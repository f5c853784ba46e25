"""A network that came as a graph, made ready to be looked at, trained and cut like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import fx, nn

from pruning_core.zoo.programs.any_batch import InPieces, agrees, for_any_batch
from pruning_core.zoo.programs.sizes import Tried, follow_sizes
from pruning_core.zoo.programs.trial import trial

Size = tuple[int, int, int]
REWRITTEN, PIECES = "rewritten", "in pieces"
SAID = {
    REWRITTEN: "exported for exactly {} at a time; rewritten for any number, with the same scores",
    PIECES: "exported for exactly {} at a time, so it runs in pieces of that many",
}


@dataclass(frozen=True, eq=False)
class Program:
    """A graph that takes images of ``input_size`` (C, H, W), and how many at a time (``batch_size``; None: any number).

    ``tried`` is what a trial of it saw; ``note`` says where it is from.
    """

    model: fx.GraphModule
    input_size: Size
    batch_size: int | None
    tried: Tried
    note: str

    @staticmethod
    def of(
        model: fx.GraphModule,
        size: Size,
        batch: int | None,
        name: str,
        note: str,
        hold_sizes: Callable[[fx.GraphModule, Tried], None] = follow_sizes,
    ) -> Program:
        """Try ``model`` on shapes alone; then layers of it hold the sizes that were written into it (``hold_sizes``).

        Raises UserError, with ``name`` for the file, when it holds or does too much, or cannot run.
        """
        batches = (2, 3) if batch is None else (batch,)
        tried = Tried(batches, tuple(trial(model, size, images, name) for images in batches))
        hold_sizes(model, tried)
        return Program(model, size, batch, tried, note)

    def for_any_batch(self, way: str = "") -> tuple[nn.Module, str]:
        """The network for any number of images, and how it became so: REWRITTEN, PIECES, or "" where it always was.

        ``way`` is what was found out before, and need not be proven again.
        """
        if self.batch_size is None:
            return self.model, ""
        pieces = InPieces(self.model, self.batch_size)
        if way != PIECES:
            made = for_any_batch(self.model, self.input_size, self.batch_size, self.tried.seen[0])
            if made is not None and (way == REWRITTEN or agrees(made, pieces, self.input_size)):
                return made, REWRITTEN
        return pieces.eval(), PIECES

    def said(self, way: str) -> str:
        """The same in words."""
        return SAID[way].format(f"{self.batch_size} image(s)")
