"""What can be taken home, and how each file is made. No streamlit here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pages.ui.language import _, said
from pages.ui.nouns import spoken
from pruning_core.allocation.budget import told as told_of
from pruning_core.apart.far import Far
from pruning_core.criteria import CRITERIA
from pruning_core.datasets import DataRef
from pruning_core.errors import clip
from pruning_core.export.as_brought import as_brought
from pruning_core.export.builders import builder_of
from pruning_core.export.document import Base, Figure, How, beside, plan_document, to_json
from pruning_core.export.keras_file import export_keras
from pruning_core.export.lineage import Cut
from pruning_core.export.onnx_file import export_onnx
from pruning_core.export.program import Exported, export_pt2
from pruning_core.export.recipe import how_from, recipe_of, to_yaml
from pruning_core.export.script import write_script
from pruning_core.export.weights import masks_bytes, origin_metadata, weights_bytes
from pruning_core.graph import Network
from pruning_core.measuring.measures import Accuracy, Latency
from pruning_core.measuring.registry import named
from pruning_core.storage.codec import encode
from pruning_core.storage.uploads import Root
from pruning_core.zoo import LoadedModel, ModelRef
from pruning_core.zoo.demos import demo
from pruning_core.zoo.load import origin_of

SAFETENSORS, ZIP, ONNX = "application/x-safetensors", "application/zip", "application/octet-stream"


@dataclass(frozen=True)
class Checked:
    """How far a file gives what the network gives, on batches of which sizes, and what else its maker says of it."""

    batches: tuple[int, ...]
    max_rel: float
    notes: tuple[str, ...]

    def told(self) -> list[str]:
        """In the language of who reads it, who need not be who had it made."""
        worst = (
            _("largest difference {max_rel:.0e} of the largest output").format(max_rel=self.max_rel)
            if self.max_rel
            else _("no difference at all")
        )
        how = _("compared with the network on batches of {sizes}: {worst}").format(
            sizes=", ".join(map(str, self.batches)), worst=worst
        )
        return [how, *map(said, self.notes)]


@dataclass(frozen=True)
class Built:
    """A file's bytes, and how they were checked."""

    name: str
    media: str
    data: bytes
    checked: Checked | None = None


def stem(ref: ModelRef) -> str:
    """The beginning of every file's name: letters, digits, dashes."""
    name = re.sub(r"\.(pt2?|pth|th|tar|safetensors|onnx|keras)$", "", ref.name)
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "network"
    return f"{plain}-pruned" if ref.source == "pruned" else plain


# -- the network as it is ----------------------------------------------------------------------------------------------


def weights(model: LoadedModel) -> Built:
    return Built(f"{stem(model.ref)}.safetensors", SAFETENSORS, weights_bytes(model.model, origin_metadata(model)))


def masks(model: LoadedModel, network: Network) -> Built:
    return Built(f"{stem(model.ref)}.masks.safetensors", SAFETENSORS, masks_bytes(model.model, network))


def program(model: LoadedModel, far: Far | None = None) -> Built:
    """``far``: who does it where the network does not run in this process."""
    made = far.export("pt2") if far else export_pt2(*as_brought(model)[:2])
    return _built(model, made, ".pt2", ZIP)


def onnx(model: LoadedModel, far: Far | None = None) -> Built:
    """``far`` as in ``program``."""
    made = far.export("onnx") if far else export_onnx(*as_brought(model))
    return _built(model, made, ".onnx", ONNX)


def keras(model: LoadedModel, root: Root, far: Far | None = None) -> Built:
    """Of a network that came as a file of Keras, which lies in the data directory; ``far`` as in ``program``."""
    made = far.export("keras") if far else export_keras(model, root)
    return _built(model, made, ".keras", ZIP)


def _built(model: LoadedModel, made: Exported, suffix: str, media: str) -> Built:
    checked = Checked(made.checked, made.max_rel, made.notes)
    return Built(f"{stem(model.ref)}{suffix}", media, made.data, checked)


# -- what was removed --------------------------------------------------------------------------------------------------


def script(cut: Cut, far: Far | None = None) -> Built:
    """Raises UserError when the network can be neither built by code nor written down as its operators.

    ``far`` as in ``program``.
    """
    name = f"{stem(cut.small.ref).replace('-', '_')}.py"
    if far:
        return Built(name, "text/x-python", far.script(name, _original_name(cut)).encode())
    text = write_script(
        cut.base.model,
        cut.network,
        cut.plan,
        cut.as_program() if codeless(cut.base.ref) else cut.removal,
        title=cut.base.title,
        builder=builder_of(cut.base.ref),
        weights_file=_original_name(cut) if codeless(cut.base.ref) else "",
        tuned=cut.small.model if cut.tuned else None,
        origin=origin_of(cut.small),
        file=name,
    )
    return Built(name, "text/x-python", text.encode())


def document(cut: Cut, safetensors: bytes, how_made: str = "", far: Far | None = None) -> dict[str, Any]:
    """The plan without measured figures, which come last (``with_figures``).

    ``how_made``: what made it, as the desk keeps it; ``far`` as in ``program``.
    """
    if far:
        return {**far.document(how_to_build(cut.base.ref), how_made), "weights": beside(safetensors)}
    how = made(how_made)
    base = Base(cut.base.title, cut.base.ref.to_json(), how_to_build(cut.base.ref), cut.base.model.state_dict())
    return plan_document(base, cut.network, cut.plan, cut.removal, how=how, weights=safetensors)


def plan(cut: Cut, content: Mapping[str, Any]) -> Built:
    return Built(f"{stem(cut.small.ref)}.plan.json", "application/json", to_json(content).encode())


def recipe(cut: Cut, content: Mapping[str, Any]) -> Built:
    return Built(f"{stem(cut.small.ref)}.recipe.yaml", "application/yaml", to_yaml(recipe_of(content)).encode())


def made(text: str) -> How | None:
    """What made a plan, from the text that the desk keeps; None when nobody can say, or this version cannot read it."""
    return how_from(text, (DataRef, *CRITERIA))


def told(how: How) -> str:
    """The same in a line of words."""
    parts = []
    if how.criterion is not None:
        parts.append(_("channels ranked by {criterion}").format(criterion=said(how.criterion.label)))
    if how.images is not None:
        words = _("on {n} images of {name}, seed {seed}")
        parts.append(words.format(n=how.images, name=clip(how.data.name), seed=how.seed))
    if how.allocation is not None:
        parts.append(_("ratios: {name}").format(name=said(how.allocation.card.name)))
    if how.budgets:
        parts.append(_("at most {budgets}").format(budgets=said(told_of(how.budgets))))
    return _("; ").join(parts) or _("picked by hand")


def codeless(ref: ModelRef) -> bool:
    """Whether nobody has code that builds it: it came as a program, or was cut before."""
    return ref.source != "factory" and builder_of(ref) is None


def original(cut: Cut) -> Built | None:
    """The weights before pruning, where the person does not have them: of our demos, and of what came without code."""
    ref = cut.base.ref
    if ref.source == "demo":
        path = demo(ref.name).weights_path
        return Built(path.name, SAFETENSORS, path.read_bytes())
    if codeless(ref):
        return Built(_original_name(cut), SAFETENSORS, weights_bytes(cut.base.model, origin_metadata(cut.base)))
    return None


def _original_name(cut: Cut) -> str:
    return f"{stem(cut.base.ref)}.original.safetensors"


def how_to_build(ref: ModelRef) -> str:
    match ref.source:
        case "demo":
            return f"the demo {ref.name} of PruneScope; the script beside this file contains its code"
        case "torchvision":
            weights = f"weights={'DEFAULT' if ref.weights == 'pretrained' else None!r}"
            return f"torchvision.models.get_model({ref.name!r}, {weights}, num_classes={ref.num_classes or 1000})"
        case "upload":
            return f"the uploaded file {ref.name}, read as {ref.architecture}"
        case "rebuilt":
            return f"{ref.name} with a changed build; its weights are the file of the original beside this one"
        case _:
            return "a network that was pruned before; its own plan comes first"


# -- numbers with their provenance -------------------------------------------------------------------------------------


def with_figures(content: Mapping[str, Any], figures: Sequence[Figure]) -> dict[str, Any]:
    return {**content, "figures": [encode(figure) for figure in figures]}


def accuracy_figure(before: Accuracy | None, after: Accuracy | None, about: str, called: str) -> Figure | None:
    """None while the pruned network has not been measured to the end; ``called``: what an example is."""
    if after is None or not after.complete:
        return None
    first = before.top1 if before is not None and before.complete else None
    seen = spoken(f"{after.images:,} images", called)
    where = f"{after.dataset}, {seen}, {about}"
    measure = named(after.measure)
    name, unit = measure.title.lower(), str(measure.unit) or "as it is"
    return Figure(name, unit, first, after.top1, "measured", where, (after.low, after.high))


def latency_figure(before: Latency | None, after: Latency | None) -> Figure | None:
    if after is None:
        return None
    where = f"median of {after.runs} passes, batch {after.batch_size}, {after.device}, {after.threads} threads"
    return Figure("latency", "ms", before.median_ms if before else None, after.median_ms, "measured", where)
