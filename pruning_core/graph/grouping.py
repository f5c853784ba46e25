"""Units that remove the same slices of the same parameters form a group; the rest is blocked, with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pruning_core.graph.labels import Plane, cover
from pruning_core.graph.network import Blocked, Group, Member, Role
from pruning_core.graph.record import Recording
from pruning_core.graph.universe import Units

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
        return dict(zip(self.at, np.split(entries, self.starts[1:])))


NEVER = 1 << 60
# what a parameter's dimension is, by whether its labels were consumed, and produced
ROLES: dict[tuple[bool, bool], tuple[Role, ...]] = {
    (False, False): (Role.CARRIER,),
    (True, False): (Role.CONSUMER,),
    (False, True): (Role.PRODUCER,),
    (True, True): (Role.CONSUMER, Role.PRODUCER),
}


@dataclass(frozen=True)
class _Entries:
    """Every removable entry of every parameter, one row each, sorted by unit."""

    unit: NDArray[np.int64]
    place: NDArray[np.int64]  # number of the (parameter, dim)
    position: NDArray[np.int64]


def find_groups(
    places: Places, units: Units, unit: NDArray[np.int64]
) -> tuple[tuple[Group, ...], dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Groups in the order of execution, the global unit numbers of each, and ``unit`` with the ungrouped at -1.

    ``unit``: one per entry of the places, -1 where it cannot be removed.
    """
    entries = _entries(places, unit)
    found = []
    grouped = np.zeros(units.count + 1, dtype=bool)  # the last one is read by -1
    for rows in _alike(entries, units.inexact.noted):
        ids = np.unique(entries.unit[rows])
        members = _members(entries, rows, len(ids), places) if len(ids) > 1 else []
        # rows of the leading producer give the units their natural order
        lead = next((m for m in members if m[1].role is Role.PRODUCER), None)
        if lead is None:
            continue  # one unit cannot lose anything; without a producer there is nothing to decide
        order = np.argsort(lead[1].index[:, 0], kind="stable")
        in_order = (order[1:] > order[:-1]).all()
        ordered = [m if in_order else Member(m.parameter, m.dim, m.role, m.index[order]) for _, m in members]
        note = units.inexact.of(int(ids[0]))
        found.append((int(places.used[lead[0]]), lead[1], ids[order], ordered, note))
        grouped[ids] = True
    found.sort(key=lambda f: (f[0], int(f[1].index.min())))
    groups, unit_ids = [], {}
    for _, first, ids, ordered, note in found:
        base = first.layer or first.parameter
        key, n = base, 1
        while key in unit_ids:
            n += 1
            key = f"{base}#{n}"
        reason = f"{note.operator}: {note.reason}" if note else ""
        groups.append(Group(key, len(ids), tuple(ordered), note is None, reason))
        unit_ids[key] = ids
    return tuple(groups), unit_ids, np.where(grouped[unit], unit, -1)


def _entries(places: Places, unit: NDArray[np.int64]) -> _Entries:
    place = np.repeat(np.arange(len(places.at)), places.sizes)
    position = np.arange(len(unit)) - np.repeat(places.starts, places.sizes)
    free = np.flatnonzero(unit >= 0)
    order = free[np.argsort(unit[free], kind="stable")]  # places and positions are in order already
    return _Entries(unit[order], place[order], position[order])


def _alike(entries: _Entries, inexact: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Rows of the entries, split into sets of units with the same signature.

    The signature is a random 64-bit sum over (parameter, dim), so equal signatures mean equal multisets of places.
    """
    if not len(entries.unit):
        return []
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 1 << 62, size=int(entries.place.max()) + 1, dtype=np.uint64)
    starts = np.flatnonzero(np.diff(entries.unit, prepend=-1))  # of each unit's rows
    signature = np.add.reduceat(weight[entries.place], starts)
    signature += inexact[entries.unit[starts]].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    _, kind_of_unit = np.unique(signature, return_inverse=True)
    kind = np.repeat(kind_of_unit, np.diff(starts, append=len(entries.unit)))
    order = np.argsort(kind, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(kind[order])) + 1)


def _members(entries: _Entries, rows: NDArray[np.int64], size: int, places: Places) -> list[tuple[int, Member]]:
    """One member per place; a place that both makes and reads its units makes them only where nothing else does."""
    order = rows[np.argsort(entries.place[rows], kind="stable")]  # by place, then unit, then position
    place, position = entries.place[order], entries.position[order]
    starts = np.flatnonzero(np.diff(place, prepend=-1)).tolist()
    own = [(p, position[a:b]) for p, a, b in zip(place[starts].tolist(), starts, [*starts[1:], len(place)])]
    made_elsewhere = any(places.roles[p] == (Role.PRODUCER,) for p, _ in own)
    return [
        (p, Member(places.at[p][0], places.at[p][1], role, at.reshape(size, -1)))
        for p, at in own
        for role in (places.roles[p][:1] if made_elsewhere else places.roles[p])
    ]


def find_blocked(places: Places, units: Units, unit: NDArray[np.int64], unused: set[str]) -> tuple[Blocked, ...]:
    """Producing or consuming dimensions with entries that cannot be removed."""
    stuck = unit < 0
    blocked = []
    for (name, dim), roles, start, size in zip(places.at, places.roles, places.starts.tolist(), places.sizes.tolist()):
        here = np.flatnonzero(stuck[start : start + size])
        if not len(here) or roles == (Role.CARRIER,):
            continue
        note = units.pins.of(int(units.of[places.labels[start + here[0]]]))
        operator = note.operator if note else ""
        reason = note.reason if note else "all of it lives or dies together, so nothing can be removed"
        if name in unused:
            operator, reason = "", "the network does not use it"
        blocked.append(Blocked(name, dim, len(here), operator, reason))
    return tuple(blocked)
