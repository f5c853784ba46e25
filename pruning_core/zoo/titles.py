"""What a network is called, from its reference alone: in lists of runs, before anything is loaded."""

from __future__ import annotations

from pruning_core.zoo.demos import DEMOS
from pruning_core.zoo.ref import ModelRef

PRUNED, REBUILT = " (pruned)", " (rebuilt)"


def called(ref: ModelRef) -> str:
    """The demo's title, the file's or the builder's name; one that was cut is called as what it was cut from."""
    if ref.base is not None:
        own = ref.name if ref.source == "pruned" and ref.name != ref.base.name else ""
        return (own or called(ref.base).removesuffix(PRUNED)) + (PRUNED if ref.source == "pruned" else REBUILT)
    titles = {demo.name: demo.title for demo in DEMOS if ref.source == "demo"}
    return titles.get(ref.name, ref.name)
