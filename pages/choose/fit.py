"""Whether the network and the data on the desk belong together, said before anything runs."""

from __future__ import annotations

import streamlit as st

from pages.choose import judging, layout, meaning, outputs, reading
from pages.ui import inputs, notes, state
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import _, ngettext, said, together
from pages.ui.literal import literal, named
from pruning_core.datasets import Dataset
from pruning_core.datasets.targets import Labels
from pruning_core.errors import UserError
from pruning_core.studies.feeding import fed
from pruning_core.studies.judging import judge
from pruning_core.zoo import LoadedModel
from pruning_core.zoo.meaning import Meaning


def standing(desk: Desk) -> None:
    """What is on the desk, and one line on whether it fits."""
    with plain_errors():
        model, (train, test) = state.loaded(desk.model), state.splits(desk.data)
        with st.container(border=True):
            left, right = st.columns(2)
            purpose = _("train") if train.trainable else _("choose by")
            untrained = "" if model.trained else f" :orange-badge[{_('untrained')}]"
            left.markdown(
                _(":small[:gray[Network]]  \n**{title}**{untrained}  \n:gray[reads {reads}, {gives}]").format(
                    title=named(model.title), untrained=untrained, reads=reads(model), gives=_gives(model)
                )
            )
            right.markdown(
                _(
                    ":small[:gray[Data]]  \n**{name}** {badge}  \n:gray[{shape}, {with_}, {n:,} to {purpose}, "
                    "{n_2:,} to test]"
                ).format(
                    name=named(test.name),
                    badge=notes.badge(test),
                    shape=_shape(test),
                    with_=_with(test),
                    n=len(train),
                    purpose=purpose,
                    n_2=len(test),
                ),
                help=notes.tooltip(test),
            )
            misfit = why_not(model, test, desk.data.measure)
            if misfit:
                st.warning(literal(said(misfit)), icon=":material/warning:")
            else:
                st.markdown(f":green-badge[:material/check: {_('fits')}] " + _changes(model, test))
            outputs.ask(desk, model)
            meaning.ask(desk, model)
            layout.ask(desk, model, test)
            judging.ask(desk, model, test)
            if not misfit:
                reading.ask(desk, model, test)


def why_not(model: LoadedModel, data: Dataset, measure: str = "") -> str:
    """The sentence that says why they do not fit; "" when they do."""
    try:
        data = fed(data, model)
        data.check_takes(model.input_size)
        judge(model, data, measure)
        data.subset(1).with_channels(model.input_size[0])
    except UserError as error:
        return str(error)
    return ""


def _with(data: Dataset) -> str:
    """What came with the images."""
    if data.classes:
        return _("{n:,} classes").format(n=len(data.classes))
    if not data.labelled:
        return _("no labels")
    sides = " × ".join(map(str, data.labels.shape[-2:]))
    match data.kind:
        case Labels.MASKS if not data.pictures:
            places = " × ".join(map(str, data.labels.shape[1:]))
            return _("a class at each of {places} places").format(places=places)
        case Labels.MASKS:
            return _("a mask of {sides} pixels for each").format(sides=sides)
        case Labels.BOXES:
            return _("boxes of {n:,} categories").format(n=len(data.categories))
        case Labels.PICTURES:
            return _("a target picture of {sides} pixels for each").format(sides=sides)
    value = " × ".join(map(str, data.labels.shape[1:])) or "1"
    return ngettext("{value} number for each", "{value} numbers for each", data.labels[0].numel()).format(value=value)


def _gives(model: LoadedModel) -> str:
    plain = model.outputs.meaning is Meaning.SCORES
    return (
        _("tells {num_classes:,} classes apart").format(num_classes=model.num_classes)
        if plain
        else _("gives {outputs}").format(outputs=said(str(model.outputs)))
    )


def _changes(model: LoadedModel, data: Dataset) -> str:
    """What has to be done to the images for this network."""
    if not data.pictures:
        if set(data.mean) == {0.0} and set(data.std) == {1.0}:
            return _("The numbers go in as they are.")
        if model.interface is not None and any(each.whole for each in model.interface.inputs):
            return _(
                "Each column goes in with mean 0 and deviation 1, but whole numbers that are looked up as they are."
            )
        if len(data.size) > 1:
            return _("Each channel goes in with mean 0 and deviation 1.")
        return _("Each column goes in with mean 0 and deviation 1.")
    if data.size == model.input_size:
        return _("The images go in as they are.")
    steps = []
    if data.size[0] != model.input_size[0]:
        steps.append(_("turned into colour") if model.input_size[0] == 3 else _("turned into grey"))
    if data.size[1:] != model.input_size[1:]:
        steps.append(
            _("resized to {input_size} × {input_size_2} pixels").format(
                input_size=model.input_size[1], input_size_2=model.input_size[2]
            )
        )
    return _("The images are {join} on their way in.").format(join=together(steps))


def reads(model: LoadedModel) -> str:
    """What goes into it, by name where there are several."""
    if model.interface is None or not model.interface.packed:
        return _size(model.input_size)
    return inputs.told(model.interface)


def _shape(data: Dataset) -> str:
    if data.pictures:
        return _size(data.size)
    if len(data.size) == 1:
        return _("images of {size:,} numbers").format(size=data.size[0])
    return _("images of {join} numbers").format(join=" × ".join(f"{side:,}" for side in data.size))


def _size(size: tuple[int, ...]) -> str:
    if len(size) != 3:
        return _("{sides} numbers").format(sides=" × ".join(f"{side:,}" for side in size))
    channels, height, width = size
    kind = {1: _("grey"), 3: _("colour")}.get(channels, _("{n}-channel").format(n=channels))
    return _("{kind} images of {height} × {width} pixels").format(kind=kind, height=height, width=width)
