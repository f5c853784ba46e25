"""The parts of the page: one row for each file, made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import streamlit as st

from pages.download import files, reporting
from pages.download.figures import figures_of
from pages.download.files import Built, Checked
from pages.ui import links, numbers, outbox, standing, state, zeros
from pages.ui.desk import Desk
from pages.ui.errors import plain_errors
from pages.ui.language import N_, _, said
from pages.ui.literal import code, literal, named
from pruning_core.apart import household
from pruning_core.apart.far import Far
from pruning_core.export.document import Figure
from pruning_core.export.keras_file import obstacle
from pruning_core.export.lineage import Cut, cut_of
from pruning_core.graph import Plan
from pruning_core.zoo import LoadedModel, ModelRef

CUTS_KEPT = 3
PROGRAM = N_("The whole network in one file: it runs wherever PyTorch does, without PruneScope and its own code.")
PLAN = N_("What was removed from which network, and the figures with their provenance; with the weights, the network.")
RECIPE = N_("The few lines that repeat the removal in a pipeline of your own.")
KERAS = N_("As Keras 3 loads it: its own layers under their names, with the sizes and the weights that they have now.")
ONNX = N_("The whole network for runtimes that are not PyTorch, such as ONNX Runtime, on phones or in browsers.")


@dataclass(frozen=True)
class Stored:
    """A file that was made: its bytes lie in the data directory, not in memory."""

    name: str
    media: str
    digest: str
    size: int
    checked: Checked | None


def whole(desk: Desk, model: LoadedModel) -> None:
    """No channels were removed from it: it is as it was loaded, or a method changed its build."""
    if desk.model.base is None:
        st.info(
            _(
                "**{title}** is not pruned, so there is no plan and nothing smaller to take home yet. Its "
                "weights and programs, as they are, can be downloaded below."
            ).format(title=named(model.title)),
            icon=":material/info:",
        )
        links.to_what_if()
    else:
        st.markdown(
            _(
                "**{title}** is of another build than the network it was made from. Programs hold it whole; "
                "its weights alone fit no architecture that is known elsewhere."
            ).format(title=named(model.title))
        )
        reporting.section(desk)
    _row("weights", _("Weights"), _weights_text(model), desk.model, lambda: files.weights(model))
    _row("pt2", _("Exported program"), _(PROGRAM), desk.model, lambda: files.program(model, _far(desk.model)))
    _row("onnx", "ONNX", _(ONNX), desk.model, lambda: files.onnx(model, _far(desk.model)))
    _keras(desk.model, model)


def pruned(desk: Desk, model: LoadedModel) -> None:
    cut = _cut(desk.model)
    after = cut.removal.cost
    st.markdown(
        _("**{title}**, {made}: {parameters} parameters, {macs} MACs per image.").format(
            title=named(model.title),
            made=_(standing.made(desk.model)),
            parameters=numbers.count(after.parameters),
            macs=numbers.count(after.macs),
        )
    )
    if cut.steps > 1:
        st.caption(
            _("It was cut {steps} times. Script, plan and recipe take the last cut only.").format(steps=cut.steps)
        )
    figures = figures_of(desk, cut)
    ref = desk.model
    st.subheader(_("To show it"))
    reporting.section(desk, reporting.told(desk, cut))
    st.subheader(_("To run it"))
    _row("pt2", _("Exported program"), _(PROGRAM), ref, lambda: files.program(model, _far(ref)))
    _row("onnx", "ONNX", _(ONNX), ref, lambda: files.onnx(model, _far(ref)))
    _keras(ref, model)
    st.subheader(_("To build on it"))
    _row("weights", _("Weights"), _weights_text(model), ref, lambda: files.weights(model))
    _masks(desk, model)
    if not cut.plan:
        st.caption(
            _(
                "No channel was removed, so no plan, recipe or script goes with it. The files hold its weights as they "
                "are, zeros among them."
            )
        )
        return
    _plan_rows(ref, cut, figures, desk.made_by(cut.base.ref, cut.plan))
    text = _("Applies the plan to the original network with nothing but PyTorch, and checks its own work.") + (
        _(" The weights above go in with `--tuned`.") if cut.tuned else ""
    )
    if files.codeless(cut.base.ref):
        text = (
            _(
                "Holds the network's operators, because no code builds it, and cuts the original weights below with "
                "nothing but PyTorch. It compares what comes out with what was recorded here."
            )
        ) + (_(" The weights above go in with `--tuned`.") if cut.tuned else "")
    _row("script", _("Python script"), text, ref, lambda: files.script(cut, _far(ref)))
    if cut.base.ref.source == "demo" or files.codeless(cut.base.ref):
        what = _("The weights before pruning, which the script starts from.")
        _row("original", _("Original weights"), what, ref, lambda: _there(files.original(cut)))


def _keras(ref: ModelRef, model: LoadedModel) -> None:
    """Only of what came as a file of Keras."""
    if ref.origin.architecture != "keras":
        return
    if why := obstacle(ref):
        st.caption(literal(said(why)))
        return
    _row("keras", "Keras", _(KERAS), ref, lambda: files.keras(model, state.workspace(), _far(ref)))


def _masks(desk: Desk, model: LoadedModel) -> None:
    """Only where a method has set weights to zero."""
    if sparsity := zeros.found(desk):
        text = _(
            "Which weights are not zero ({percent} of them), as booleans of their shapes: beside the "
            "weights, for pipelines that keep masks."
        ).format(percent=numbers.percent(1 - sparsity.zeros / sparsity.weights))
        _row("masks", _("Masks"), text, desk.model, lambda: files.masks(model, state.network(desk.model)))


def _weights_text(model: LoadedModel) -> str:
    if model.ref.source == "pruned" and Plan.from_json(model.ref.plan):
        beside = _("with the plan beside it the network is built again")
    elif model.ref.source == "rebuilt" and model.ref.origin.source != "factory" and not model.ref.foreign:
        beside = _("loaded here, the network is built again from what the file says of it")
    else:
        beside = _("for its own code")
    return _("Every number of the network as safetensors, a format in which nothing can run; {beside}.").format(
        beside=beside
    )


def _there(built: Built | None) -> Built:
    assert built is not None  # the row is there only where there are some
    return built


# -- one file ----------------------------------------------------------------------------------------------------------


def _row(kind: str, title: str, text: str, ref: ModelRef, build: Callable[[], Built]) -> None:
    """The file, made when its button is pressed and offered with its size from then on."""
    shelf, place = _shelf(str(state.workspace().root)), (kind, ref.key)
    words, button = _frame(title, text)
    stored = _there_yet(shelf, place)
    if stored is None and button.button(_("Prepare"), key=f"download.{kind}.make", width="stretch", wrap=True):
        with words, plain_errors(), st.spinner(_("Writing and checking the file …"), show_time=True):
            shelf[place] = stored = _store(build())
        if stored is not None:
            st.rerun()
    if stored is None:
        return
    kept = stored
    told = kept.checked.told() if kept.checked else ()
    words.caption(" · ".join((code(kept.name), numbers.size_bytes(kept.size), *map(literal, told))))
    outbox.button(outbox.of(kept.digest, kept.name, kept.media), key=f"download.{kind}", container=button)


def _plan_rows(ref: ModelRef, cut: Cut, figures: tuple[Figure, ...], made: str) -> None:
    """Small texts, written anew each time so that they carry every figure measured by then."""
    with plain_errors():
        content = files.with_figures(_document(ref, made), figures)
        how = files.made(made)
        st.caption(
            _("How the plan was made: {told}.").format(told=literal(files.told(how)))
            if how
            else _("How the plan was made is not known here.")
        )
        rows = (
            ("plan", _("Plan"), files.plan(cut, content), _(PLAN)),
            ("recipe", _("Recipe"), files.recipe(cut, content), _(RECIPE)),
        )
        for kind, title, built, text in rows:
            words, button = _frame(title, text)
            words.caption(f"{code(built.name)} · {numbers.size_bytes(len(built.data))}")
            offered = outbox.stored(built.data, built.name, built.media)
            outbox.button(offered, key=f"download.{kind}", container=button)


def _frame(title: str, text: str) -> tuple[Any, Any]:
    with st.container(border=True):
        words, button = st.columns([5, 1], vertical_alignment="center")
        words.markdown(f"**{title}**  \n{text}")
    return words, button


def _there_yet(shelf: dict[tuple[str, str], Stored], place: tuple[str, str]) -> Stored | None:
    """What was prepared before, unless its file has been cleaned away."""
    stored = shelf.get(place)
    return stored if stored is not None and state.workspace().artifacts.has(stored.digest) else None


def _store(built: Built) -> Stored:
    digest = state.workspace().artifacts.put(built.data)
    return Stored(built.name, built.media, digest, len(built.data), built.checked)


@st.cache_resource(show_spinner=False)
def _shelf(root: str) -> dict[tuple[str, str], Stored]:
    """Files that this server has made, by kind and network."""
    return {}


def _cut(ref: ModelRef) -> Cut:
    with st.spinner(_("Following the removal from the original network …"), show_time=True):
        return _cut_of(ref.to_json(), str(state.workspace().root))


@lru_cache(maxsize=CUTS_KEPT)  # not a cached resource: loading shows a spinner, which those would play again
def _cut_of(ref: str, root: str) -> Cut:
    small = state.loaded(ModelRef.from_json(ref))
    far = _far(small.ref)
    return far.cut(small, state.loaded, state.network) if far else cut_of(small, state.loaded)


def _document(ref: ModelRef, made: str = "") -> dict[str, Any]:
    return _document_of(ref.to_json(), made, str(state.workspace().root))


@lru_cache(maxsize=CUTS_KEPT)
def _document_of(ref: str, made: str, root: str) -> dict[str, Any]:
    cut = _cut_of(ref, root)
    return files.document(cut, files.weights(cut.small).data, made, _far(cut.small.ref))


def _far(ref: ModelRef) -> Far | None:
    return household.far(ref, state.workspace())
