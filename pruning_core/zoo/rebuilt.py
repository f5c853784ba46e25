"""Changes of a network's build as text: in a reference to it, and in the place where a method stands."""

from __future__ import annotations

from collections.abc import Iterable

from pruning_core.errors import UserError
from pruning_core.graph.edits import Drop, Edit, Regroup
from pruning_core.graph.gated import Boost, GateChannels
from pruning_core.graph.projected import Project
from pruning_core.storage.codec import Codec, UnknownClass, dump
from pruning_core.storage.conform import conforms

EDITS = "edits"  # among the options of a reference
CODEC = Codec((Drop, Regroup, Boost, GateChannels, Project))


def told(edits: Iterable[Edit]) -> str:
    """As text, to be stored; "" for none."""
    found = tuple(edits)
    return dump(found) if found else ""


def edits_of(text: str) -> tuple[Edit, ...]:
    """Raises UserError for a text that holds anything else."""
    if not text:
        return ()
    try:
        found = CODEC.load(text)
    except (ValueError, TypeError, UnknownClass) as error:
        raise UserError("This is no stored change of a network. Choose the network again.") from error
    if not isinstance(found, tuple) or not all(isinstance(each, Edit) and conforms(each, type(each)) for each in found):
        raise UserError("This is no stored change of a network. Choose the network again.")
    return found
