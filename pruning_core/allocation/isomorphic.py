"""Which groups are alike enough to be ranked against each other."""

from __future__ import annotations

from collections.abc import Iterable

from pruning_core.graph import Group, Network

Signature = tuple[tuple[str, str, str, int, int], ...]


def signature(network: Network, group: Group) -> Signature:
    """The kinds of slices that one channel of the group owns, in no order; isomorphic groups have the same signature.

    A kind is (role, kind of layer, name of the tensor in it, dimension, slices per channel). Sizes do not count, so
    that the layers of all stages of a network can share one ranking.
    """
    kinds = {layer.name: layer.kind for layer in network.layer_costs()}
    return tuple(
        sorted(
            (m.role.value, kinds.get(m.layer, ""), m.parameter.rpartition(".")[2], m.dim, m.index.shape[1])
            for m in group.members
        )
    )


def classes(network: Network, keys: Iterable[str]) -> list[tuple[str, ...]]:
    """The groups named ``keys``, split into classes of isomorphic ones, in the order of execution."""
    found: dict[Signature, list[str]] = {}
    for key in keys:
        found.setdefault(signature(network, network.group(key)), []).append(key)
    return [tuple(members) for members in found.values()]
