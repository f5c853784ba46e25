"""What a layer read and wrote: a row of the table of layers."""

from __future__ import annotations

from dataclasses import dataclass

from pruning_core.graph.labelling.labels import Labelled

# what an operator is called in the table of layers, where no module names it
KINDS = {
    "convolution": "Convolution",
    "addmm": "Linear",
    "mm": "Linear",
    "native_batch_norm": "BatchNorm",
    "_native_batch_norm_legit_no_training": "BatchNorm",
    "native_layer_norm": "LayerNorm",
    "embedding": "Embedding",
}


@dataclass(frozen=True)
class Passage:
    """What one leaf module read and wrote, the first time it ran."""

    module: str
    kind: str
    read: Labelled
    wrote: Labelled
