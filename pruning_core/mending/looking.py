"""The first walk: what layers write and batch norms read as the unpruned network runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pruning_core.mending.statistics import Moments, NormCalls
from pruning_core.mending.windows import drawn, written
from pruning_core.probe.readings import Reading, Readings

Report = Callable[[str, int, int], None]
# Why a layer cannot be refitted
HIDDEN = "what it reads is not to be seen: it runs inside one fused call, or not at all"
REUSED = "it is used several times, and one set of weights cannot follow all uses"


@dataclass(frozen=True, eq=False)
class Looked:
    """By the names of weights, but ``before``, which is by those of running means.

    ``at`` (N, P): output positions; ``wanted``: what is written there, per batch (n, P, O); ``shapes``: of all that is
    written; ``normed``: those whose output goes straight into a batch norm; ``unmended``: why others cannot be
    refitted.
    """

    at: dict[str, Tensor] = field(default_factory=dict)
    wanted: dict[str, list[Tensor]] = field(default_factory=dict)
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    normed: set[str] = field(default_factory=set)
    before: dict[str, Moments] = field(default_factory=dict)
    unmended: dict[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(part.nbytes for parts in self.wanted.values() for part in parts)


def look(
    model: nn.Module,
    dice: Mapping[str, int],
    images: Tensor,
    batches: Sequence[slice],
    positions: int,
    report: Report,
) -> Looked:
    """Run ``images`` (N, ...) once through ``model``; the keys of ``dice`` are looked at, its values draw positions."""
    tensors, found = {**dict(model.named_parameters()), **dict(model.named_buffers())}, Looked()
    watched = {name: tensors[name] for name in dice if name in tensors}
    calls = dict.fromkeys(watched, 0)
    for rows in batches:
        report("looking at the unpruned network", rows.start, len(images))
        calls = dict.fromkeys(watched, 0)
        makers: dict[int, tuple[Tensor, str]] = {}

        def note(
            name: str,
            reading: Reading,
            rows: slice = rows,
            calls: dict[str, int] = calls,
            makers: dict[int, tuple[Tensor, str]] = makers,
        ) -> None:
            makers[id(reading.output)] = (reading.output, name)
            calls[name] += 1
            if calls[name] > 1 or len(reading.output) != rows.stop - rows.start:
                return
            if name not in found.at:
                found.at[name] = drawn(reading, len(images), positions, dice[name])
                found.shapes[name] = reading.output.shape
            found.wanted.setdefault(name, []).append(written(reading, found.at[name][rows]))

        def norm(name: str, x: Tensor, makers: dict[int, tuple[Tensor, str]] = makers) -> None:
            made = makers.get(id(x))
            if made is not None and made[0] is x:
                found.normed.add(made[1])
            found.before.setdefault(name, Moments()).add(x)

        with torch.no_grad(), NormCalls(tensors, norm), Readings(watched, note):
            model(images[rows])
    for name in dice:
        if name not in found.wanted:
            found.unmended[name] = HIDDEN
        elif calls.get(name, 0) > 1:
            found.unmended[name] = REUSED
    return found
