"""The sets of weights in whatever a checkpoint holds: found at any depth, told from their company, named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.pieces import Piece
from pruning_core.zoo.recognise import Recognised, Shapes
from pruning_core.zoo.stand_ins import Array, StandIn, refusal
from pruning_core.zoo.weight_names import average, company, older, optimizers, plain, unwrapped

DEPTH = 6  # dictionaries in dictionaries; no training script nests its weights deeper
LOOKED_AT = 100_000  # values that are looked at for weights
WITHIN = 3  # prefixes in a row that are taken for modules around a network
BESIDE = 0.2  # a set with less than this share of the largest is company, unless its architecture is known
LONGEST_KEY = 500  # characters
MAPPINGS = 16  # dictionaries with tensors that are compared with architectures: those with the most numbers
FITS = 100  # comparisons for one file
ARCHITECTURE = ("arch", "architecture", "model_name", "model", "net", "backbone")  # keys of its name, where it is text
Fit = Callable[[Shapes], Recognised | None]


@dataclass(frozen=True)
class WeightSet:
    """One set of weights of a file.

    name: where it stands in it, as keys with dots between; "" for a file that is nothing else. title: the architecture,
    "" where it is unknown. tensors, numbers: how many. average: its name says that it is an average over training.
    """

    name: str
    title: str
    tensors: int
    numbers: int
    average: bool


@dataclass(frozen=True, eq=False)
class Reading:
    """How a set becomes a state dict. pieces: by the names of the network's own weights, in the file's order.

    path: the keys that lead to it in the file; prefix: what was then removed from every name, words: from within names;
    counters: a profiler's were left out. odd: by name, what is no tensor and still holds numbers. called: what the file
    says of the architecture. notes: what was done.
    """

    set: WeightSet
    path: tuple[str | int, ...]
    prefix: str
    words: tuple[str, ...]
    counters: bool
    pieces: dict[str, Piece]
    odd: dict[str, StandIn]
    found: Recognised | None
    called: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Part:
    """Tensors on the way to a reading."""

    path: tuple[str | int, ...]
    prefix: str
    pieces: dict[str, Piece]
    notes: tuple[str, ...] = ()
    under: tuple[str, ...] = ()  # of the prefix: what tells it from its neighbours
    words: tuple[str, ...] = ()
    counters: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: piece.size for key, piece in self.pieces.items()}

    @property
    def numbers(self) -> int:
        return _count(self.pieces)

    @property
    def name(self) -> str:
        return clip(".".join(map(str, (*self.path, *self.under))))


def sets_of(held: Any, name: str, fit: Fit) -> list[Reading]:
    """The sets of weights in ``held``, what the file ``name`` holds; the likeliest first. Company is left out.

    fit: tells the architecture of shapes. Raises UserError when there is none, or when weights hang on an object of an
    unknown class.
    """
    mappings = [(path, *_tensors_in(mapping)) for path, mapping in _mappings(held)]
    largest = sorted((_count(pieces) for _, pieces, _ in mappings), reverse=True)[:MAPPINGS]
    patient = _Patience(fit)
    readings = [
        _read(part, found, odd, _called(held))
        for path, pieces, odd in mappings
        if pieces and _count(pieces) >= largest[-1]
        for part, found in _parts(_Part(path, "", pieces), patient)
    ]
    if not readings:
        raise UserError(_nothing(held, name))
    kept = [each for each in readings if each.found is not None or _large(each, readings)] or readings
    return sorted(kept, key=lambda each: (each.found is None, _rank(each)))  # a stable sort: then as in the file


@dataclass(eq=False)
class _Patience:
    """``fit`` for so many times; after that everything is unknown."""

    fit: Fit
    left: int = FITS

    def __call__(self, shapes: Shapes) -> Recognised | None:
        self.left -= 1
        return self.fit(shapes) if self.left >= 0 else None


def _large(reading: Reading, readings: list[Reading]) -> bool:
    """Whether weights of an unknown architecture are worth a choice, and not the company of others."""
    alone = not any(company(str(key)) for key in reading.path)
    return alone and reading.set.numbers >= BESIDE * max(each.set.numbers for each in readings)


def _count(pieces: Mapping[str, Piece]) -> int:
    return sum(piece.count for piece in pieces.values())


def chosen(readings: list[Reading], weights: str | None, name: str) -> Reading:
    """The reading called ``weights``, or the first. Raises UserError when there is none, or it is not all tensors."""
    found = next((each for each in readings if weights is None or each.set.name == weights), None)
    if found is None:
        names = ", ".join(repr(each.set.name) for each in readings)
        raise UserError(f"{name!r} holds no weights called {quoted(str(weights))}. Choose one of {names}.")
    for key, stand_in in found.odd.items():
        raise UserError(refusal(stand_in.of, f"{quoted(key)} in {name!r}"))
    return found


def _rank(reading: Reading) -> tuple[bool, int]:
    return reading.set.average, plain(reading.path)


def _read(part: _Part, found: Recognised | None, odd: Mapping[str, StandIn], called: str) -> Reading:
    where = clip(".".join(map(str, part.path)))
    notes = ((f"weights taken from {where!r}",) if where else ()) + part.notes
    title = found.title if found else ""
    told = WeightSet(part.name, title, len(part.pieces), part.numbers, average((*part.path, part.prefix)))
    own = {key: each for key, each in odd.items() if key.startswith(part.prefix)}
    return Reading(told, part.path, part.prefix, part.words, part.counters, part.pieces, own, found, called, notes)


def _called(held: Any) -> str:
    """The architecture's name, where training wrote it beside the weights."""
    told = [held.get(key) for key in ARCHITECTURE] if isinstance(held, dict) else []
    return next((clip(text) for text in told if isinstance(text, str) and text), "")


# -- where weights may stand -------------------------------------------------------------------------------------------


def _mappings(held: Any) -> Iterator[tuple[tuple[str | int, ...], dict[Any, Any]]]:
    """Every dictionary at any depth that could hold weights, with the keys that lead to it; outer ones first."""
    level: list[tuple[tuple[str | int, ...], Any]] = [((), held)]
    seen: set[int] = set()
    for _ in range(DEPTH):
        inner: list[tuple[tuple[str | int, ...], Any]] = []
        for path, value in level:
            if id(value) in seen or len(seen) > LOOKED_AT:
                continue
            seen.add(id(value))
            if isinstance(value, dict):
                yield path, value
                inner += [
                    ((*path, key), each)
                    for key, each in value.items()
                    if isinstance(each, dict | list | tuple) and isinstance(key, str | int) and not optimizers(str(key))
                ]
            elif isinstance(value, list | tuple) and len(value) < 10:  # model and optimizer in a row
                inner += [((*path, at), each) for at, each in enumerate(value) if isinstance(each, dict)]
        level = inner


def _tensors_in(mapping: dict[Any, Any]) -> tuple[dict[str, Piece], dict[str, StandIn]]:
    """(the tensors, the objects of unknown classes that hold numbers) right in ``mapping``, by their names."""
    pieces: dict[str, Piece] = {}
    odd: dict[str, StandIn] = {}
    for key, value in mapping.items():
        if not isinstance(key, str) or len(key) > LONGEST_KEY:
            continue
        value = value.piece if isinstance(value, Array) else value
        if isinstance(value, Piece):
            pieces[key] = value
        elif isinstance(value, StandIn) and value.weight_inside():
            odd[key] = value
    if all(optimizers(key) or len(piece.size) < 2 for key, piece in pieces.items()):
        return {}, odd  # numbers, but no layer's
    return pieces, odd


def _nothing(held: Any, name: str) -> str:
    """Why there are no weights in ``held``."""
    if isinstance(held, StandIn) and held.of.module != "builtins":
        return refusal(held.of)
    inside = held.values() if isinstance(held, dict) else held if isinstance(held, list | tuple) else ()
    for value in inside:
        if isinstance(value, StandIn) and value.weight_inside():
            return refusal(value.of)
    keys = ", ".join(clip(str(key)) for key in list(held)[:8]) if isinstance(held, dict) else _kind(held)
    return (
        f"{name!r} holds no state dict ({keys or 'nothing'}). Save the weights with "
        "torch.save(model.state_dict(), 'weights.pt')."
    )


def _kind(held: Any) -> str:
    return held.of.full.rpartition(".")[2] if isinstance(held, StandIn) else type(held).__name__


# -- which tensors of a dictionary are the network ---------------------------------------------------------------------


def _parts(whole: _Part, fit: Fit, depth: int = 0) -> list[tuple[_Part, Recognised | None]]:
    """The networks among these tensors: all of them, all but company, or what stands under a few prefixes."""
    part = _tidied(whole)
    found = fit(part.shapes)
    if found is not None:
        return [(part, found)]
    rest = {key: piece for key, piece in part.pieces.items() if not company(key.partition(".")[0])}
    if rest and len(rest) < len(part.pieces):
        without = replace(part, pieces=rest, notes=(*part.notes, _ignored_note(part.pieces, rest)))
        found = fit(_tidied(without).shapes)
        if found is not None:
            return [(_tidied(without), found)]
    inner = _inside(part, fit, depth) if depth < WITHIN else []
    return inner or [(part, None)]


def _inside(part: _Part, fit: Fit, depth: int) -> list[tuple[_Part, Recognised | None]]:
    """The known networks under the prefixes of ``part``; what stands beside them is ignored, and said."""
    groups: dict[str, dict[str, Piece]] = {}
    for key, piece in part.pieces.items():
        head, _, tail = key.partition(".")
        if tail:
            groups.setdefault(head, {})[tail] = piece
    found: list[tuple[_Part, Recognised | None]] = []
    for head, pieces in groups.items():
        if len(pieces) > 1 and _count(pieces) >= BESIDE * part.numbers:
            notes = (*part.notes, f"prefix {clip(head) + '.'!r} removed")
            inner = _Part(part.path, f"{part.prefix}{head}.", pieces, notes, (*part.under, head))
            found += [each for each in _parts(inner, fit, depth + 1) if each[1] is not None]
    networks = {each.under[len(part.under)] for each, _ in found}
    rest = {key: piece for key, piece in part.pieces.items() if key.partition(".")[0] in networks}
    if len(rest) < len(part.pieces):
        ignored = _ignored_note(part.pieces, rest)
        found = [(replace(each, notes=(*each.notes, ignored)), known) for each, known in found]
    return found


def _tidied(part: _Part) -> _Part:
    """Without what training tools wrap around every name, and with names as they are today."""
    plain = unwrapped(tuple(part.pieces))
    names, renamed = older(plain.names)
    pieces = {new: piece for new, piece in zip(names, part.pieces.values(), strict=True) if new}
    return replace(
        part,
        prefix=part.prefix + plain.prefix,
        pieces=pieces,
        notes=(*part.notes, *plain.notes, *renamed),
        words=(*part.words, *plain.words),
        counters=part.counters or "" in names,
    )


def _ignored_note(all_of: Mapping[str, Piece], kept: Mapping[str, Piece]) -> str:
    names = [clip(key) for key in all_of if key not in kept]
    shown = ", ".join(map(repr, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"left out, as no part of the network: {shown}"
