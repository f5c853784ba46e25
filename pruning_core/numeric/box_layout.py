"""How a detector's outputs are read as boxes: in which of them what stands, and in which form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from math import prod
from typing import Any

from torch import Tensor

BOX = 4  # numbers of a box
FINISHED = 6  # numbers of a box with its score and class
NEAR = 1e-3
MOSTLY = 0.99  # share of candidates that settles what the others are
REACH = 0.25  # of the images' side, that some of all boxes come to
AROUND = 0.5  # of the sides, that a centre may lie outside
QUERIES = 1000  # candidates up to which centres in shares are taken for a set without doubles
PROBABLY = 0.9  # share of candidates whose largest score is the same one, on images with nothing in them
Shape = tuple[int, ...]


class Form(StrEnum):
    """What the four numbers of a box are."""

    CORNERS = "two corners"
    DOWN_FIRST = "two corners, y before x"
    CENTRE = "centre and size"
    CORNER = "upper left corner and size"
    OFFSETS = "offsets from anchors"


class Says(StrEnum):
    """What a score is before anything is done to it."""

    PROBABILITIES = "probabilities"
    SIGMOID = "before a sigmoid"
    SOFTMAX = "before a softmax"


class Nothing(StrEnum):
    """Which of the classes stands for what is nothing."""

    NOWHERE = "no class"
    FIRST = "the first class"
    LAST = "the last class"


@dataclass(frozen=True)
class Layout:
    """boxes, scores, kinds: the places of the outputs that hold boxes, their scores, and the numbers of their classes.

    Scores in the same output as boxes stand behind them. kinds: None where there is a score for each class; in the same
    output as the score it stands behind that. columns: outputs are (n, numbers, candidates), else (n, candidates,
    numbers). pixels: of the network's input, else shares of its sides. doubles: several candidates may stand for one
    thing, so that overlapping ones are left out; else the network did that, or never gives any.
    """

    boxes: int = 0
    scores: int = 0
    kinds: int | None = None
    columns: bool = False
    form: Form = Form.CENTRE
    pixels: bool = True
    says: Says = Says.PROBABILITIES
    nothing: Nothing = Nothing.NOWHERE
    doubles: bool = True

    @property
    def told(self) -> tuple[tuple[str, Any], ...]:
        """As options of a reference, from which :meth:`of` reads it."""
        pairs = ((each.name, getattr(self, each.name)) for each in fields(self))
        return tuple((name, value.value if isinstance(value, StrEnum) else value) for name, value in pairs)

    @staticmethod
    def of(told: Any) -> Layout | None:
        """What ``told`` says; None where it says nothing of the kind."""
        try:
            found = dict(told)
            found |= {name: kind(found[name]) for name, kind in (("form", Form), ("says", Says), ("nothing", Nothing))}
        except (TypeError, ValueError, KeyError):
            return None
        if found.keys() != dict(Layout().told).keys():
            return None
        places = [found["boxes"], found["scores"], 0 if found["kinds"] is None else found["kinds"]]
        if any(type(each) is not int or each < 0 for each in places):
            return None
        if any(type(found[name]) is not bool for name in ("columns", "pixels", "doubles")):
            return None
        return Layout(**found)

    @property
    def apart(self) -> bool:
        """Whether it takes more than the first output to read it."""
        return (self.boxes, self.scores, self.kinds or 0) != (0, 0, 0)

    def candidates(self, shapes: Sequence[Shape]) -> int:
        """How many there are in an image; 0 where outputs of ``shapes`` (without the images) hold no boxes so."""
        if not self.boxes < len(shapes):
            return 0
        if self.scores == self.boxes:
            shape = shapes[self.boxes]
            return shape[1 if self.columns else 0] if len(shape) == 2 else 0
        count, rest = divmod(prod(shapes[self.boxes]), BOX)
        sides = [side for side in shapes[self.boxes] if side != 1]
        fits = sides in ([BOX, count], [count, BOX], [BOX])
        return count if fits and not rest else 0

    def room(self, shapes: Sequence[Shape]) -> int:
        """How many scores a candidate has in outputs of ``shapes``; 0 where they cannot be read so."""
        count = self.candidates(shapes)
        if not count or not self.scores < len(shapes):
            return 0
        numbers, rest = divmod(prod(shapes[self.scores]), count)
        if self.scores == self.boxes:
            numbers -= BOX
        if self.kinds == self.scores:
            numbers -= 1
        elif self.kinds is not None and (self.kinds >= len(shapes) or prod(shapes[self.kinds]) != count):
            return 0
        if rest or (self.kinds is not None and numbers != 1):
            return 0
        return max(0, numbers)

    def classes(self, shapes: Sequence[Shape], named: int) -> tuple[int, bool]:
        """(how many classes are told apart, whether a chance that anything is there comes before them).

        ``named``: how many categories the images have, which decides between the two where scores stand behind boxes. A
        class by its number can be any.
        """
        room = self.room(shapes)
        if self.kinds is not None:
            return (named if room else 0), False
        told = room - (self.nothing is not Nothing.NOWHERE)
        there = self.scores == self.boxes and self.nothing is Nothing.NOWHERE and told - 1 == named
        return told - there, there

    def suited(self, shapes: Sequence[Shape], named: int) -> tuple[Layout, ...]:
        """What else it may be, where the number of scores does not fit ``named`` categories but would with a class for
        nothing, or without it."""
        if self.kinds is not None or self.classes(shapes, named)[0] == named:
            return ()
        given = self.says is Says.PROBABILITIES
        one_of = replace(self, says=self.says if given else Says.SOFTMAX)
        each = replace(self, says=self.says if given else Says.SIGMOID, nothing=Nothing.NOWHERE)
        ways = (replace(one_of, nothing=Nothing.LAST), replace(one_of, nothing=Nothing.FIRST), each)
        return tuple(way for way in ways if way.classes(shapes, named)[0] == named)


def proposed(outputs: Sequence[Tensor], side: int = 0) -> Layout | None:
    """What ``outputs`` (n, …) for images with nothing in them look like, to be confirmed by somebody; None where they
    hold no boxes. ``side``: the longer one of the images in pixels, 0 where nobody knows."""
    return _apart(outputs, side) or _together(outputs[0], side)


def _together(output: Tensor, side: int) -> Layout | None:
    if output.ndim != 3 or min(output.shape[1:]) <= BOX:
        return None
    columns = output.shape[1] < output.shape[2]
    rows = (output.transpose(1, 2) if columns else output).double()
    form, pixels = _form(rows[..., :BOX], side)
    if rows.shape[2] == FINISHED and _whole(rows[..., -1]):
        says = Says.PROBABILITIES if _inside(rows[..., BOX]) else Says.SIGMOID
        return Layout(kinds=0, form=form, pixels=pixels, says=says, doubles=False)
    says = Says.PROBABILITIES if _inside(rows[..., BOX:]) else Says.SIGMOID
    return Layout(columns=columns, form=form, pixels=pixels, says=says)


def _apart(outputs: Sequence[Tensor], side: int) -> Layout | None:
    """Boxes in an output of their own, which has four numbers for each of as many candidates as another has scores."""
    ways = [(at, columns, _boxes(each, columns)) for at, each in enumerate(outputs) for columns in (False, True)]
    there = [(at, columns, rows) for at, columns, rows in ways if rows is not None]
    # Scores of four classes have four numbers too.
    there.sort(key=lambda way: (_sums_to_one(way[2]), _form(way[2], side)[0] is Form.OFFSETS))
    for at, columns, rows in there:
        form, pixels = _form(rows, side)
        queries = form is Form.CENTRE and not pixels and rows.shape[1] <= QUERIES
        found = Layout(boxes=at, columns=columns, form=form, pixels=pixels, doubles=not queries)
        others = {place: each for place, each in enumerate(outputs) if place != at}
        scored = _scored(found, others, rows.shape[1]) or _numbered(found, others, rows.shape[1])
        if scored is not None:
            return scored
    return None


def _scored(layout: Layout, others: Mapping[int, Tensor], count: int) -> Layout | None:
    """With a score for each class of ``count`` candidates."""
    for place, each in others.items():
        sides = _sides(each)
        if len(sides) == 2 and sides[1 if layout.columns else 0] == count:
            rows = each.double().reshape(len(each), *sides)
            says, nothing = _says(rows.transpose(1, 2) if layout.columns else rows)
            return replace(layout, scores=place, says=says, nothing=nothing)
    return None


def _numbered(layout: Layout, others: Mapping[int, Tensor], count: int) -> Layout | None:
    """With one score for each of ``count`` candidates, and perhaps the number of its class."""
    single = {place: each for place, each in others.items() if _sides(each) == [count]}
    kinds = next((place for place, each in single.items() if _whole(each)), None)
    for place, each in single.items():
        if place != kinds:
            says = Says.PROBABILITIES if _inside(each) else Says.SIGMOID
            return replace(layout, scores=place, kinds=kinds, says=says, doubles=layout.doubles and kinds is None)
    return None


def _sides(output: Tensor) -> list[int]:
    return [side for side in output.shape[1:] if side != 1]


def _boxes(output: Tensor, columns: bool) -> Tensor | None:
    """(n, A, 4), where ``output`` may hold boxes and nothing else."""
    sides = _sides(output)
    if len(sides) != 2 or sides[0 if columns else 1] != BOX:
        return None
    rows = output.double().reshape(len(output), *sides)
    return rows.transpose(1, 2) if columns else rows


def _form(boxes: Tensor, side: int) -> tuple[Form, bool]:
    """Of (n, A, 4): the form, and whether they are pixels."""
    first, second = boxes[..., :2], boxes[..., 2:]
    pixels = float(boxes.abs().max()) > 2
    if pixels and float(boxes.max()) < REACH * side:  # such as distances from points, in steps of a grid
        return Form.OFFSETS, pixels
    if _mostly((second >= first - NEAR).all(-1)):
        return Form.CORNERS, pixels
    inside = (first >= -AROUND * (float(first.max()) if pixels else 1)).all(-1)
    sized = (second >= -NEAR).all(-1)
    return (Form.CENTRE if _mostly(sized & inside) else Form.OFFSETS), pixels


def _says(scores: Tensor) -> tuple[Says, Nothing]:
    """Of (n, A, K), for images with nothing in them: what scores are, and which of the classes is nothing."""
    ends = scores[..., [0, -1]].mean((0, 1))
    nothing = Nothing.FIRST if ends[0] > ends[1] else Nothing.LAST
    if _sums_to_one(scores):
        return Says.PROBABILITIES, nothing
    if _inside(scores):
        return Says.PROBABILITIES, Nothing.NOWHERE
    most, which = scores.max(-1)
    usual = int(which.flatten().mode().values)
    at_an_end = usual in (0, scores.shape[-1] - 1) and float((which == usual).double().mean()) > PROBABLY
    if scores.shape[-1] > 1 and at_an_end and float(most.median()) > 0:  # a sigmoid would say that all is full of it
        return Says.SOFTMAX, nothing
    return Says.SIGMOID, Nothing.NOWHERE


def _inside(values: Tensor) -> bool:
    return bool(((values >= -NEAR) & (values <= 1 + NEAR)).all())


def _sums_to_one(rows: Tensor) -> bool:
    return rows.shape[-1] > 1 and _inside(rows) and float((rows.sum(-1) - 1).abs().max()) <= NEAR


def _whole(values: Tensor) -> bool:
    return bool((values == values.round()).all()) and bool((values >= 0).all())


def _mostly(yes: Tensor) -> bool:
    return float(yes.double().mean()) > MOSTLY
