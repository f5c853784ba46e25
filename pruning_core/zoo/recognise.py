"""Which architecture a state dict belongs to, told from its keys and shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from pruning_core.errors import UserError, clip
from pruning_core.zoo import torchvision_models
from pruning_core.zoo.advice import EXPORT
from pruning_core.zoo.architectures import ARCHITECTURES, FAMILIES, Architecture, NetworkFamily, build, named, title_of

Shapes = Mapping[str, tuple[int, ...]]
COUNTERS = "num_batches_tracked"  # older checkpoints lack them, and nothing is computed from them in eval mode
BUFFERS = (COUNTERS, "running_mean", "running_var", "relative_position_index", "relative_coords_table")
WAY_OUT = f"Choose the architecture by hand, or export the whole network with {EXPORT} and upload that."
AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")
NEAR = 6  # torchvision builders of the closest size that are compared key by key
SHOWN = 4  # keys named in a message


@dataclass(frozen=True)
class Recognised:
    """What builds a network for the state dict: ``build(architecture, dict(options))``."""

    architecture: str
    options: tuple[tuple[str, Any], ...]
    title: str
    input_size: tuple[int, ...]
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


def find(shapes: Shapes) -> Recognised | None:
    """The architecture with exactly these keys and shapes; None when there is none.

    Raises UserError when they do not tell what the network computes.
    """
    for candidate in _candidates(shapes, exact=True):
        difference = _difference(shapes, candidate)
        if difference is not None and difference.none:
            return _clear(candidate)
    return None


def recognise(shapes: Shapes) -> Recognised:
    """The architecture with exactly these keys and shapes.

    Raises UserError naming the nearest architecture and what is missing or unexpected.
    """
    near: list[tuple[float, str, Difference]] = []
    for candidate in _candidates(shapes):
        difference = _difference(shapes, candidate)
        if difference is None:
            continue
        if difference.none:
            return _clear(candidate)
        near.append((_likeness(difference), candidate.title, difference))
    for item in ARCHITECTURES:
        difference = _difference(shapes, _named(shapes, item))
        if difference is not None:
            near.append((_likeness(difference), item.title, difference))
    likeness, title, closest = max(near, key=lambda found: found[0], default=(0.0, "", None))
    nearest = f"The nearest is {title} ({closest})." if likeness else f"They begin with {_some(tuple(shapes))}."
    raise UserError(f"These weights fit no known architecture. {nearest} {WAY_OUT}")


def _clear(found: Recognised) -> Recognised:
    for family in FAMILIES:
        if family.name == found.architecture and (unclear := family.unclear(dict(found.options))):
            raise UserError(
                f"{unclear} Upload the whole network as .pt2 ({EXPORT}), or the .safetensors that PruneScope offers "
                "for download, which says how it was cut."
            )
    return found


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
    if difference is None or not difference.none:
        told = difference or "no such network has weights of these shapes"
        raise UserError(f"These weights do not fit {found.title} ({told}). Choose another architecture.")
    return found


def compare(found: Shapes, wanted: Shapes) -> Difference:
    """Found against wanted; counters of batches may be missing."""
    missing = tuple(key for key in wanted if key not in found and not key.endswith(COUNTERS))
    unexpected = tuple(key for key in found if key not in wanted)
    both = [key for key in wanted if key in found]
    reshaped = tuple(f"{key} {wanted[key]}, found {found[key]}" for key in both if wanted[key] != found[key])
    return Difference(missing, unexpected, reshaped, shared=len(both) - len(reshaped))


def _difference(shapes: Shapes, candidate: Recognised) -> Difference | None:
    """None when there can be no such network: the options come from shapes that a stranger wrote."""
    try:
        wanted = shapes_of(lambda: build(candidate.architecture, dict(candidate.options)))
    except Exception:  # builders and torch raise anything for widths of 0 or 10^18
        return None
    return compare(shapes, wanted)


def _candidates(shapes: Shapes, exact: bool = False) -> Iterator[Recognised]:
    """exact: only those whose keys are the same, which is found out quickly once they were built."""
    for family in FAMILIES:
        found = _of_family(shapes, family)
        if found is not None:
            yield found
    for name in _nearest(shapes):
        if not exact or _same_keys(shapes, name):
            yield _torchvision(shapes, name)


def _same_keys(shapes: Shapes, name: str) -> bool:
    """Whether the keys are those of the torchvision builder, its auxiliary heads and counters aside."""

    def counted(keys: Iterable[str]) -> set[str]:
        return {key for key in keys if not key.startswith(AUXILIARY_HEADS) and not key.endswith(COUNTERS)}

    return counted(shapes) == counted(_usual_shapes(name))


def _of_family(shapes: Shapes, family: NetworkFamily) -> Recognised | None:
    options = _inferred(family, shapes)
    if options is None:
        return None
    size = (options["in_channels"], *(named(family, options) or family).input_size[1:])
    try:
        title = clip(title_of(family.name, options))
    except ValueError:  # no layer has a width that could be told
        return None
    return Recognised(family.name, _frozen(options), title, size, options["num_classes"])


def _inferred(family: NetworkFamily, shapes: Shapes) -> dict[str, Any] | None:
    try:
        return family.infer(shapes)
    except (IndexError, KeyError, ValueError):  # a weight with fewer dimensions than its name promises
        return None


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
        options["aux_logits"] = any(key.startswith(AUXILIARY_HEADS) for key in shapes)
    return Recognised(name, _frozen(options), name, torchvision_models.input_size(name), classes)


@cache
def _usual_shapes(name: str) -> dict[str, tuple[int, ...]]:
    return shapes_of(lambda: torchvision_models.build(name))


def _named(shapes: Shapes, item: Architecture) -> Recognised:
    head, first = _head(shapes), next((shape for shape in shapes.values() if len(shape) == 4), None)
    inferred = _inferred(item.family, shapes) or {}
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
    shown = ", ".join(map(clip, keys[:SHOWN]))
    return shown if len(keys) <= SHOWN else f"{shown} and {len(keys) - SHOWN} more"
