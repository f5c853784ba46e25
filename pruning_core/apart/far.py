"""What the pages ask of a stranger's network beside its jobs: each question goes to a child, each answer is checked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.analysis.similarity import response_rows
from pruning_core.apart.answer import asked
from pruning_core.apart.sliding import FarSlider
from pruning_core.criteria import CRITERIA, Criterion
from pruning_core.datasets import DataRef, hold_out, load_splits
from pruning_core.export.as_brought import as_brought
from pruning_core.export.document import Base, plan_document
from pruning_core.export.keras_file import export_keras
from pruning_core.export.lineage import Cut, cut_of
from pruning_core.export.onnx_file import export_onnx
from pruning_core.export.program import Exported, export_pt2
from pruning_core.export.recipe import how_from
from pruning_core.export.script import write_script
from pruning_core.graph import Cost, Group, Network, Plan, Proof, Removal, capture
from pruning_core.isolation.talk import Talk
from pruning_core.runs.errand import OUTBOX
from pruning_core.storage.codec import Codec, dump
from pruning_core.storage.plain import Forged, load_arrays, packed, plain_bytes, save_arrays, unpacked
from pruning_core.storage.workspace import Borrowed, Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.studies.sensitivity import scored
from pruning_core.work import finished
from pruning_core.zoo import LoadedModel, ModelRef, load_model

if TYPE_CHECKING:
    from pruning_core.isolation.child import Child
    from pruning_core.isolation.children import Children

EXPORT, CUT, SCRIPT, DOCUMENT, SCORES, RESPONSES = "export", "cut", "script", "document", "scores", "responses"
MADE, ARRAYS = "made", "arrays.safetensors"
MOST = 8 << 30  # bytes of a program
MOST_ARRAYS = 1 << 30
MOST_BATCHES = 16
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Checked:
    """What an exported program says beside its bytes."""

    any_batch: bool
    max_rel: float
    checked: tuple[int, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ProofTold:
    """A Proof, None for what is not a number."""

    max_abs: float | None
    max_rel: float | None
    dtype: str
    images: int
    exact: bool
    unproven: str


@dataclass(frozen=True)
class CutTold:
    """What a Cut says beside its networks."""

    base: str
    plan: str
    form: str
    bold: bool
    notes: tuple[str, ...]
    proof: ProofTold
    cost: Cost
    tuned: bool
    trained: bool
    steps: int


# -- in the child ------------------------------------------------------------------------------------------------------


def _loaded(given: Given, folder: Path) -> LoadedModel:
    return load_model(ModelRef.from_json(given["ref"]), Borrowed(Path(given["root"]), folder / OUTBOX))


def _cut(given: Given, folder: Path) -> Cut:
    workspace = Borrowed(Path(given["root"]), folder / OUTBOX)
    return cut_of(_loaded(given, folder), lambda ref: load_model(ref, workspace))


def exporting(talk: Talk, given: Given, folder: Path) -> Any:
    """Leave the program as a file."""
    loaded = _loaded(given, folder)
    if given["kind"] == "keras":
        made = export_keras(loaded, Borrowed(Path(given["root"]), folder / OUTBOX))
    else:
        model, example, names = as_brought(loaded)
        made = export_pt2(model, example) if given["kind"] == "pt2" else export_onnx(model, example, names)
    (folder / MADE).write_bytes(made.data)
    return packed(Checked(made.any_batch, made.max_rel, made.checked, made.notes), {})


def cutting(talk: Talk, given: Given, folder: Path) -> Any:
    """Tell what was cut, from what, and what is left."""
    cut = _cut(given, folder)
    removal = cut.removal
    told = CutTold(
        cut.base.ref.to_json(), cut.plan.to_json(), removal.form, removal.bold, removal.notes,
        _proof(removal.proof), removal.cost, cut.tuned, cut.trained, cut.steps,
    )  # fmt: skip
    return packed(told, {})


def _proof(proof: Proof) -> ProofTold:
    largest, relative = (None if math.isnan(each) else each for each in (proof.max_abs, proof.max_rel))
    return ProofTold(largest, relative, proof.dtype, proof.images, proof.exact, proof.unproven)


def scripting(talk: Talk, given: Given, folder: Path) -> Any:
    """The text of the script."""
    cut = _cut(given, folder)
    return write_script(
        cut.base.model,
        cut.network,
        cut.plan,
        cut.as_program(),  # no code builds a stranger's program
        title=cut.base.title,
        weights_file=given["weights"],
        tuned=cut.small.model if cut.tuned else None,
        file=given["file"],
    )


def documenting(talk: Talk, given: Given, folder: Path) -> Any:
    """The plan's document, as text: what could not be proven is not a number there."""
    cut = _cut(given, folder)
    base = Base(cut.base.title, cut.base.ref.to_json(), given["build"], cut.base.model.state_dict())
    how = how_from(given["made"], (DataRef, *CRITERIA))
    return json.dumps(plan_document(base, cut.network, cut.plan, cut.removal, how=how))


def scoring_far(talk: Talk, given: Given, folder: Path) -> Any:
    """Leave the scores as arrays; the answer is the groups' keys in their order."""
    loaded = _loaded(given, folder)
    criterion: Criterion = Codec(CRITERIA).load(given["criterion"])
    workspace = Borrowed(Path(given["root"]), folder / OUTBOX)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    data = DataRef.from_json(given["data"])
    found = finished(scored(loaded, network, criterion, workspace, data, given["seed"]))
    save_arrays({str(at): values.numpy() for at, values in enumerate(found.values())}, folder / ARRAYS)
    return list(found)


def responding(talk: Talk, given: Given, folder: Path) -> Any:
    """Leave what every channel of a group answers to the same images."""
    loaded, data = _loaded(given, folder), DataRef.from_json(given["data"])
    train, _ = load_splits(data, Path(given["root"]))
    fit, _ = hold_out(train, data)
    images = fitted(fit.subset(min(given["images"], len(fit)), 0), data, loaded)
    group = capture(loaded.model, torch.zeros(1, *loaded.input_size)).group(given["group"])
    rows = response_rows(loaded.model, group, images, images=len(images))
    save_arrays({"0": rows.numpy()}, folder / ARRAYS)
    return None


# -- in the server -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Far:
    """Asks children about the network ``ref``. All methods raise UserError, as the same would here."""

    house: Children
    ref: ModelRef
    workspace: Workspace

    def _asked(self, task: str, read: Callable[[Any, Child], Any], **given: Any) -> Any:
        return asked(self.house, task, {"ref": self.ref.to_json(), **given}, self.workspace, self.ref.name, read)

    def export(self, kind: str) -> Exported:
        """As ``export_pt2``, ``export_onnx`` or ``export_keras`` ("pt2", "onnx", "keras")."""

        def read(result: Any, child: Child) -> Exported:
            told: Checked = unpacked(result, {}, Checked)
            if len(told.checked) > MOST_BATCHES:
                raise Forged("nobody checks so much")
            return Exported(
                plain_bytes(child.folder / MADE, MOST), told.any_batch, told.max_rel, told.checked, told.notes
            )

        made: Exported = self._asked(EXPORT, read, kind=kind)
        return made

    def cut(
        self, small: LoadedModel, load: Callable[[ModelRef], LoadedModel], network_of: Callable[[ModelRef], Network]
    ) -> Cut:
        """As ``cut_of``, with numbers under names instead of networks; ``network_of`` gives their groups."""

        def read(result: Any, child: Child) -> Cut:
            told: CutTold = unpacked(result, {}, CutTold)
            bases = [self.ref]
            while (before := bases[-1].base) is not None:
                bases.append(before)
            base = next((ref for ref in bases[1:] if ref.to_json() == told.base), None)
            if base is None:
                raise Forged("it was cut from another network")
            plan, network = Plan.from_json(told.plan), network_of(base)
            network.validate(plan)
            told_of = told.proof
            largest, relative = (math.nan if each is None else each for each in (told_of.max_abs, told_of.max_rel))
            proof = Proof(largest, relative, told_of.dtype, told_of.images, told_of.exact, told_of.unproven)
            removal = Removal(small.model, told.form, proof, told.cost, told.notes, told.bold)
            return Cut(load(base), small, network, plan, removal, told.tuned, told.trained, told.steps)

        made: Cut = self._asked(CUT, read)
        return made

    def script(self, file: str, weights: str) -> str:
        """As ``write_script``, of the recorded operators; ``weights`` names the file of the original ones."""
        return str(self._asked(SCRIPT, _text, file=file, weights=weights))

    def document(self, build: str, made: str) -> dict[str, Any]:
        """As ``plan_document``, without weights: their file is written here; ``made``: what made the plan, as JSON."""

        def read(result: Any, child: Child) -> Any:
            content = json.loads(_text(result, child))
            if not isinstance(content, dict):
                raise Forged("this is no document")
            return content

        content: dict[str, Any] = self._asked(DOCUMENT, read, build=build, made=made)
        return content

    def scores(self, network: Network, criterion: Criterion, data: DataRef, seed: int) -> dict[str, Tensor]:
        """As ``scored``: (C,) by group."""

        def read(result: Any, child: Child) -> dict[str, Tensor]:
            arrays = load_arrays(child.folder / ARRAYS, MOST_ARRAYS)
            found = {}
            for at, key in enumerate(unpacked(result, {}, tuple[str, ...])):
                values = arrays[str(at)]
                if values.dtype != np.float64 or values.shape != (network.group(key).size,):
                    raise Forged("these are no scores of this group")
                found[key] = torch.from_numpy(values)
            return found

        values: dict[str, Tensor] = self._asked(SCORES, read, criterion=dump(criterion), data=data.to_json(), seed=seed)
        return values

    def responses(self, group: Group, data: DataRef, images: int) -> Tensor:
        """As ``response_rows``: (C, d)."""

        def read(result: Any, child: Child) -> Tensor:
            values = load_arrays(child.folder / ARRAYS, MOST_ARRAYS)["0"]
            if values.dtype != np.float64 or values.ndim != 2 or len(values) != group.size:
                raise Forged("these are no answers of this group")
            return torch.from_numpy(values)

        rows: Tensor = self._asked(RESPONSES, read, group=group.key, data=data.to_json(), images=images)
        return rows

    def slider(self, data: DataRef, images: int) -> FarSlider:
        """As ``Slider``, on the first ``images`` held-out images."""
        return FarSlider(self.house, self.ref, self.workspace, data, images)


def _text(result: Any, child: Child) -> str:
    if not isinstance(result, str):
        raise Forged("this is no text")
    return result


TASKS = {
    EXPORT: exporting, CUT: cutting, SCRIPT: scripting, DOCUMENT: documenting, SCORES: scoring_far,
    RESPONSES: responding,
}  # fmt: skip
