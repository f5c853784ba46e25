"""The plan as a document: what was cut from which network, by which recipe, and what was found by whom."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from pruning_core import __version__
from pruning_core.errors import UserError, clip
from pruning_core.export.ranges import as_ranges
from pruning_core.export.weights import aliases_of, fingerprint, sha256
from pruning_core.graph import Network, Plan, Removal
from pruning_core.storage.codec import encode

FORMAT, VERSION = "prunescope.plan", 1
Source = Literal["measured", "estimated", "derived", "published"]


@dataclass(frozen=True)
class Base:
    """The network that was cut: its title, its reference as JSON text, and in words how to build it.

    ``state`` is its state dict; only the fingerprint of it is kept.
    """

    title: str
    ref: str
    build: str
    state: Mapping[str, torch.Tensor] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Figure:
    """One number before and after, and where it is from: on which data, how many images, which device, which seed.

    ``before`` and ``after`` may be None where only one was found; ``interval`` is the 95 % interval of ``after``.
    """

    name: str
    unit: str
    before: float | None
    after: float | None
    source: Source
    about: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class How:
    """What the plan came from; each part is a frozen dataclass of ours, or None for a plan picked by hand.

    ``images`` is how many images of ``data`` the criterion saw, drawn by ``seed``; None when it saw none. ``ratios``:
    the share of its channels that each group of the plan loses.
    """

    criterion: Any = None
    allocation: Any = None
    limits: Any = None
    budgets: tuple[Any, ...] = ()
    data: Any = None
    images: int | None = None
    seed: int = 0
    ratios: Mapping[str, float] = field(default_factory=dict)


def heading(base: Base, network: Network) -> dict[str, Any]:
    """What a document says first: what wrote it, and the network that its plan is about."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "tool": {"name": "PruneScope", "version": __version__, "torch": str(torch.__version__)},
        "base": {
            "title": base.title,
            "ref": json.loads(base.ref) if base.ref else None,
            "build": base.build,
            "input_shapes": [list(shape) for shape in network.example_shapes],
            "fingerprint": fingerprint(base.state) if base.state else None,
        },
    }


def plan_document(
    base: Base,
    network: Network,
    plan: Plan,
    removal: Removal,
    *,
    how: How | None = None,
    figures: Sequence[Figure] = (),
    weights: bytes = b"",
) -> dict[str, Any]:
    """Everything that is needed to repeat a removal and to know what it is worth, as plain JSON values.

    ``weights`` are the bytes of the safetensors file beside it, whose sha256 ties the two together.
    """
    before, after = network.cost(), removal.cost
    return {
        **heading(base, network),
        "how": encode(how or How()),
        "plan": {key: list(units) for key, units in plan.items()},
        "kept": kept_ranges(network, plan, aliases_of(base.state)),
        "form": removal.form,
        "bold": removal.bold,
        "proof": encode(removal.proof),
        "cost": {
            "before": encode(before),
            "after": encode(after),
            "source": "derived",
            "about": "closed form, one image",
        },
        "figures": [encode(figure) for figure in figures],
        "weights": beside(weights) if weights else None,
    }


def beside(weights: bytes) -> dict[str, Any]:
    """What ties a document to the safetensors file beside it."""
    return {"sha256": sha256(weights), "bytes": len(weights)}


def kept_ranges(network: Network, plan: Plan, aliases: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """For every tensor that shrinks: dimension -> the positions kept, as ranges. It needs no knowledge of groups."""
    found: dict[str, dict[str, str]] = {}
    for (name, dim), positions in network.kept(plan).items():
        found.setdefault(name, {})[str(dim)] = as_ranges(positions.tolist())
    return found | {name: found[first] for name, first in aliases.items() if first in found}


def to_json(document: Mapping[str, Any]) -> str:
    """Readable, strictly valid JSON: one line per key, lists of numbers on one line."""
    lines = [f"  {json.dumps(key)}: {_value(value)}" for key, value in document.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and value and all(isinstance(v, list | Mapping) for v in value.values()):
        rows = [f"    {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n  }"
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def read_document(text: str) -> dict[str, Any]:
    """Raises UserError when the text is no plan document, or one of a later version."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            "This is not a plan: it is no JSON. Choose the .json file that came with the weights."
        ) from error
    return checked(document, FORMAT)


def checked(document: Any, wanted: str) -> dict[str, Any]:
    """``document``, when it is one of the format ``wanted`` that this version reads."""
    if not isinstance(document, dict) or document.get("format") != wanted:
        raise UserError(f'This is not a file of the format "{wanted}". Choose another file.')
    version = document.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise UserError(
            f"This file was written by a later version of PruneScope ({clip(str(version), 20)}). Update PruneScope to "
            "read it."
        )
    return document


def plan_of(document: Mapping[str, Any]) -> Plan:
    """Raises UserError when the document holds no plan."""
    return Plan.from_json(json.dumps(document.get("plan")))
