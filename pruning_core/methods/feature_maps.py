"""How alike the feature maps of channels are, over many images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping

import torch
from torch import Tensor, nn

from pruning_core.datasets import Dataset
from pruning_core.graph import Group, Member, Network
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.forward import precision
from pruning_core.probe.activity import channels_read
from pruning_core.probe.places import index_of, members_at
from pruning_core.probe.readings import Reading, Readings, channel_maps
from pruning_core.probe.shadow import shadow
from pruning_core.probe.site import Place

BATCH = 64


def products(
    model: nn.Module, network: Network, groups: Iterable[Group], images: Dataset, device: str
) -> Generator[float, None, dict[str, Tensor]]:
    """Group key -> (C, C) float64: products of the maps that are read of its channels, over all images and readers.

    Yields the share of images that were seen. Groups that are read nowhere are left out.
    """
    run = shadow(model).to(choose_device(device))
    tensors = {**dict(run.named_parameters()), **dict(run.named_buffers())}
    readers: dict[str, list[tuple[str, Member]]] = defaultdict(list)
    for group in groups:
        for member in members_at(group, Place.CONSUMER, tensors):
            readers[member.parameter].append((group.key, member))
    found: dict[str, Tensor] = {}

    def read(name: str, reading: Reading) -> None:
        for key, member in readers[name]:
            channels = channels_read(index_of(member, tensors[name].device), reading, tensors[name])
            maps = channel_maps(reading, channels).transpose(0, 1).flatten(1).double()  # (C, N * H * W)
            found[key] = found.get(key, 0) + (maps @ maps.T).cpu()

    dtype = precision(run)
    seen = 0
    for x, _ in images.batches(BATCH, next(iter(tensors.values())).device, dtype):
        with torch.no_grad(), Readings({name: tensors[name] for name in readers}, read):
            run(x)
        seen += len(x)
        yield seen / len(images)
    return found


def cosines(maps: Mapping[str, Tensor], key: str, count: int) -> Tensor:
    """(C, C) likeness of a group's maps; where nobody saw them read (in fused attention), each is like itself alone."""
    return likeness(maps[key]) if key in maps else torch.eye(count, dtype=torch.float64)


def likeness(products: Tensor) -> Tensor:
    """(C, C) products -> cosines; that of a channel that is always 0 with any other is 0."""
    length = products.diagonal().clamp_min(0).sqrt()
    dead = length == 0
    alike = products / (length[:, None] * length).masked_fill(dead[:, None] | dead, 1)
    return alike.masked_fill(dead[:, None] | dead, 0).clamp(-1, 1).fill_diagonal_(1)
