"""The layers of a network as a graph: arrows from who makes channels to who reads them. No streamlit."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pruning_core.graph import Group, Member, Network, Role

MOST = 40  # layers drawn at once; of a larger network those that the chosen group touches


@dataclass(frozen=True)
class Node:
    """``row``: how many layers lie before it on the longest way; ``lane``: its place among those of its row."""

    layer: str
    row: int
    lane: int


@dataclass(frozen=True)
class Picture:
    """``arrows``: (maker, reader, key of the group whose channels go that way)."""

    nodes: tuple[Node, ...]
    arrows: tuple[tuple[str, str, str], ...]


def picture(network: Network, chosen: Group) -> Picture:
    order = [row.name for row in network.layer_costs()]
    drawn = [layer for layer in order if layer in _weighty(network.groups)]
    if len(drawn) > MOST:
        touched = _weighty((chosen,))
        drawn = [layer for layer in drawn if layer in touched]
    arrows = [
        arrow for arrow in _arrows(network, {layer: n for n, layer in enumerate(order)}) if {*arrow[:2]} <= {*drawn}
    ]
    arrows = _direct(arrows)
    return Picture(_placed(drawn, arrows), tuple(arrows))


def _weighty(groups: Collection[Group]) -> set[str]:
    return {m.layer for g in groups for m in g.members if m.role is not Role.CARRIER}


def _arrows(network: Network, place: dict[str, int]) -> list[tuple[str, str, str]]:
    found = []
    for group in network.groups:
        makers, readers = ({m.layer for m in part} for part in (group.producers, group.consumers))
        for maker in makers:
            later = [r for r in readers if r != maker and place.get(maker, 0) < place.get(r, 0)]
            found += [(maker, reader, group.key) for reader in later]
    return sorted(set(found), key=lambda arrow: (place.get(arrow[0], 0), place.get(arrow[1], 0)))


def _direct(arrows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Without those from an earlier maker of a group where a later maker of it stands between: its sum carries them."""
    kept, ways = [], _ways(arrows)
    for maker, reader, key in arrows:
        between = [m for m, r, k in arrows if k == key and r == reader and m != maker]
        passes = any((maker, m) in ways for m in between)
        if not passes:
            kept.append((maker, reader, key))
    return kept


def _ways(arrows: list[tuple[str, str, str]]) -> set[tuple[str, str]]:
    """(from, to) for everything that can be reached by arrows in their order."""
    reach: dict[str, set[str]] = {}
    for maker, reader, _ in reversed(arrows):
        reach.setdefault(maker, set()).update({reader, *reach.get(reader, set())})
    return {(start, end) for start, ends in reach.items() for end in ends}


def _placed(drawn: list[str], arrows: list[tuple[str, str, str]]) -> tuple[Node, ...]:
    row = dict.fromkeys(drawn, 0)
    for layer in drawn:
        for maker, reader, _ in arrows:
            if reader == layer:
                row[layer] = max(row[layer], row[maker] + 1)
    lanes: dict[int, int] = {}
    nodes = []
    for layer in drawn:
        nodes.append(Node(layer, row[layer], lanes.get(row[layer], 0)))
        lanes[row[layer]] = lanes.get(row[layer], 0) + 1
    return tuple(nodes)


def makers(group: Group) -> tuple[str, ...]:
    return _layers(group.producers)


def readers(group: Group) -> tuple[str, ...]:
    return _layers(group.consumers)


def carriers(group: Group) -> tuple[str, ...]:
    """What has one entry for each channel on the way: norms, and depthwise convolutions."""
    others = {*makers(group), *readers(group)}
    return tuple(layer for layer in _layers(m for m in group.members if m.role is Role.CARRIER) if layer not in others)


def _layers(members: Iterable[Member]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(member.layer for member in members))


def made_by(network: Network, layer: str) -> Group | None:
    """The group whose channels this layer makes."""
    return next((group for group in network.groups if layer in makers(group)), None)
