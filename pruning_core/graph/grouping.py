"""Units that remove the same slices of the same parameters form a group; the rest is blocked, with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pruning_core.graph.labels import Plane, cover
from pruning_core.graph.network import Blocked, Group, Member, Role
from pruning_core.graph.record import Recording
from pruning_core.graph.universe import Units

UnitOf = dict[tuple[str, int], NDArray[np.int64]]


@dataclass(frozen=True)
class _Entries:
    """Every removable entry of every parameter, one row each, sorted by unit."""

    unit: NDArray[np.int64]
    place: NDArray[np.int64]  # number of the (parameter, dim)
    position: NDArray[np.int64]


def find_groups(
    recording: Recording, units: Units, unit_of: UnitOf
) -> tuple[tuple[Group, ...], dict[str, NDArray[np.int64]], UnitOf]:
    """Groups in the order of execution, the global unit numbers of each, and ``unit_of`` with the ungrouped at -1."""
    places = list(unit_of)
    roles = [_roles(recording, place) for place in places]
    entries = _entries(places, unit_of)
    found = []
    grouped = np.zeros(units.count, dtype=bool)
    for rows in _alike(entries, units.inexact.noted):
        ids = np.unique(entries.unit[rows])
        if len(ids) < 2 or not any(Role.PRODUCER in roles[p] for p in np.unique(entries.place[rows])):
            continue  # one unit cannot lose anything; without a producer there is nothing to decide
        members = _members(entries, rows, len(ids), places, roles)
        # rows of the leading producer give the units their natural order
        lead = min(
            (m for m in members if m.role is Role.PRODUCER), key=lambda m: recording.used.get(m.parameter, 1 << 60)
        )
        order = np.argsort(lead.index[:, 0], kind="stable")
        members = sorted(
            (Member(m.parameter, m.dim, m.role, m.index[order]) for m in members),
            key=lambda m: (recording.used.get(m.parameter, 1 << 60), m.parameter, m.dim),
        )
        note = units.inexact.of(int(ids[0]))
        found.append((recording.used.get(lead.parameter, 1 << 60), lead, ids[order], members, note))
        grouped[ids] = True
    found.sort(key=lambda f: (f[0], int(f[1].index.min())))
    groups, unit_ids = [], {}
    for _, lead, ids, members, note in found:
        base = lead.layer or lead.parameter
        key, n = base, 1
        while key in unit_ids:
            n += 1
            key = f"{base}#{n}"
        reason = f"{note.operator}: {note.reason}" if note else ""
        groups.append(Group(key, len(ids), tuple(members), note is None, reason))
        unit_ids[key] = ids
    settled = {at: np.where((u >= 0) & grouped[np.maximum(u, 0)], u, -1) for at, u in unit_of.items()}
    return tuple(groups), unit_ids, settled


def _entries(places: list[tuple[str, int]], unit_of: UnitOf) -> _Entries:
    if not places:
        return _Entries(*(np.empty(0, np.int64) for _ in range(3)))
    unit = np.concatenate([unit_of[at] for at in places])
    place = np.repeat(np.arange(len(places)), [len(unit_of[at]) for at in places])
    position = np.concatenate([np.arange(len(unit_of[at])) for at in places])
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


def _members(
    entries: _Entries, rows: NDArray[np.int64], size: int, places: list[tuple[str, int]], roles: list[tuple[Role, ...]]
) -> list[Member]:
    """One member per place; a place that both makes and reads its units makes them only where nothing else does."""
    order = rows[np.argsort(entries.place[rows], kind="stable")]  # by place, then unit, then position
    present, starts = np.unique(entries.place[order], return_index=True)
    own = dict(zip(present.tolist(), np.split(order, starts[1:])))
    made_elsewhere = any(roles[p] == (Role.PRODUCER,) for p in own)
    return [
        Member(places[p][0], places[p][1], role, entries.position[at].reshape(size, -1))
        for p, at in own.items()
        for role in (roles[p][:1] if made_elsewhere else roles[p])
    ]


def _roles(recording: Recording, place: tuple[str, int]) -> tuple[Role, ...]:
    """A parameter's dimension is a consumer where it was summed, a producer where it became channels."""
    consumed, produced = recording.role_flags
    labels = _labels(recording, place)
    found = [role for role, flags in ((Role.CONSUMER, consumed), (Role.PRODUCER, produced)) if flags[labels].any()]
    return tuple(found) or (Role.CARRIER,)


def _labels(recording: Recording, place: tuple[str, int]) -> Plane:
    return next(p for p in recording.parameters[place[0]].planes if cover(p) == {place[1]}).reshape(-1)


def find_blocked(recording: Recording, units: Units, unit_of: UnitOf, unused: set[str]) -> tuple[Blocked, ...]:
    """Producing or consuming dimensions with entries that cannot be removed."""
    blocked = []
    for (name, dim), entries in unit_of.items():
        stuck = entries < 0
        if not stuck.any() or _roles(recording, (name, dim)) == (Role.CARRIER,):
            continue
        first = _labels(recording, (name, dim))[np.flatnonzero(stuck)[0]]
        note = units.pins.of(int(units.of[first]))
        operator = note.operator if note else ""
        reason = note.reason if note else "all of it lives or dies together, so nothing can be removed"
        if name in unused:
            operator, reason = "", "the network does not use it"
        blocked.append(Blocked(name, dim, int(stuck.sum()), operator, reason))
    return tuple(blocked)
