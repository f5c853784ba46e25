"""What a network reads and gives, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import torch

from pruning_core.errors import UserError, clip, quoted

NUMBERS = ("float32", "float64", "float16")
ANOTHER = "of another type"
WHOLE = ("int64", "int32", "int16", "int8", "uint8", "bool")
MOST_SIDE = 1 << 20
LONGEST_NAME = 200


@dataclass(frozen=True)
class Declared:
    """An input as a file declares it: ``dims`` with the batch first, a size that is left open by its name, "" where
    that has none; ``usual``: where the file has been at, for those; ``type`` is the name of a torch type."""

    name: str
    dims: tuple[int | str, ...]
    type: str = "float32"
    usual: tuple[int, ...] = ()

    @property
    def open(self) -> tuple[str, ...]:
        """What to call each size that is left open, "" for those that are not; the batch is nobody's question."""
        usual = {4: ("channels", "height", "width"), 3: ("channels", "length")}.get(len(self.dims), ())
        called = usual or tuple(f"size {axis}" for axis in range(1, len(self.dims)))
        if not any(isinstance(dim, str) and dim for dim in self.dims[1:]):
            called = tuple(f"{each} of {clip(self.name)}" for each in called)
        return tuple("" if isinstance(dim, int) else dim or called[at] for at, dim in enumerate(self.dims[1:]))

    def closed(self, sizes: Mapping[str, int]) -> Input:
        """With ``sizes`` for what is left open. Raises KeyError for a name that is not among them."""
        shape = tuple(dim if isinstance(dim, int) else sizes[said] for dim, said in zip(self.dims[1:], self.open))
        return Input(self.name, shape, self.type)


@dataclass(frozen=True)
class Input:
    """One input: ``shape`` is that of one example, without the batch; ``type`` the name of a torch type.

    known: of whole numbers that something is looked up by, how many there are, counted from 0; 0 for any.
    """

    name: str
    shape: tuple[int, ...]
    type: str = "float32"
    known: int = 0

    @property
    def whole(self) -> bool:
        return self.type in WHOLE

    @property
    def dtype(self) -> torch.dtype:
        found: torch.dtype = getattr(torch, self.type)
        return found

    @property
    def numbers(self) -> int:
        """of one example"""
        return prod(self.shape)

    def __str__(self) -> str:
        size = " × ".join(map(str, self.shape))
        if not self.whole:
            return size or "one number"
        if not self.known:
            return f"{size} whole numbers" if size else "one whole number"
        last = f"{self.known - 1:,}"
        return f"{size} whole numbers from 0 to {last}" if size else f"one whole number from 0 to {last}"


@dataclass(frozen=True)
class Output:
    """One output: ``shape`` for one example; ``measurable``: it has a row of numbers for each."""

    name: str
    shape: tuple[int, ...]
    measurable: bool = True


@dataclass(frozen=True)
class Interface:
    """Inputs and outputs in the order of the file; ``measured`` is the place of the output that is judged; ``pixels``:
    up to which number pixels go in, 255 or 1, where the network scales them itself; 0 where nobody says."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...] = ()
    measured: int = 0
    pixels: int = 0

    def __str__(self) -> str:
        """What goes in, by name where there are several."""
        if len(self.inputs) == 1:
            return str(self.inputs[0])
        return " and ".join(f"{clip(each.name)} ({each})" for each in self.inputs)

    @property
    def packed(self) -> bool:
        """Whether one tensor of all numbers of an example stands for the inputs (see :mod:`.programs.packing`)."""
        return len(self.inputs) > 1 or self.inputs[0].whole

    @property
    def size(self) -> tuple[int, ...]:
        """Of one example, as the network is called with it here."""
        return (sum(each.numbers for each in self.inputs),) if self.packed else self.inputs[0].shape


class OpenSizes(UserError):
    """A file leaves sizes open: ``sizes`` are what to ask a person for."""

    def __init__(self, sentence: str, sizes: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.sizes = sizes


@dataclass(frozen=True)
class Wanted:
    """What a person says of a file with a program: ``sizes`` of what it leaves open, by name; ``image`` (C, H, W) for
    all of one input; ``measured``: the place of the output to be judged, None for the first that can be."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    image: tuple[int, ...] | None = None
    measured: int | None = None

    def closed(self, declared: tuple[Declared, ...], name: str) -> tuple[Input, ...]:
        """The inputs of a file with no size left open. Raises OpenSizes, with ``name`` for the file, where one is."""
        first = declared[0]
        if len(declared) == 1 and self.image is not None and len(self.image) == len(first.dims) - 1:
            return (Input(first.name, self.image, first.type),)
        usual = {said: at for each in declared for said, at in zip(each.open, each.usual)}
        sizes = {said: side for said, side in (usual | dict(self.sizes)).items() if 0 < side <= MOST_SIDE}
        asked = dict.fromkeys(said for each in declared for said in each.open if said)
        missing = tuple(said for said in asked if said not in sizes)
        if missing:
            raise OpenSizes(
                f"{quoted(name)} leaves open: {', '.join(clip(each) for each in missing[:8])}. Say which size each is "
                "to have here.",
                missing,
            )
        return tuple(each.closed(sizes) for each in declared)


NOTHING = Wanted()


def batch_of(declared: tuple[Declared, ...], name: str) -> int | None:
    """How many examples at a time, None for any. Raises UserError where inputs are not of as many examples."""
    if any(not each.dims for each in declared):
        scalar = next(each for each in declared if not each.dims)
        raise UserError(
            f"The input {quoted(scalar.name)} of {quoted(name)} is one number for a whole batch. Export the network "
            "with that number written into it."
        )
    batches = {each.dims[0] if isinstance(each.dims[0], int) else None for each in declared}
    if len(batches) > 1:
        raise UserError(
            f"The inputs of {quoted(name)} are not of as many examples each ("
            + ", ".join(f"{clip(each.name)}: {each.dims[0] or 'any number'}" for each in declared[:8])
            + "). Export it with the same batch size, or an open one, for all of them."
        )
    (batch,) = batches
    return batch


def check_types(declared: tuple[Declared, ...], name: str) -> None:
    """Raises UserError for inputs that are neither numbers nor whole numbers, and for none at all."""
    if not declared:
        raise UserError(f"{quoted(name)} takes no input, so there is nothing to compare. Export the whole network.")
    for each in declared:
        if each.type not in (*NUMBERS, *WHOLE):
            raise UserError(
                f"The input {quoted(each.name)} of {quoted(name)} is no tensor of numbers ({clip(each.type)}). Export "
                "the network without it."
            )
