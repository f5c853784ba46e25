"""What a network's outputs look like: scores of classes, probabilities, an embedding, or other numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from torch import Tensor

from pruning_core.numeric.box_layout import Layout
from pruning_core.zoo.ref import ModelRef

FOUND = ("outputs", "evidence", "places", "beside", "layout")  # what a reference's options tell of the judged output
NEAR = 1e-3  # of 1: sums, lengths and bounds are told to float16's rounding


class Meaning(StrEnum):
    """What the numbers for one image are."""

    SCORES = "scores"
    LOG_PROBABILITIES = "log-probabilities"
    PROBABILITIES = "probabilities"
    YES_OR_NO = "yes or no"
    EMBEDDING = "embedding"
    NUMBERS = "numbers"
    MAP = "map"

    @property
    def of_classes(self) -> bool:
        """Whether the largest one names a class, so that an accuracy can be measured."""
        return self not in (Meaning.EMBEDDING, Meaning.NUMBERS, Meaning.MAP)


@dataclass(frozen=True)
class Outputs:
    """``width`` numbers for one image, or at each place of a map of it that is as large as ``places`` says.

    evidence: how their meaning was told, "" where the architecture says it. layout: how outputs are boxes with scores,
    should they be that; None where they cannot be, or nobody looked. beside: the shapes of other outputs, without the
    images.
    """

    width: int
    meaning: Meaning = Meaning.SCORES
    evidence: str = ""
    places: tuple[int, ...] = ()
    layout: Layout | None = None
    beside: tuple[tuple[int, ...], ...] = ()

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of every output, without the images; the one that is judged comes first."""
        return (self.width, *self.places), *self.beside

    def __str__(self) -> str:
        width = f"{self.width:,}"
        match self.meaning:
            case Meaning.SCORES:
                return f"the scores of {width} classes"
            case Meaning.LOG_PROBABILITIES:
                return f"the logarithms of the probabilities of {width} classes"
            case Meaning.PROBABILITIES:
                return f"the probabilities of {width} classes"
            case Meaning.YES_OR_NO:
                return f"{width} separate probabilities, one for each class"
            case Meaning.EMBEDDING:
                return f"an embedding of {width} numbers"
            case Meaning.MAP:
                return f"a map of {width} numbers at each of {' × '.join(map(str, self.places))} places"
        return "one number" if self.width == 1 else f"{width} numbers that are no scores of classes"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of a network whose architecture is not known, right after it was brought."""
        if self.meaning is Meaning.SCORES:
            return (
                f"its outputs are taken for {self}: {self.evidence}; if they are coordinates or an embedding, an "
                "accuracy would mean nothing",
            )
        if self.meaning is Meaning.LOG_PROBABILITIES:
            return (f"its outputs are taken for {self}: {self.evidence}",)
        if self.meaning.of_classes:
            return (
                f"its outputs are taken for {self}: {self.evidence}; accuracy is that of the largest, but a training "
                "here would take them for scores",
            )
        return (
            f"its outputs are taken for {self}: {self.evidence}; they name no class, so they are held against targets "
            "that come with the data, or what they are now",
        )

    @property
    def options(self) -> tuple[tuple[str, Any], ...]:
        """As options of a reference, from which ``told_by`` reads them."""
        told = (("outputs", self.meaning.value), ("evidence", self.evidence))
        places = (("places", self.places),) if self.places else ()
        beside = (("beside", self.beside),) if self.beside else ()
        layout = () if self.layout is None else (("layout", self.layout.told),)
        return (*told, *places, *beside, *layout)


def said_to_be(options: Sequence[tuple[str, Any]], meaning: Meaning) -> tuple[tuple[str, Any], ...]:
    """A reference's ``options`` with what a person says of the outputs."""
    return tuple((dict(options) | dict(Outputs(0, meaning, "as you said").options)).items())


def said_of(ref: ModelRef, meaning: Meaning) -> ModelRef:
    """``ref`` with what a person says of the outputs; of a pruned network, of the one that it was cut from."""
    if ref.base is not None:
        return replace(ref, base=said_of(ref.base, meaning))
    return replace(ref, options=said_to_be(ref.options, meaning))


def measured_of(ref: ModelRef, at: int) -> ModelRef:
    """``ref`` with the output at place ``at`` judged; of a pruned network, of the one that it was cut from."""
    if ref.base is not None:
        return replace(ref, base=measured_of(ref.base, at))
    told = {key: value for key, value in ref.options if key not in FOUND}
    return replace(ref, options=tuple((told | {"measured": at}).items()), num_classes=None)


def laid_out(ref: ModelRef, layout: Layout) -> ModelRef:
    """``ref`` with what a person says of how its outputs are boxes; of a pruned network, of what it was cut from."""
    if ref.base is not None:
        return replace(ref, base=laid_out(ref.base, layout))
    return replace(ref, options=tuple((dict(ref.options) | {"layout": layout.told}).items()))


def told_by(options: Sequence[tuple[str, Any]], width: int) -> Outputs | None:
    """The outputs that a reference's ``options`` tell of, None where they do not."""
    found: Mapping[str, Any] = dict(options)
    if found.get("outputs") not in [meaning.value for meaning in Meaning]:
        return None
    places = tuple(int(side) for side in found.get("places", ()))
    beside = tuple(tuple(int(side) for side in shape) for shape in found.get("beside", ()))
    layout = Layout.of(found.get("layout"))
    return Outputs(width, Meaning(found["outputs"]), str(found.get("evidence", "")), places, layout, beside)


def look_like(rows: Tensor) -> Outputs:
    """What ``rows`` (N, width), or (N, width, …), the outputs for images that have nothing in common, look like.

    Scores of any size can be anything; what lies on a simplex, in a box or on a sphere for every image was put there.
    """
    rows = rows.double()
    if rows.ndim < 3 and rows[0].numel() == 1:
        return Outputs(1, Meaning.NUMBERS, "a single number for every image")
    width = rows.shape[1]
    if rows.ndim > 2:
        shape = " × ".join(map(str, rows.shape[1:]))
        return Outputs(width, Meaning.MAP, f"{shape} for every image", tuple(rows.shape[2:]))
    inside = bool(((rows >= -NEAR) & (rows <= 1 + NEAR)).all())
    sums = (rows.sum(1) - 1).abs().max()
    if inside and sums <= NEAR:
        return Outputs(width, Meaning.PROBABILITIES, "for every image they lie between 0 and 1 and their sum is 1")
    if bool((rows <= NEAR).all()) and rows.logsumexp(1).abs().max() <= NEAR:
        return Outputs(width, Meaning.LOG_PROBABILITIES, "for every image the sum of their exponentials is 1")
    if (rows.norm(dim=1) - 1).abs().max() <= NEAR:
        return Outputs(width, Meaning.EMBEDDING, "for every image the vector of its numbers has the length 1")
    if inside:
        return Outputs(width, Meaning.YES_OR_NO, "for every image all lie between 0 and 1, and their sum is not 1")
    low, high = float(rows.min()), float(rows.max())
    return Outputs(width, Meaning.SCORES, f"between {low:.3g} and {high:.3g} for random images, which can be anything")
