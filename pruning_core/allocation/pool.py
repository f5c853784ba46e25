"""The channels that may be removed: a network's groups in the order of one criterion, within limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.allocation.limits import Limits
from pruning_core.allocation.lowest import ascending
from pruning_core.errors import UserError
from pruning_core.graph import Cost, Group, Network, Plan

Counts = dict[str, int]
"""Channels removed per group key."""


@dataclass(frozen=True, eq=False)
class Pool:
    """``values``: (C,) float64 per group that may lose channels, higher = keep; ``order``: its channels, least first.

    ``fair`` is what makes the values of different groups comparable, by the criterion's own account
    (``criteria.Fairness``); ``notes`` says which groups were left out, and why. Make one with :meth:`of`.
    """

    network: Network
    limits: Limits
    values: Mapping[str, NDArray[np.float64]]
    order: Mapping[str, NDArray[np.int64]]
    notes: tuple[str, ...] = ()
    fair: str = "mean"

    @staticmethod
    def of(network: Network, scores: Mapping[str, Tensor], limits: Limits | None = None, fair: str = "mean") -> Pool:
        """``scores`` maps group keys to (C,); groups without scores keep all their channels.

        Raises UserError for limits that name unknown groups, scores that do not fit or are not finite, and when no
        group is left to prune.
        """
        limits = limits or Limits()
        for key in (*limits.protected, *(key for key, _ in limits.caps), *scores):
            network.group(key)
        network = limits.shortcuts.narrowed(network)
        left = [g for g in network.groups if g.key not in limits.protected and g.key not in network.whole]
        inexact = [g for g in left if not g.exact and not limits.approximate]
        unscored = [g for g in left if g not in inexact and g.key not in scores]
        open_ = [g for g in left if g not in inexact and g not in unscored]
        stuck = [g for g in open_ if limits.most(g.key, g.size) == 0]
        protected = [key for key in limits.protected if key not in network.whole]
        notes = _notes(len(protected), len(network.whole), inexact, unscored, stuck, limits)
        free = [g for g in open_ if g not in stuck]
        if not free:
            raise UserError(
                "No layer of this network may lose a channel"
                + (f": {' '.join(notes)}" if notes else ".")
                + " Loosen the limits, or choose another network."
            )
        for group in free:
            _check(group, scores[group.key])
        return Pool(
            network,
            limits,
            {g.key: scores[g.key].detach().cpu().double().numpy() for g in free},
            {g.key: ascending(scores[g.key]) for g in free},
            notes,
            fair,
        )

    @cached_property
    def size(self) -> dict[str, int]:
        """Channels of each group, in the order of execution."""
        return {key: len(order) for key, order in self.order.items()}

    @cached_property
    def most(self) -> Counts:
        """The largest count that each group may lose."""
        return {key: self.limits.most(key, size) for key, size in self.size.items()}

    @cached_property
    def macs_per_channel(self) -> dict[str, float]:
        """MACs saved by removing one channel of a group from the whole network."""
        full = self.network.cost().macs
        return {key: float(full - self.network.cost(Plan({key: (0,)})).macs) for key in self.size}

    def settled(self, wanted: Mapping[str, int]) -> Counts:
        """What of ``wanted`` the limits allow, rounded; groups outside the pool and zeros are left out."""
        counts = {}
        for key, most in self.most.items():
            count = self.limits.rounded(self.size[key], min(wanted.get(key, 0), most))
            if count > 0:
                counts[key] = count
        return counts

    def plan(self, counts: Mapping[str, int]) -> Plan:
        """The plan that removes the ``counts`` least important channels."""
        return Plan({key: self.order[key][:count].tolist() for key, count in counts.items()})

    def cost(self, counts: Mapping[str, int]) -> Cost:
        """Exact cost of :meth:`plan`."""
        return self.network.cost(self.plan(counts))


def _check(group: Group, scores: Tensor) -> None:
    if scores.shape != (group.size,):
        raise UserError(
            f"{group.key} has {group.size} channels, but its scores have the shape {tuple(scores.shape)}. "
            "Score this network again."
        )
    if not bool(scores.isfinite().all()):
        raise UserError(
            f"The scores of {group.key} are not all finite numbers. Choose another criterion, or protect the layer."
        )


def _notes(
    protected: int,
    coupled: int,
    inexact: Iterable[Group],
    unscored: Iterable[Group],
    stuck: Iterable[Group],
    limits: Limits,
) -> tuple[str, ...]:
    notes = [f"{_count(protected)} protected."] if protected else []
    if coupled:
        notes.append(f"{_count(coupled)} left whole, because an addition couples {'it' if coupled == 1 else 'them'}.")
    for groups, reason in ((inexact, "only be cut approximately"), (unscored, "not be judged by this criterion")):
        if number := len(list(groups)):
            notes.append(f"{_count(number)} left whole, because {'it' if number == 1 else 'they'} can {reason}.")
    if number := len(list(stuck)):
        notes.append(
            f"{_count(number)} left whole, because the limits (multiples of {limits.multiple}, "
            f"keep {limits.floor:.0%}, highest ratios) leave nothing to remove."
        )
    return tuple(notes)


def _count(number: int) -> str:
    return "1 group is" if number == 1 else f"{number} groups are"
