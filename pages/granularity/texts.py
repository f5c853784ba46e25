"""What the page says of each granularity."""

from __future__ import annotations

from collections.abc import Mapping

from pages.ui.language import N_, said
from pruning_core.sparsity.grains import Grain

ABOUT: Mapping[Grain, str] = {
    Grain.ELEMENT: N_(
        "Every weight is judged alone. The zeros lie anywhere, so a kernel must look up where the "
        "others are, and that takes longer than multiplying by zero."
    ),
    Grain.N_OF_M: N_(
        "Of every four weights along the input channels two stay. Some graphics cards have "
        "circuits for exactly this; a processor has none."
    ),
    Grain.VECTOR: N_("A whole row of a kernel goes."),
    Grain.COLUMN: N_(
        "The same position of the same kernel goes in all filters: a column of the layer written "
        "as a matrix. A program that rewrites the product could drop it; PyTorch's does not."
    ),
    Grain.PATTERN: N_(
        "Each kernel keeps four of its nine weights, in one of four shapes. A compiler that knows "
        "the shapes can make use of it; PyTorch's kernels do not know them."
    ),
    Grain.KERNEL: N_("All that a filter reads of one input channel goes."),
    Grain.FILTER: N_(
        "A whole filter goes. The layer is then an ordinary smaller layer, and what reads it becomes smaller too."
    ),
    Grain.LAYER: N_("Everything goes. Where a shortcut carries the signal past the layer, the network may still work."),
}
INTRODUCTION = N_(
    "How large is the smallest piece that goes? Single weights mostly cost the least; "
    "whole filters leave a layer that ordinary hardware runs faster. Choose a layer, and both "
    "are measured on its real weights."
)
# The ways to run a layer, as the core calls them.
WAYS = (N_("dense, as it is"), N_("dense, with zeros"), N_("zeros skipped"), N_("really smaller"))
WHY = N_(
    "A dense kernel multiplies in a fixed order and never looks at the numbers, so zeros cost "
    "as much as any weight. A kernel that skips zeros must read positions beside the values "
    "and jumps through memory. Only a smaller layer is less work for the same dense kernel."
)


def name(grain: Grain) -> str:
    return said(grain.value).capitalize()
