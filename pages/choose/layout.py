"""How a detector's outputs are boxes: proposed from what they look like, confirmed here, where images have boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.choose import detected
from pages.choose.restating import restate
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, said
from pages.ui.literal import named
from pruning_core.datasets import Dataset
from pruning_core.datasets.targets import Labels
from pruning_core.numeric.box_layout import Form, Layout, Nothing, Says
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.meaning import laid_out

ORDERS = {False: N_("(images, candidates, numbers)"), True: N_("(images, numbers, candidates)")}
UNITS = {True: N_("in pixels"), False: N_("from 0 to 1")}
DOUBLES = {True: N_("perhaps several times"), False: N_("once")}
PLACES = 3  # rows of as many choices each


def ask(desk: Desk, model: LoadedModel, data: Dataset) -> None:
    """Nothing where the images have no boxes, or the outputs cannot be any."""
    shapes = model.outputs.shapes
    if data.kind is not Labels.BOXES or not any(len(shape) == 2 for shape in shapes):
        return
    now = model.outputs.layout or Layout()
    st.markdown(
        _(
            ":small[:gray[Outputs as boxes]]  \nRead as below, by what they look like for random images; look at the "
            "pictures whether it is so."
        )
    )
    chosen = _chosen(now, _names(model), f"choose.layout.{model.ref.key[:12]}")
    if model.outputs.layout is None and not st.button(
        _("They are boxes so"), key=f"choose.layout.{model.ref.key[:12]}.say", wrap=True
    ):
        return
    if chosen != model.outputs.layout:
        _read(desk, chosen)
    _suited(desk, model, data, chosen)
    detected.draw(desk, model, data)


def _chosen(now: Layout, names: Sequence[str], key: str) -> Layout:
    """What the boxes say; each begins with what is so ``now``."""
    several = len(names) > 1
    outputs = dict(enumerate(map(named, names)))
    place = (column for row in range(PLACES) for column in st.columns(PLACES))
    boxes, scores = now.boxes, now.scores
    if several:
        boxes = _one(next(place), _("Boxes are in"), outputs, now.boxes, f"{key}.boxes")
        beside = outputs | {boxes: _("the same, behind each box")}
        scores = _one(next(place), _("Scores are in"), beside, now.scores, f"{key}.scores")
    numbers: dict[int | None, str] = {None: _("a score for each class")}
    numbers |= {at: name for at, name in outputs.items() if at not in (boxes, scores)}
    numbers[scores] = _("its number, behind the score")
    kinds = now.kinds if now.kinds in numbers else None
    return Layout(
        boxes,
        scores,
        _one(next(place), _("Classes are told by"), numbers, kinds, f"{key}.kinds"),
        _one(next(place), _("Order"), _spoken(ORDERS), now.columns, f"{key}.order",
             _("How candidates lie in outputs.")),
        _one(next(place), _("A box is"), _words(Form), now.form, f"{key}.form",
             _("Its four numbers. Offsets from anchors that no file tells cannot be read as boxes.")),
        _one(next(place), _("It is measured"), _spoken(UNITS), now.pixels, f"{key}.pixels",
             _("In pixels of the network's input, or as shares of its sides.")),
        _one(next(place), _("Scores are"), _words(Says), now.says, f"{key}.says"),
        _one(next(place), _("Nothing is"), _words(Nothing), now.nothing, f"{key}.nothing",
             _("The class that a candidate gets where nothing is.")),
        _one(next(place), _("A thing is found"), _spoken(DOUBLES), now.doubles, f"{key}.doubles",
             _("Several times: of overlapping boxes of a class the surest is kept. Once: the network did that, or its "
               "candidates share things out among them, as DETR's do.")),
    )  # fmt: skip


def _one(place: DeltaGenerator, title: str, offered: Mapping[Any, str], now: Any, key: str, help: str = "") -> Any:
    values = tuple(offered)
    at = values.index(now) if now in values else 0
    return place.selectbox(title, values, at, format_func=lambda each: offered[each], key=key, help=help or None)


def _spoken(words: Mapping[Any, str]) -> dict[Any, str]:
    return {value: _(each) for value, each in words.items()}


def _words(kind: type[StrEnum]) -> dict[Any, str]:
    return {each: said(each) for each in kind}


def _names(model: LoadedModel) -> list[str]:
    """Outputs with their shapes, as the network gives them: the one that is judged comes first."""
    shapes = [" × ".join(map(str, shape)) or "1" for shape in model.outputs.shapes]
    told = model.interface
    if told is None or len(told.outputs) != len(shapes):
        return [_("output {n}").format(n=at + 1) + f" ({shape})" for at, shape in enumerate(shapes)]
    outputs = [told.outputs[told.measured], *told.outputs[: told.measured], *told.outputs[told.measured + 1 :]]
    return [f"{each.name} ({shape})" for each, shape in zip(outputs, shapes)]


def _suited(desk: Desk, model: LoadedModel, data: Dataset, layout: Layout) -> None:
    """Where scores are one more or less than categories: the ways in which they would fit."""
    ways = layout.suited(model.outputs.shapes, len(data.categories))
    if not ways:
        return
    st.info(
        _("A candidate has {n:,} scores, and there are {categories:,} categories. They fit where nothing is:").format(
            n=layout.room(model.outputs.shapes), categories=len(data.categories)
        ),
        icon=":material/help:",
    )
    with st.container(horizontal=True):
        for way in ways:
            words = f"{said(way.nothing)}, {said(way.says)}"
            if st.button(words, key=f"choose.layout.{model.ref.key[:12]}.{way.nothing.name}", wrap=True):
                _read(desk, way)


def _read(desk: Desk, layout: Layout) -> None:
    with plain_errors():
        restate(desk, laid_out(desk.model, layout))
