"""What the page says of each granularity."""

from __future__ import annotations

from collections.abc import Mapping

from pruning_core.sparsity.grains import Grain

NAMES: Mapping[Grain, str] = {
    Grain.ELEMENT: "Element",
    Grain.N_OF_M: "2:4",
    Grain.VECTOR: "Vector",
    Grain.COLUMN: "Column",
    Grain.PATTERN: "Pattern",
    Grain.KERNEL: "Kernel",
    Grain.FILTER: "Filter",
    Grain.LAYER: "Layer",
}
ABOUT: Mapping[Grain, str] = {
    Grain.ELEMENT: "Every weight is judged alone. The zeros lie anywhere, so a kernel must look up where the others "
    "are, and that takes longer than multiplying by zero.",
    Grain.N_OF_M: "Of every four weights along the input channels two stay. Some graphics cards have circuits for "
    "exactly this; a processor has none.",
    Grain.VECTOR: "A whole row of a kernel goes.",
    Grain.COLUMN: "The same position of the same kernel goes in all filters: a column of the layer written as a "
    "matrix. A program that rewrites the product could drop it; PyTorch's does not.",
    Grain.PATTERN: "Each kernel keeps four of its nine weights, in one of four shapes. A compiler that knows the "
    "shapes can make use of it; PyTorch's kernels do not know them.",
    Grain.KERNEL: "All that a filter reads of one input channel goes.",
    Grain.FILTER: "A whole filter goes. The layer is then an ordinary smaller layer, and what reads it becomes smaller "
    "too.",
    Grain.LAYER: "Everything goes. Where a shortcut carries the signal past the layer, the network may still work.",
}
INTRODUCTION = (
    "How large is the smallest piece that goes? Single weights mostly lose the least accuracy; whole filters leave a "
    "layer that ordinary hardware runs faster. Choose a layer, and both are measured on its real weights."
)
WHY = (
    "A dense kernel multiplies in a fixed order and never looks at the numbers, so zeros cost as much as any weight. "
    "A kernel that skips zeros must read positions beside the values and jumps through memory. Only a smaller layer is "
    "less work for the same dense kernel."
)
