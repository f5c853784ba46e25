"""Which architecture a state dict belongs to, told from its keys and shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from pruning_core.errors import UserError
from pruning_core.zoo import torchvision_models
from pruning_core.zoo.architectures import ARCHITECTURES, FAMILIES, Architecture, build, named, title_of

Shapes = Mapping[str, tuple[int, ...]]
COUNTERS = "num_batches_tracked"  # older checkpoints lack them, and nothing is computed from them in eval mode
BUFFERS = (COUNTERS, "running_mean", "running_var", "relative_position_index", "relative_coords_table")
WAY_OUT = (
    "Choose the architecture by hand, or export the whole network with "
    "torch.export.save(torch.export.export(model, (example,)), 'model.pt2') and upload that."
)
NEAR = 6  # torchvision builders of the closest size that are compared key by key
SHOWN = 4  # keys named in a message


@dataclass(frozen=True)
class Recognised:
    """What builds a network for the state dict: ``build(architecture, dict(options))``."""

    architecture: str
    options: tuple[tuple[str, Any], ...]
    title: str
    input_size: tuple[int, int, int]
    num_classes: int


@dataclass(frozen=True)
class Difference:
    """How a state dict differs from what an architecture expects."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]  # "key (wanted, found)"
    shared: int

    @property
    def none(self) -> bool:
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        parts = [("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.reshaped)]
        return "; ".join(f"{what}: {_some(keys)}" for what, keys in parts if keys)


class _ParametersOnMeta(TorchFunctionMode):
    """Parameters without memory; small tensors that builders compute with stay real, as RegNet and Swin need."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def shapes_of(make: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """The keys and shapes of what ``make`` builds, without the memory and time of its random weights."""
    with _ParametersOnMeta():
        return {key: tuple(tensor.shape) for key, tensor in make().state_dict().items()}


def recognise(shapes: Shapes) -> Recognised:
    """The architecture with exactly these keys and shapes.

    Raises UserError naming the nearest architecture and what is missing or unexpected.
    """
    near: list[tuple[float, str, Difference]] = []
    for candidate in _candidates(shapes):
        difference = _difference(shapes, candidate)
        if difference.none:
            return candidate
        near.append((_likeness(difference), candidate.title, difference))
    for item in ARCHITECTURES:
        difference = _difference(shapes, _named(shapes, item))
        near.append((_likeness(difference), item.title, difference))
    likeness, title, difference = max(near, key=lambda found: found[0])
    nearest = f"The nearest is {title} ({difference})." if likeness else f"They begin with {_some(tuple(shapes))}."
    raise UserError(f"These weights fit no known architecture. {nearest} {WAY_OUT}")


def as_chosen(shapes: Shapes, name: str) -> Recognised:
    """The architecture ``name`` that the user chose, with the number of classes of the state dict.

    Raises UserError naming missing and unexpected keys when it does not fit.
    """
    for item in ARCHITECTURES:
        if item.name == name:
            found = _named(shapes, item)
            break
    else:
        torchvision_models.check_name(name)
        found = _torchvision(shapes, name)
    difference = _difference(shapes, found)
    if not difference.none:
        raise UserError(f"These weights do not fit {found.title} ({difference}). Choose another architecture.")
    return found


def compare(found: Shapes, wanted: Shapes) -> Difference:
    """Found against wanted; counters of batches may be missing."""
    missing = tuple(key for key in wanted if key not in found and not key.endswith(COUNTERS))
    unexpected = tuple(key for key in found if key not in wanted)
    both = [key for key in wanted if key in found]
    reshaped = tuple(f"{key} {wanted[key]}, found {found[key]}" for key in both if wanted[key] != found[key])
    return Difference(missing, unexpected, reshaped, shared=len(both) - len(reshaped))


def _difference(shapes: Shapes, candidate: Recognised) -> Difference:
    return compare(shapes, shapes_of(lambda: build(candidate.architecture, dict(candidate.options))))


def _candidates(shapes: Shapes) -> Iterator[Recognised]:
    for family in FAMILIES:
        options = family.infer(shapes)
        if options is not None:
            size = (options["in_channels"], *(named(family, options) or family).input_size[1:])
            yield Recognised(
                family.name, _frozen(options), title_of(family.name, options), size, options["num_classes"]
            )
    for name in _nearest(shapes):
        yield _torchvision(shapes, name)


def _nearest(shapes: Shapes) -> list[str]:
    """torchvision builders by how close their published number of parameters is, once both have 1,000 classes."""
    total = sum(_count(shape) for key, shape in shapes.items() if not key.endswith(BUFFERS))
    auxiliary = sum(_count(s) for key, s in shapes.items() if key.startswith("aux") and not key.endswith(BUFFERS))
    head = _head(shapes)
    if head is not None:
        has_bias = head.removesuffix("weight") + "bias" in shapes
        total += (1000 - shapes[head][0]) * (_count(shapes[head][1:]) + has_bias)

    def distance(name: str) -> int:
        published = torchvision_models.parameters(name)
        return min(abs(published - total), abs(published - (total - auxiliary)))

    return sorted(torchvision_models.names(), key=distance)[:NEAR]


def _torchvision(shapes: Shapes, name: str) -> Recognised:
    usual = _usual_shapes(name)
    heads = [key for key, shape in usual.items() if shape and shape[0] == 1000]
    classes = next((shapes[key][0] for key in heads if shapes.get(key)), 1000)
    options: dict[str, Any] = {"num_classes": classes}
    if name in torchvision_models.AUXILIARY:
        options["aux_logits"] = any(key.startswith(("aux1.", "AuxLogits.")) for key in shapes)
    return Recognised(name, _frozen(options), name, torchvision_models.input_size(name), classes)


@cache
def _usual_shapes(name: str) -> dict[str, tuple[int, ...]]:
    return shapes_of(lambda: torchvision_models.build(name))


def _named(shapes: Shapes, item: Architecture) -> Recognised:
    head, first = _head(shapes), next((shape for shape in shapes.values() if len(shape) == 4), None)
    inferred = item.family.infer(shapes) or {}
    options = {
        **item.options,
        "num_classes": inferred.get("num_classes", shapes[head][0] if head else 10),
        "in_channels": inferred.get("in_channels", first[1] if first else item.input_size[0]),
    }
    size = (options["in_channels"], *item.input_size[1:])
    return Recognised(item.family.name, _frozen(options), item.title, size, options["num_classes"])


def _head(shapes: Shapes) -> str | None:
    """The last weight with outputs and inputs: the classifier, in every architecture known here."""
    return next((key for key in reversed(list(shapes)) if key.endswith("weight") and len(shapes[key]) >= 2), None)


def _likeness(difference: Difference) -> float:
    others = len(difference.missing) + len(difference.unexpected) + len(difference.reshaped)
    return difference.shared / max(1, difference.shared + others)


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _frozen(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(options.items())


def _some(keys: tuple[str, ...]) -> str:
    shown = ", ".join(keys[:SHOWN])
    return shown if len(keys) <= SHOWN else f"{shown} and {len(keys) - SHOWN} more"
