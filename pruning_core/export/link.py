"""A network, its data and a plan as the end of an address, and back. Whatever comes back may be forged.

What anybody can name is built from its name: a demo, torchvision's classifiers, and what plans cut from those. All else
holds files of somebody's, and opens only where it was shared before: ``Shared.check`` asks for that.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pruning_core.datasets import SETS, DataRef
from pruning_core.errors import UserError
from pruning_core.export.ranges import as_ranges, from_ranges
from pruning_core.graph import Plan
from pruning_core.storage.codec import Codec, encode
from pruning_core.storage.conform import conforms
from pruning_core.zoo import DEMOS, ModelRef, torchvision_names
from pruning_core.zoo.factory import factory_ref, named_at_start

VERSION = 1
LONGEST = 7000  # characters of a token: what servers and mail programs let through in an address
UNPACKED = 1 << 20  # bytes
DEEPEST = 8  # removals one after the other
DAMAGED = "This link is damaged, or another program made it. Ask for it again, or open the plan's file instead."
LATER = "This link was made by a later version of PruneScope. Update PruneScope, or ask for the plan's file instead."
STRANGE_NETWORK = (
    "This names a network whose weights this server does not have, or was not asked to share: they lie on another one. "
    "Load the network's file here, then open the plan's file."
)
STRANGE_DATA = (
    "This names images that this server does not have, or was not asked to share: they lie on another one. Load them "
    "here, then open the plan's file."
)

Known = Callable[[str], bool]  # whether the reference with this key was shared here before


@dataclass(frozen=True)
class Shared:
    """What a link or a file brings."""

    model: ModelRef
    data: DataRef
    plan: Plan

    def check(self, known: Known) -> None:
        """Raise UserError unless everybody may open it here; nothing is loaded for that."""
        if not (_named(self.model) or known(self.model.key)):
            raise UserError(STRANGE_NETWORK)
        if not (_open(self.data) or known(self.data.key)):
            raise UserError(STRANGE_DATA)

    @property
    def travels(self) -> bool:
        """Whether the link opens on every server."""
        return _named(self.model) and _open(self.data)


def token(shared: Shared) -> str:
    """Letters, digits, - and _. Raises UserError where it would be too long for an address."""
    content = {
        "v": VERSION,
        "model": encode(shared.model),
        "data": encode(shared.data),
        "plan": {key: as_ranges(units) for key, units in shared.plan.items()},
    }
    packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 9)
    text = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    if len(text) > LONGEST:
        raise UserError("This plan is too long for an address. Pass it on as a file.")
    return text


def from_token(text: str) -> Shared:
    """Raises UserError for everything that ``token`` did not write, and for what a later version wrote."""
    try:
        if len(text) > LONGEST:
            raise ValueError("too long")
        content = json.loads(_unpacked(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)))
        if isinstance(content["v"], int) and content["v"] > VERSION:
            raise UserError(LATER)
        if content["v"] != VERSION:
            raise ValueError("no version of ours")
        plan = Plan({str(key): from_ranges(runs) for key, runs in content["plan"].items()})
        return shared(content["model"], content["data"], plan)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise UserError(DAMAGED) from error


def shared(model: Any, data: Any, plan: Plan) -> Shared:
    """From decoded JSON. Raises ValueError for what is no reference, UserError for values out of their range."""
    found = Codec((ModelRef, DataRef)).load(json.dumps({"model": model, "data": data}))
    if not conforms(found["model"], ModelRef) or not conforms(found["data"], DataRef):
        raise ValueError("no references")
    return Shared(found["model"], found["data"], plan)


def _unpacked(packed: bytes) -> bytes:
    machine = zlib.decompressobj()
    content = machine.decompress(packed, UNPACKED)
    if machine.unconsumed_tail or not machine.eof:
        raise ValueError("too large, or cut off")
    return content


def _named(ref: ModelRef) -> bool:
    """Whether it is built from names, numbers and plans alone, all of them within what a page would offer."""
    for _ in range(DEEPEST):
        if ref.base is None:
            break
        plain = ModelRef("pruned", ref.name, base=ref.base, plan=ref.plan, input_size=ref.input_size)
        if ref != plain or len(ref.name) > 200 or len(ref.plan) > UNPACKED:
            return False
        ref = ref.base
    match ref.source:
        case "demo":
            return ref in [demo.ref for demo in DEMOS]
        case "factory":
            name = named_at_start()
            return name is not None and ref == factory_ref(name)
        case "torchvision":
            sizes = ref.input_size is None or (
                len(ref.input_size) == 3 and ref.input_size[0] == 3 and all(16 <= s <= 1024 for s in ref.input_size[1:])
            )
            plain = ModelRef("torchvision", ref.name, ref.weights, num_classes=ref.num_classes,
                             input_size=ref.input_size, seed=ref.seed)  # fmt: skip
            classes = ref.num_classes is None or 2 <= ref.num_classes <= 100_000
            known = ref.name in torchvision_names() and ref.weights in ("pretrained", "random")
            return known and classes and sizes and ref == plain and 0 <= ref.seed < 1 << 31
        case _:
            return False


def _open(data: DataRef) -> bool:
    """Whether the images are those that everybody can have; what was changed about them is within its range."""
    if data.digest or data.test_digest or data.source not in ("digits", "sample", "torchvision"):
        return False
    if data.source == "torchvision" and data.name not in {item.name for item in SETS}:
        return False
    shares = (data.held_out, data.test_fraction)
    pixels = (*(data.mean or ()), *(data.std or ()))
    return (
        all(0.01 <= share <= 0.9 for share in shares)
        and 0 <= data.seed < 1 << 31
        and len(pixels) <= 6
        and all(map(math.isfinite, pixels))
        and all(value > 0 for value in data.std or ())
        and max(len(data.name), len(data.measure)) <= 200
        and len(data.classes or ()) <= 1000
        and all(len(name) <= 200 for name in data.classes or ())
    )
