"""What a file of weights says of the network they belong to: what builds it, and every removal and change since.

Shapes alone do not tell a network that was cut from one that was made so: a zero-padded shortcut pads other channels
than before, and nothing in the weights says which. So the files written here carry the plan, and some scores that the
network gave; whoever rebuilds it must get the same.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pruning_core.errors import UserError, quoted
from pruning_core.graph import Plan, capture
from pruning_core.graph.edits import Edit, edited
from pruning_core.graph.modules import modules_by_name
from pruning_core.graph.removing.repeat import repeated
from pruning_core.zoo.architectures import FAMILIES, build
from pruning_core.zoo.huggingface_files.building import TRANSFORMERS, check_fits
from pruning_core.zoo.kinds import Kind
from pruning_core.zoo.rebuilt import edits_of, told
from pruning_core.zoo.recognise import shapes_of
from pruning_core.zoo.torchvision_models import names

KEY = "prunescope"  # in the metadata of a .safetensors file
MEMBER = "prunescope.json"  # beside the weights in a .pt file, where others do not look
FORMAT, VERSION, WITH_EDITS = "prunescope.origin", 1, 2  # so that what has no edits is read by older versions too
MOST_TEXT = 32 << 20
MOST_CUTS, MOST_LAYERS, WIDEST, MOST_WEIGHTS = 64, 1000, 1 << 16, 1 << 31
MOST_EDITS = MOST_LAYERS  # of one change
SCORES, IMAGES = 64, 2
TOLERANCE = 1e-3  # of the largest score; float32 on another machine stays a thousand times below
Size = tuple[int, ...]


@dataclass(frozen=True)
class Cut:
    """One removal: the plan, and which form of the network came of it (see :class:`pruning_core.graph.Removal`)."""

    plan: Plan
    form: str
    bold: bool


@dataclass(frozen=True)
class Changed:
    """One change of the build, whose ``edits`` come one after the other."""

    edits: tuple[Edit, ...]


Made = Cut | Changed


@dataclass(frozen=True)
class Origin:
    """``build(architecture, options)`` makes the network before the ``cuts``. ``input_size`` is that of one example,
    (C, H, W) of images.

    Changes of the build stand among the cuts, in the order in which they were made.

    ``scores`` are what the network gave to :func:`images_of` that size; () says that nobody asked it.
    """

    architecture: str
    options: tuple[tuple[str, Any], ...]
    input_size: Size
    cuts: tuple[Made, ...] = ()
    scores: tuple[float, ...] = ()

    def to_json(self) -> str:
        return json.dumps(
            {
                "format": FORMAT,
                "version": WITH_EDITS if any(isinstance(each, Changed) for each in self.cuts) else VERSION,
                "architecture": self.architecture,
                "options": dict(self.options),
                "input_size": self.input_size,
                "cuts": [_told(cut) for cut in self.cuts],
                "scores": self.scores,
            },
            separators=(",", ":"),
        )

    @staticmethod
    def from_json(text: str, name: str) -> Origin:
        """Raises UserError, with ``name`` for the file, when ``text`` is no such thing, or describes no network."""
        try:
            said = json.loads(text)
            if said["format"] != FORMAT or said["version"] > WITH_EDITS:
                raise UserError(
                    f"{quoted(name)} was written by a later version of PruneScope. Update PruneScope to read it."
                )
            found = Origin(
                str(said["architecture"]),
                tuple((key, _frozen(value)) for key, value in said["options"].items()),
                tuple(int(n) for n in said["input_size"]),
                cuts_of(said["cuts"]),
                tuple(float(score) for score in said["scores"][:SCORES]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            raise UserError(f"{quoted(name)} does not say properly which network it belongs to. {_AGAIN}") from error
        _check(found, name)
        return found

    def model(self) -> nn.Module:
        """The network with the numbers of a new one, in eval mode. Raises UserError when the plan does not fit."""
        made = build(self.architecture, dict(self.options)).eval()
        return recut(made, self.cuts, self.input_size)

    def check(self, model: nn.Module, name: str) -> float:
        """The largest difference to the scores, relative to the largest. Raises UserError when they are others."""
        wanted = torch.tensor(self.scores, dtype=torch.float64)
        found = torch.tensor(scores_of(model, self.input_size), dtype=torch.float64)
        if found.shape != wanted.shape:
            gap = float("inf")
        else:
            gap = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30)) if len(wanted) else 0.0
        if not gap <= TOLERANCE:
            raise UserError(
                f"{quoted(name)} says how its network was cut, but the network rebuilt by that gives other scores (by "
                f"{gap:.1e} of the largest) than those written in the file. {_AGAIN}"
            )
        return gap


_AGAIN = "Download it again, or upload the network as .pt2, which needs nothing beside it."


def recut(model: nn.Module, cuts: tuple[Made, ...], size: Size) -> nn.Module:
    """``model`` after every removal and change, one after the other. Raises UserError where one does not fit."""
    for cut in cuts:
        try:
            model = _changed(model, cut.edits) if isinstance(cut, Changed) else _recut(model, cut, size)
        except UserError:
            raise
        except Exception as error:  # building by a stranger's plan may fail in any way
            raise UserError(f"The plan in this file does not fit the network that it names. {_AGAIN}") from error
    return model


def _recut(model: nn.Module, cut: Cut, size: Size) -> nn.Module:
    network = capture(model, torch.zeros(1, *size))
    return repeated(model, network, cut.plan, form=cut.form, bold=cut.bold).eval()


def _changed(model: nn.Module, edits: tuple[Edit, ...]) -> nn.Module:
    """Counted first on a copy without numbers: projections behind projections fill any memory."""
    shapes = shapes_of(lambda: edited(copy.deepcopy(model).to("meta"), edits))
    if sum(torch.Size(shape).numel() for shape in shapes.values()) > MOST_WEIGHTS:
        raise UserError(f"This change makes a network of more weights than are built here. {_AGAIN}")
    return edited(model, edits).eval()


def cuts_to_json(cuts: tuple[Made, ...]) -> str:
    return json.dumps([_told(cut) for cut in cuts], separators=(",", ":"))


def cuts_of(said: Any) -> tuple[Made, ...]:
    """From what :func:`cuts_to_json` wrote. Raises ValueError or TypeError for anything else."""
    if not isinstance(said, list) or len(said) > MOST_CUTS:
        raise ValueError("no list of removals")
    return tuple(_made(each) for each in said)


def _made(said: Any) -> Made:
    if "edits" not in said:
        plan = Plan({key: list(units) for key, units in said["plan"].items()})
        return Cut(plan, str(said["form"]), bool(said["bold"]))
    try:
        found = edits_of(said["edits"])
    except UserError as error:
        raise ValueError("no changes of a network") from error
    if len(found) > MOST_EDITS:
        raise ValueError("more changes than a network has layers")
    return Changed(found)


def _told(cut: Made) -> dict[str, Any]:
    if isinstance(cut, Changed):
        return {"edits": told(cut.edits)}
    return {"plan": {key: list(units) for key, units in cut.plan.items()}, "form": cut.form, "bold": cut.bold}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _check(origin: Origin, name: str) -> None:
    """Raise UserError for what is no network that this project builds, or one too large to be built at all."""
    family = next((each for each in FAMILIES if each.name == origin.architecture), None)
    known = (
        set(inspect.signature(family.build).parameters) if family else {"num_classes", "aux_logits", "transform_input"}
    )
    if origin.architecture == TRANSFORMERS:
        _check_described(origin, name)
        return
    numbers = [n for _, value in origin.options for n in (value if isinstance(value, tuple) else (value,))]
    plain = all(isinstance(n, str | bool) or (isinstance(n, int) and -1 <= n <= WIDEST) for n in numbers)
    usual = (family is not None or origin.architecture in names()) and {key for key, _ in origin.options} <= known
    deep = sum(_layers(key, value) for key, value in origin.options) if plain else 0
    sides = len(family.input_size) if family else 3
    sized = len(origin.input_size) == sides and max(origin.input_size) <= WIDEST
    if not usual or not plain or len(numbers) > MOST_LAYERS or deep > MOST_LAYERS or not sized:
        raise UserError(f"{quoted(name)} names a network that PruneScope does not build. {_AGAIN}")
    try:
        shapes = shapes_of(lambda: build(origin.architecture, dict(origin.options)))
    except Exception as error:  # builders raise anything for widths of 0
        raise UserError(f"{quoted(name)} names a network that cannot be built. {_AGAIN}") from error
    if sum(torch.Size(shape).numel() for shape in shapes.values()) > MOST_WEIGHTS:
        raise UserError(f"{quoted(name)} names a network with more weights than are built here. {_AGAIN}")


def _layers(key: str, value: Any) -> int:
    """How many an option asks for."""
    if key == "blocks" and isinstance(value, tuple):
        return sum(value)
    return value if key == "layers" and isinstance(value, int) else 0


def _check_described(origin: Origin, name: str) -> None:
    options = dict(origin.options)
    text = options.get("repository")
    if set(options) != {"repository"} or not isinstance(text, str) or max(origin.input_size) > WIDEST:
        raise UserError(f"{quoted(name)} names a network that PruneScope does not build. {_AGAIN}")
    check_fits(text)


# -- in files ----------------------------------------------------------------------------------------------------------


def said_in(path: Path, kind: Kind) -> Mapping[str, str]:
    """What was written beside the weights in the file at ``path``, by key; {} where nothing was."""
    try:
        if kind is Kind.SAFETENSORS:
            with safe_open(path, framework="pt") as file:
                return dict(file.metadata() or {})
        if kind is Kind.TORCH:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.filename.rpartition("/")[2] == MEMBER and member.file_size <= MOST_TEXT:
                        return {KEY: archive.read(member).decode()}
    except (SafetensorError, OSError, ValueError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return {}  # whoever reads the weights says what is wrong with the file
    return {}


def origin_in(said: Mapping[str, str], name: str) -> Origin | None:
    """None where a file says nothing. Raises UserError as :meth:`Origin.from_json` does."""
    text = said.get(KEY)
    if text is None:
        return None
    if len(text) > MOST_TEXT:
        raise UserError(f"{quoted(name)} says more about its network than is read ({len(text) >> 20} MiB). {_AGAIN}")
    return Origin.from_json(text, name)


def structure(model: nn.Module) -> str:
    """sha256 of every module's class and plain settings: what a network computes beside its weights.

    Two networks with the same weights and another structure give other numbers.
    """
    total = hashlib.sha256()
    for name, module in sorted(modules_by_name(model).items()):
        held = sorted((key, value) for key, value in vars(module).items() if _is_setting(key, value))
        total.update(f"{name} {type(module).__name__} {held!r}\n".encode())
    return total.hexdigest()


def _is_setting(key: str, value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_setting(key, item) for item in value)
    return key != "training" and not key.startswith("_") and isinstance(value, bool | int | float | str)


def check_structure(model: nn.Module, said: Mapping[str, str], name: str) -> None:
    """Raise UserError when a file says that its weights are those of another network than ``model``, which fits them.

    Only files that PruneScope wrote with the same version of torch say so.
    """
    wanted = said.get("structure")
    if wanted and said.get("torch") == str(torch.__version__) and wanted != structure(model):
        raise UserError(
            f"The weights in {quoted(name)} have the shapes of a network that is known here, but they were written "
            "from another one, which computes something else with them. Upload that network as .pt2."
        )


def images_of(size: Size) -> Tensor:
    """Two images (2, C, H, W) that are the same everywhere."""
    count = IMAGES * torch.Size(size).numel()
    return torch.sin(torch.arange(count, dtype=torch.float64) * 0.7).reshape(IMAGES, *size)


def scores_of(model: nn.Module, size: Size) -> tuple[float, ...]:
    """The first scores of :func:`images_of` ``size``, by ``model`` as it stands, which is in eval mode."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    with torch.no_grad():
        found = model(images_of(size).to(like))
    return tuple(float(f"{value:.9g}") for value in found.flatten()[:SCORES].double().tolist())
