"""How far each output of a network is from another's, where it gives several, such as the scales of a detector."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import precision, ready
from pruning_core.numeric.outputs import every
from pruning_core.studies.pruned import Apart
from pruning_core.zoo import LoadedModel

IMAGES = 64


@torch.no_grad()
def apart(networks: Mapping[str, nn.Module], data: Dataset, loaded: LoadedModel) -> tuple[Apart, ...]:
    """``networks``: the one "before", which those "after" and, if there is one, "recovered" are compared with, on the
    first images of ``data``. () where there is one output."""
    where = choose_device("cpu")
    (_, first), *others = ((when, ready(network, where)) for when, network in networks.items())
    x = data.normalised(data.images[:IMAGES].to(where), precision(first))
    wanted = every(first(x))
    if len(wanted) < 2:
        return ()
    found = {when: [_distance(*pair) for pair in zip(every(network(x)), wanted)] for when, network in others}
    again: list[float] | list[None] = found.get("recovered") or [None] * len(wanted)
    rows = zip(_names(loaded, len(wanted)), found["after"], again, strict=True)
    return tuple(Apart(name, len(x), after, recovered) for name, after, recovered in rows)


def _distance(given: Tensor, wanted: Tensor) -> float:
    """The root of the summed squared differences, as a share of that of the summed squares."""
    return float((given - wanted).double().norm() / wanted.double().norm().clamp_min(1e-12))


def _names(loaded: LoadedModel, count: int) -> list[str]:
    """As the file calls them; the one that is judged comes first, as the network gives it."""
    told = loaded.interface
    numbered = [f"output {at + 1}" for at in range(count)]
    if told is None or len(told.outputs) != count:
        return numbered
    names = [each.name or numbered[at] for at, each in enumerate(told.outputs)]
    return [names[told.measured], *names[: told.measured], *names[told.measured + 1 :]]
