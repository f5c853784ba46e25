"""The layers of a network as a graph: arrows from who makes channels to who reads them. No streamlit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from pruning_core.graph import Group, Member, Network, Role
from pruning_core.replay.flow import Arrow, Flow, flow
from pruning_core.replay.steps import NotReplayable

MOST = 40  # layers drawn at once; of a larger network those that the chosen group touches


@dataclass(frozen=True)
class Node:
    """``row``: how many nodes lie before it on the longest way; ``lane``: its place among those of its row.

    ``sign``: of a place where branches meet, and "" of a layer. ``groups``: keys of those whose channels it hands on.
    """

    name: str
    row: int
    lane: int
    sign: str
    groups: frozenset[str]


@dataclass(frozen=True)
class Picture:
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


def seen(model: nn.Module, network: Network) -> Flow | None:
    """What reads what, as a copy of ``model`` ran; None where it takes a way that cannot be written down."""
    try:
        return flow(model, network, _weighty(network.groups))
    except NotReplayable:
        return None


def by_groups(network: Network) -> Flow:
    """What is known without running it: who makes the channels of a group, and who reads them. Nothing meets."""
    order = [row.name for row in network.layer_costs()]
    weighty = _weighty(network.groups)
    carried: dict[str, frozenset[str]] = {}
    for group in network.groups:
        for layer in makers(group):
            carried[layer] = carried.get(layer, frozenset()) | {group.key}
    found = _direct(_arrows(network, {layer: n for n, layer in enumerate(order)}))
    return Flow(
        tuple(layer for layer in order if layer in weighty),
        {},
        tuple(Arrow(maker, reader, frozenset({key})) for maker, reader, key in found),
        carried,
    )


def picture(found: Flow, chosen: Group) -> Picture:
    """All of it, or of a large network what the chosen group touches."""
    drawn, arrows = list(found.nodes), list(found.arrows)
    if len(drawn) - len(found.joints) > MOST:
        touched = _weighty((chosen,))
        drawn = [n for n in drawn if n in touched or (n in found.joints and chosen.key in _of(found, n))]
        arrows = _past([each for each in found.nodes if each not in drawn], arrows)
    return Picture(_placed(drawn, arrows, found), tuple(arrows))


def _of(found: Flow, node: str) -> frozenset[str]:
    return found.carried.get(node, frozenset())


def _past(left_out: Sequence[str], arrows: list[Arrow]) -> list[Arrow]:
    """Arrows that lead past the nodes which are left out, from what these read to who reads them."""
    for node in left_out:
        before = [each for each in arrows if each.reader == node]
        behind = [each for each in arrows if each.maker == node]
        past = [Arrow(a.maker, b.reader, frozenset()) for a in before for b in behind if a.maker != b.reader]
        arrows = [each for each in arrows if node not in (each.maker, each.reader)] + past
    known = {(each.maker, each.reader) for each in arrows if each.groups}
    return [each for each in dict.fromkeys(arrows) if each.groups or (each.maker, each.reader) not in known]


def _weighty(groups: Collection[Group]) -> set[str]:
    return {m.layer for g in groups for m in g.members if m.role is not Role.CARRIER}


def _arrows(network: Network, place: Mapping[str, int]) -> list[tuple[str, str, str]]:
    found = []
    for group in network.groups:
        for maker in makers(group):
            later = [r for r in readers(group) if r != maker and place.get(maker, 0) < place.get(r, 0)]
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


def _placed(drawn: list[str], arrows: Sequence[Arrow], found: Flow) -> tuple[Node, ...]:
    row = dict.fromkeys(drawn, 0)
    for node in drawn:
        for each in arrows:
            if each.reader == node:
                row[node] = max(row[node], row[each.maker] + 1)
    lanes: dict[int, int] = {}
    nodes = []
    for node in drawn:
        nodes.append(Node(node, row[node], lanes.get(row[node], 0), found.joints.get(node, ""), _of(found, node)))
        lanes[row[node]] = lanes.get(row[node], 0) + 1
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
