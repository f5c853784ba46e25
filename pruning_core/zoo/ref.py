"""Which network: small, hashable and storable; the weights stay in the data directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from pruning_core.errors import UserError
from pruning_core.storage.codec import Codec, UnknownClass, digest, dump

Source = Literal["demo", "torchvision", "upload", "pruned", "rebuilt", "factory"]
PROGRAMS = ("exported", "onnx", "keras")  # architectures of uploads that bring their own


@dataclass(frozen=True)
class ModelRef:
    """A network by name, with all that is needed to build it again.

    source, name: where it comes from; ``name`` is a demo, a torchvision builder, the file name of an upload or
    the ``package.module:factory`` given at the start.
    weights: "demo", "pretrained", "random", or the sha256 of the stored weights.
    architecture, options: of an upload: what builds it and with which arguments; those in PROGRAMS need none.
    num_classes: of a torchvision network with random weights. seed: of random weights.
    input_size: (C, H, W) where it differs from the usual one.
    base, plan: of a pruned network: what was cut, and the plan's JSON. Of uploaded weights that say how their network
    was cut, plan is the list of those removals. Of a rebuilt network, base is what it was, and the option "edits" says
    what was changed (see :mod:`.rebuilt`).
    """

    source: Source
    name: str
    weights: str = ""
    architecture: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    num_classes: int | None = None
    input_size: tuple[int, ...] | None = None
    seed: int = 0
    base: ModelRef | None = None
    plan: str = ""

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise UserError(f"There is no model source {self.source!r}. Choose one of {', '.join(get_args(Source))}.")
        if (self.source in ("pruned", "rebuilt")) != (self.base is not None):
            raise UserError("A pruned or rebuilt network, and no other one, names the network it was made from.")

    @property
    def key(self) -> str:
        """sha256 of the canonical JSON: equal references have equal keys."""
        return digest(self)

    @property
    def origin(self) -> ModelRef:
        """What it was cut from first; itself where nothing was cut."""
        origin = self
        while origin.base is not None:
            origin = origin.base
        return origin

    @property
    def brought(self) -> bool:
        """Whether anything of it comes out of somebody's file."""
        return self.origin.source == "upload"

    @property
    def foreign(self) -> bool:
        """Whether running it runs a program out of somebody's file, not only numbers from it in classes we know."""
        return self.brought and self.origin.architecture in PROGRAMS

    def to_json(self) -> str:
        return dump(self)

    @staticmethod
    def from_json(text: str) -> ModelRef:
        """Raises UserError for text that is no stored reference."""
        try:
            ref = Codec((ModelRef,)).load(text)
        except (ValueError, TypeError, UnknownClass) as error:
            raise UserError("This is not a stored reference to a network. Choose the network again.") from error
        if not isinstance(ref, ModelRef):
            raise UserError("This is not a stored reference to a network. Choose the network again.")
        return ref
