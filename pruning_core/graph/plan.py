"""Which units to remove: the one thing a person decides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from operator import index

from pruning_core.errors import UserError


class Plan(Mapping[str, tuple[int, ...]]):
    """Immutable map from group key to the sorted indices of the units removed; absent groups keep everything."""

    __slots__ = ("_drop", "repeated")

    def __init__(self, drop: Mapping[str, Iterable[int]] | None = None) -> None:
        """Raises TypeError when a unit is no whole number."""
        cleaned = {key: tuple(sorted(map(index, units))) for key, units in (drop or {}).items()}
        self._drop: dict[str, tuple[int, ...]] = {key: cleaned[key] for key in sorted(cleaned) if cleaned[key]}
        # groups with a unit named twice: said when the plan meets a network
        self.repeated = frozenset(key for key, units in self._drop.items() if len(set(units)) < len(units))

    def __getitem__(self, key: str) -> tuple[int, ...]:
        return self._drop[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._drop)

    def __len__(self) -> int:
        return len(self._drop)

    def __hash__(self) -> int:
        return hash(tuple(self._drop.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self._drop == other._drop

    def __repr__(self) -> str:
        return f"Plan({self._drop!r})"

    def with_group(self, key: str, units: Iterable[int]) -> Plan:
        """A new plan in which ``key`` loses exactly ``units``."""
        return Plan({**self._drop, key: tuple(units)})

    def then(self, later: Plan, sizes: Mapping[str, int]) -> Plan:
        """Both as one plan for the first network; ``later`` counts the units that this one has left.

        ``sizes``: units per group of the first network. Raises KeyError or IndexError when ``later`` names what the
        first network does not have.
        """
        drop = {key: list(units) for key, units in self._drop.items()}
        for key, units in later.items():
            gone = set(self.get(key, ()))
            left = [unit for unit in range(sizes[key]) if unit not in gone]
            drop[key] = [*drop.get(key, []), *(left[unit] for unit in units)]
        return Plan(drop)

    def since(self, earlier: Plan, sizes: Mapping[str, int]) -> Plan:
        """What this plan removes beyond ``earlier``, in units that are left then: ``earlier`` then it is this plan.

        ``sizes``: units per group of the first network. Raises ValueError when ``earlier`` removes more than this one.
        """
        drop = {}
        for key, units in self._drop.items():
            gone, wanted = set(earlier.get(key, ())), set(units)
            left = [unit for unit in range(sizes[key]) if unit not in gone]
            drop[key] = [place for place, unit in enumerate(left) if unit in wanted]
        found = Plan(drop)
        if earlier.then(found, sizes) != self:
            raise ValueError("the earlier plan removes units that this one keeps")
        return found

    def to_json(self) -> str:
        return json.dumps(self._drop, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Plan:
        """Raises UserError when the text is not a plan."""
        try:
            data = json.loads(text)
            return Plan({str(key): list(units) for key, units in data.items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(
                "This is not a pruning plan: expected a JSON object that maps group names to lists of unit numbers."
            ) from error
