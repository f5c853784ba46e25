"""Units that remove the same slices of the same parameters form a group; the rest is blocked, with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pruning_core.graph.capturing.record import Recording
from pruning_core.graph.labelling.labels import Plane, cover
from pruning_core.graph.labelling.rules.call import BY_DATA, NO_RULE
from pruning_core.graph.labelling.universe import Units
from pruning_core.graph.network import Blocked, Group, Member, Role

Place = tuple[str, int]  # parameter or buffer, dimension


@dataclass(frozen=True)
class Places:
    """Every labelled dimension of every parameter and buffer, one after the other, in the order of first use."""

    at: tuple[Place, ...]
    used: NDArray[np.int64]  # position of the first use of each
    starts: NDArray[np.int64]
    labels: Plane
    roles: tuple[tuple[Role, ...], ...]

    @staticmethod
    def of(recording: Recording) -> Places:
        found = [
            (recording.used.get(name, NEVER), name, dim, plane.reshape(-1))
            for name, labelled in recording.parameters.items()
            for plane in labelled.planes
            for dim in cover(plane)
        ]
        found.sort(key=lambda f: f[:3])
        starts = np.cumsum([0, *(len(f[3]) for f in found[:-1])], dtype=np.int64)[: len(found)]
        labels = np.concatenate([f[3] for f in found]) if found else np.empty(0, np.int64)
        roles: list[tuple[Role, ...]] = []
        if found:
            consumed, produced = (np.logical_or.reduceat(flags[labels], starts) for flags in recording.role_flags)
            roles = [ROLES[c, p] for c, p in zip(consumed.tolist(), produced.tolist())]
        return Places(
            tuple((f[1], f[2]) for f in found), np.array([f[0] for f in found], np.int64), starts, labels, tuple(roles)
        )

    def units(self, unit_of_label: NDArray[np.int64], unused: set[str]) -> NDArray[np.int64]:
        """Unit of every entry; -1 in tensors that the network does not use."""
        idle = np.array([name in unused for name, _ in self.at], dtype=bool)
        return np.where(np.repeat(idle, self.sizes), -1, unit_of_label[self.labels])

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.starts, append=len(self.labels))

    def by_place(self, entries: NDArray[np.int64]) -> dict[Place, NDArray[np.int64]]:
        """One value per entry, taken apart."""
        starts = self.starts.tolist()
        return {at: entries[a:b] for at, a, b in zip(self.at, starts, [*starts[1:], len(entries)])}


NEVER = 1 << 60
# what a parameter's dimension is, by whether its labels were consumed, and produced
ROLES: dict[tuple[bool, bool], tuple[Role, ...]] = {
    (False, False): (Role.CARRIER,),
    (True, False): (Role.CONSUMER,),
    (False, True): (Role.PRODUCER,),
    (True, True): (Role.CONSUMER, Role.PRODUCER),
}


def find_groups(
    places: Places, units: Units, unit: NDArray[np.int64]
) -> tuple[tuple[Group, ...], dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Groups in the order of execution, the global unit numbers of each, and ``unit`` with the ungrouped at -1.

    ``unit``: one per entry of the places, -1 where it cannot be removed.
    """
    found = []
    grouped = np.zeros(units.count + 1, dtype=bool)  # the last one is read by -1
    for ids, own in _alike(places, unit, units.inexact.noted):
        if len(ids) < 2:
            continue  # one unit cannot lose anything
        members = _members(own, len(ids), places)
        # rows of the leading producer give the units their natural order
        lead = next((m for m in members if m[1].role is Role.PRODUCER), None)
        if lead is None:
            continue  # without a producer there is nothing to decide
        first = lead[1].index[:, 0]
        ordered = [member for _, member in members]
        if (first[1:] < first[:-1]).any():
            order = np.argsort(first, kind="stable")
            turned = {id(m.index): m.index[order] for m in ordered}
            ids, ordered = ids[order], [Member(m.parameter, m.dim, m.role, turned[id(m.index)]) for m in ordered]
        note = units.inexact.of(int(ids[0]))
        found.append((int(places.used[lead[0]]), int(first.min()), lead[1], ids, ordered, note))
        grouped[ids] = True
    found.sort(key=lambda f: f[:2])
    groups, unit_ids = [], {}
    for _, _, leading, ids, ordered, note in found:
        base = leading.layer or leading.parameter
        key, n = base, 1
        while key in unit_ids:
            n += 1
            key = f"{base}#{n}"
        reason = f"{note.operator}: {note.reason}" if note else ""
        makers = {member.layer for member in ordered if member.role is Role.PRODUCER}
        coupled = len(makers) > 1 and bool(units.coupled[ids].any())
        groups.append(Group(key, len(ids), tuple(ordered), note is None, reason, coupled))
        unit_ids[key] = ids
    return tuple(groups), unit_ids, np.where(grouped[unit], unit, -1)


_Own = list[tuple[int, NDArray[np.int64]]]  # number of a place, positions there by unit


def _alike(
    places: Places, unit: NDArray[np.int64], inexact: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], _Own]]:
    """Sets of units with the same signature: their numbers, and what they own at every place.

    The signature is a random 64-bit sum over (parameter, dim), so equal signatures mean equal multisets of places.
    Places with the same units at the same positions (a norm's four tensors) are looked at once.
    """
    same: dict[bytes, list[int]] = {}
    for number, units in enumerate(places.by_place(unit).values()):
        if (units >= 0).any():
            same.setdefault(units.tobytes(), []).append(number)
    if not same:
        return
    shared = list(same.values())
    vectors = [np.frombuffer(key, dtype=unit.dtype) for key in same]
    sizes = [len(v) for v in vectors]
    entries = np.concatenate(vectors)
    free = np.flatnonzero(entries >= 0)
    by_unit = free[_order(entries[free])]  # within a unit: by place, then position
    place = np.repeat(np.arange(len(shared)), sizes)[by_unit]
    owner = entries[by_unit]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))  # of each unit's rows
    ids = owner[starts]
    weight = np.random.default_rng(0).integers(1, 1 << 62, size=len(places.at), dtype=np.uint64)
    signature = np.add.reduceat(np.array([weight[numbers].sum() for numbers in shared])[place], starts)
    signature += inexact[ids].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    _, kind_of_unit = np.unique(signature, return_inverse=True)
    kind = np.repeat(kind_of_unit, np.diff(starts, append=len(owner)))
    cell = kind * len(shared) + place
    order = _order(cell)  # by kind, then place; within, by unit, then position
    cell, position = cell[order], (by_unit - np.cumsum([0, *sizes[:-1]])[place])[order]
    cuts = np.flatnonzero(np.diff(cell, prepend=-1)).tolist()
    kinds, numbers = (values.tolist() for values in np.divmod(cell[cuts], len(shared)))
    own: list[_Own] = [[] for _ in range(kinds[-1] + 1)]
    for k, number, a, b in zip(kinds, numbers, cuts, [*cuts[1:], len(cell)]):
        at = position[a:b]
        own[k] += [(each, at) for each in shared[number]]
    sorted_ids = ids[np.argsort(kind_of_unit, kind="stable")]
    yield from zip(np.split(sorted_ids, np.cumsum(np.bincount(kind_of_unit))[:-1]), own)


def _order(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the smallest are, equal ones in their order. Narrow numbers are sorted by digits: many times faster."""
    return np.argsort(values.astype(np.uint16) if values.max() < 1 << 16 else values, kind="stable")


def _members(own: _Own, size: int, places: Places) -> list[tuple[int, Member]]:
    """One member per place; a place that both makes and reads its units makes them only where nothing else does."""
    own = sorted(own, key=lambda o: o[0])
    made_elsewhere = any(places.roles[p] == (Role.PRODUCER,) for p, _ in own)
    index = {id(at): at.reshape(size, -1) for _, at in own}  # once for all places that share it
    return [
        (p, Member(places.at[p][0], places.at[p][1], role, index[id(at)]))
        for p, at in own
        for role in (places.roles[p][:1] if made_elsewhere else places.roles[p])
    ]


def find_blocked(places: Places, units: Units, unit: NDArray[np.int64], unused: set[str]) -> tuple[Blocked, ...]:
    """Producing or consuming dimensions with entries that cannot be removed; of weights that the data choose from, or
    that met an operator without a rule, before they produced or consumed anything, the first two."""
    stuck = unit < 0
    weights = {name for name, count in Counter(name for name, _ in places.at).items() if count > 1}
    entries = np.add.reduceat(stuck, places.starts, dtype=np.int64) if places.at else np.empty(0, np.int64)
    blocked = []
    for (name, dim), roles, start, count in zip(places.at, places.roles, places.starts.tolist(), entries.tolist()):
        if not count or (roles == (Role.CARRIER,) and name not in weights):
            continue
        note = units.pins.of(int(units.of[places.labels[start + int(stuck[start:].argmax())]]))
        if roles == (Role.CARRIER,) and (dim > 1 or note is None or note.reason not in (BY_DATA, NO_RULE)):
            continue
        operator = note.operator if note else ""
        reason = note.reason if note else "all of it lives or dies together, so nothing can be removed"
        if name in unused:
            operator = ""
            reason = "the network does not use it"
        blocked.append(Blocked(name, dim, count, operator, reason))
    return tuple(blocked)
