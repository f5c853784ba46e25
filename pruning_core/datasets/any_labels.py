"""Labels of arrays, whatever they are: classes where they are that, else what outputs are compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pruning_core.datasets.findings import Finding, labels
from pruning_core.datasets.given_labels import matched, numbered
from pruning_core.datasets.targets import are_targets, nothing, targets
from pruning_core.errors import UserError

Labelled = tuple[list[Tensor], tuple[str, ...], tuple[Finding, ...]]  # of each part; the classes; what was done


def labelled(given: Sequence[np.ndarray], names: list[str] | None, name: str, sides: tuple[int, ...] = ()) -> Labelled:
    """``given``: of each part; ``names``: of the classes, where the file gives them; ``sides`` as in ``targets``.
    Raises UserError."""
    if are_targets(given[0]):
        found = [targets(each, name, sides) for each in given]
        if len({each.shape[1:] for each in found}) > 1:
            raise UserError(f"Training and test labels of {name!r} differ in shape. Store both in one shape.")
        if len({each.dtype for each in found}) > 1:  # of one part a byte tells the classes apart, of the other not
            found = [each.long() for each in found]
        return found, (), (labels.Targets(tuple(found[0].shape[1:])),)
    numbers, classes, said = numbered(given[0], names, name)
    return [numbers, *(matched(each, classes, names is not None, name) for each in given[1:])], classes, said


def unlabelled(counts: Sequence[int]) -> Labelled:
    """Of parts of so many examples."""
    return [nothing(count) for count in counts], (), (labels.Unlabelled(),)
