"""Watching one run of a network: which operators it called on what, which tensors it read, how much it multiplied.

A witness may also change what it watches, in the same way for every network it is shown: tensors of the network are
replaced by stand-ins (in float64, with columns of zeros, …), rectifiers let something through, random numbers hold
still. Nothing is ever written into a tensor that was there before the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pruning_core.graph.capturing.hollow import HEAVY, Memory, NeedsValues, reads_values, run_hollow
from pruning_core.graph.removing.multiplying import MACS, by_positions, is_slow
from pruning_core.graph.removing.operators import Facts, facts_of, held_still

CONSTANT, NOISE = "constant", "noise"  # what a value comes from, beside the names of tensors and the numbers of steps
CONVERSIONS = frozenset({"_to_copy", "detach", "alias", "lift_fresh", "clone"})  # the same values
WIDE = {torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64}
WIDE_COMPLEX = {torch.complex64: torch.complex128, torch.complex32: torch.complex128}
KEPT = 1 << 18  # elements of a stand-in that is kept for the next reading; larger ones are made again

StandIn = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class Step:
    """One operator on values that follow from the input or from the network's tensors.

    ``sources`` are names of tensors, numbers of earlier steps, or :data:`CONSTANT`; ``numbers`` are its other
    arguments and the sizes of its result.
    """

    operator: str
    sources: tuple[str | int, ...]
    numbers: tuple[Any, ...]


class Whose(Enum):
    """Whom a tensor belongs to; see :class:`Belongings`."""

    OWN = "own"
    ALSO = "also"
    FOREIGN = "foreign"


class WritesThrough(Exception):
    """The network writes into one of its tensors through a view of it."""


class Belongings:
    """Names by the memory of tensors: the network's own, others (``also``) that count as them, ``foreign`` ones."""

    def __init__(
        self,
        own: Mapping[str, Tensor],
        *,
        also: Mapping[str, Tensor] | None = None,
        foreign: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._at: dict[int, list[tuple[str, Tensor, Whose]]] = {}
        for tensors, whose in ((own, Whose.OWN), (also or {}, Whose.ALSO), (foreign or {}, Whose.FOREIGN)):
            for name, tensor in tensors.items():
                place = place_of(tensor)
                if place:
                    self._at.setdefault(place, []).append((name, tensor, whose))

    def find(self, value: Tensor) -> tuple[str, Tensor, Whose] | None:
        """Name and tensor that a value is, or is a part of, and whose that is."""
        held = self._at.get(place_of(value))
        if held is None:
            return None
        if len(held) > 1:  # several in one piece of memory
            first = value.storage_offset()
            for found in held:
                begin = found[1].storage_offset()
                if begin <= first < begin + max(1, found[1].numel()):
                    return found
        return held[0]


@dataclass
class Seen:
    """What one run showed."""

    path: list[Step] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)  # tensors of the original that were read
    trail: list[str] = field(default_factory=list)  # operators by name, also of what follows from nothing
    products: list[int] = field(default_factory=list)  # MACs of each product, in order
    reads_values: bool = False  # what it does may depend on numbers
    outside: bool = False  # it read tensors that are not its own, though they count as such
    random: bool = False
    detached: bool = False  # it hides from gradients what it does
    operator: str = ""  # the last one
    results: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)  # of every step, when they are kept


class Witness(TorchDispatchMode):
    """Enter it around a run; ``seen`` then tells what happened.

    ``stand_in(name, tensor)`` gives what is read in place of a tensor of the network. ``double`` computes in float64
    whatever is a float, ``leaky`` opens rectifiers, ``hollow`` computes shapes instead of products, ``keep`` holds on
    to the values of every step. Raises WritesThrough when the network writes into its tensors through a view, unless
    ``guarded``: then views are of copies.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and the default imports the compiler."""
        return False

    def __init__(
        self,
        belongings: Belongings,
        *,
        stand_in: StandIn | None = None,
        double: bool = False,
        leaky: bool = False,
        hollow: bool = False,
        keep: bool = False,
        guarded: bool = False,
    ) -> None:
        super().__init__()
        self.belongings, self.stand_in = belongings, stand_in
        self.double, self.leaky, self.keep, self.guarded = double, leaky, keep, guarded
        self.memory = Memory() if hollow else None
        self.seen = Seen()
        self.run = object()  # what marks the values of this run
        self.replaced: dict[int, tuple[Tensor, Tensor]] = {}  # what stands for a tensor from before, and that tensor
        self.copies: set[int] = set()  # those whose stand-in may be written into

    def give(self, value: Tensor) -> Tensor:
        """An input of the network, marked as such: a copy."""
        new = self._widened(value.detach().clone())
        new._seen = (self.run, "input")  # an attribute of ours
        return new

    def standing_for(self, value: Tensor) -> Tensor:
        """What a tensor from before the run has become in it: one that was written into is a copy by now."""
        new, old = self.replaced.get(id(value), (value, value))
        return new if old is value else value

    def source(self, value: Tensor) -> str | int:
        """Where a value of this run comes from."""
        by, source = getattr(value, "_seen", (None, CONSTANT))
        return source if by is self.run else CONSTANT

    # -- one operator -------------------------------------------------------------------------------------------------
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        facts = facts_of(func)
        seen = self.seen
        seen.operator = facts.name
        seen.trail.append(facts.name)
        sources: list[str | int] = []
        given = [self._argument(value, sources, i in facts.written, facts.view) for i, value in enumerate(args)]
        named = (
            {k: self._argument(v, sources, k in facts.filled, facts.view) for k, v in kwargs.items()} if kwargs else {}
        )
        if self.double:
            given, named = [self._wide_type(v) for v in given], {k: self._wide_type(v) for k, v in named.items()}
        for position, still in facts.quiet:
            if position < len(given) and given[position]:
                given[position], seen.random = still, True
        active = any(s is not CONSTANT and s is not NOISE for s in sources)
        mark: str | int = NOISE
        if facts.random:
            seen.random = True
            out = held_still(func, facts, given, named)
            if facts.name == "native_dropout":
                mark = sources[0]
        else:
            out = self._run(func, facts, given, named, active)
            mark = self._note(facts, sources, given, out, active)
        self._mark(out, mark)
        return out

    def _run(self, func: Any, facts: Facts, args: list[Any], kwargs: dict[str, Any], active: bool) -> Any:
        name = facts.name
        if active and reads_values(name, args):
            self.seen.reads_values = True
            if self.memory is not None:
                raise NeedsValues(name)
        if self.memory is not None:
            if name in HEAVY and active:
                return run_hollow(func, name, tuple(args), kwargs, self.memory)
        elif self.double and name == "convolution" and is_slow(args):
            return self._widened(by_positions(*args))
        leak = None
        if self.leaky and facts.closing is not None and args[0].is_floating_point():
            leak = facts.closing(args[0])
        out = func(*args, **kwargs)
        if leak is not None:
            out = out.add_(leak) if facts.written else out + leak
        if self.double:
            out = type(out)(map(self._widened, out)) if isinstance(out, tuple | list) else self._widened(out)
        return out

    def _note(self, facts: Facts, sources: list[str | int], args: list[Any], out: Any, active: bool) -> str | int:
        """Adds a step; the source that its result is from now on."""
        if facts.name in MACS:
            self.seen.products += MACS[facts.name](args, out)
        if not active:
            return NOISE if NOISE in sources else CONSTANT
        if facts.name == "detach":
            self.seen.detached = True
        followed = [s for s in sources if s is not NOISE]
        if len(followed) == 1 and (facts.name in CONVERSIONS or (len(sources) > 1 and facts.pointwise)):
            return followed[0]  # another type, or noise that holds still: the value comes from where it came from
        number = len(self.seen.path)
        numbers = _numbers(facts, args, out)
        self.seen.path.append(Step(facts.name, tuple(sources), numbers))
        if self.keep:
            made = out if isinstance(out, tuple | list) else (out,)
            self.seen.results[number] = tuple(v.clone() for v in made if isinstance(v, Tensor))
        return number

    def _mark(self, out: Any, mark: str | int) -> None:
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor):
                value._seen = (self.run, mark)  # type: ignore[attr-defined]  # an attribute of ours

    # -- arguments ----------------------------------------------------------------------------------------------------
    def _argument(self, value: Any, sources: list[str | int], written: bool, viewed: bool) -> Any:
        if isinstance(value, Tensor):
            by, source = getattr(value, "_seen", (None, None))
            if by is not self.run:
                value, source = self._before(value, written or (viewed and self.guarded))
            elif written and not self.guarded and self.belongings.find(value) is not None:
                raise WritesThrough
            sources.append(source)  # type: ignore[arg-type]  # set by _mark or _before
            return value
        if isinstance(value, list | tuple):
            return type(value)([self._argument(v, sources, written, viewed) for v in value])
        return value

    def _before(self, value: Tensor, own: bool) -> tuple[Tensor, str | int]:
        """What stands for a tensor that was there before the run, and its name; a copy for what is written into."""
        found = self.belongings.find(value)
        source: str = CONSTANT
        if found is not None:
            name, whole, whose = found
            (self.seen.read if whose is not Whose.FOREIGN else self.seen.foreign).add(name)
            self.seen.outside |= whose is Whose.ALSO
            source = name if whole.is_floating_point() else CONSTANT  # counters and tables say nothing of channels
        kept = self.replaced.get(id(value))
        if kept is not None and not (own and id(value) not in self.copies):  # what was read may be the caller's own
            return kept[0], source
        new = value
        if found is not None and whose is not Whose.FOREIGN and self.stand_in is not None:
            new = _same_part(self.stand_in(name, whole), value, whole)
        new = self._widened(new)
        if own:
            new = new.detach().clone()
            self.copies.add(id(value))
        if own or (new is not value and (new.numel() <= KEPT or not isinstance(value, nn.Parameter))):
            self.replaced[id(value)] = (new, value)
        return new, source

    def _widened(self, value: Any) -> Any:
        if not self.double or not isinstance(value, Tensor):
            return value
        wide = WIDE.get(value.dtype) or WIDE_COMPLEX.get(value.dtype)
        return value if wide is None else value.to(wide)

    def _wide_type(self, value: Any) -> Any:
        return WIDE.get(value) or WIDE_COMPLEX.get(value) or value if isinstance(value, torch.dtype) else value


def _numbers(facts: Facts, args: list[Any], out: Any) -> tuple[Any, ...]:
    """Arguments that are no tensors, and the sizes of what comes out."""
    if facts.name == "native_batch_norm":  # whether it takes its own statistics is what training is about
        args = args[:5]
    first = out[0] if isinstance(out, tuple | list) and out else out
    return (*map(_plain, args), tuple(first.shape) if isinstance(first, Tensor) else None)


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor | torch.dtype | torch.device | torch.layout | torch.memory_format):
        return None
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def place_of(value: Tensor) -> int:
    """Where its memory is: equal for tensors that share it."""
    if type(value) not in (Tensor, nn.Parameter) or value.layout is not torch.strided:
        return id(value)
    return value.untyped_storage().data_ptr()


def _same_part(new: Tensor, value: Tensor, whole: Tensor) -> Tensor:
    """The part of a stand-in that ``value`` is of ``whole``."""
    if value.shape == whole.shape and value.stride() == whole.stride():
        return new
    if not whole.is_contiguous():
        raise NotImplementedError("a part of a tensor that is not in its usual order in memory")
    return new.contiguous().as_strided(value.size(), value.stride(), value.storage_offset() - whole.storage_offset())
