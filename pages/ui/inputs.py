"""What goes into a network, in words."""

from __future__ import annotations

from pages.ui.language import said, together
from pages.ui.literal import literal, named
from pruning_core.zoo.interface import Interface


def told(interface: Interface) -> str:
    """In Markdown; by name where there are several."""
    if len(interface.inputs) == 1:
        return literal(said(str(interface.inputs[0])))
    return together([f"{named(each.name)} ({said(str(each))})" for each in interface.inputs])
