"""What a plan may cost, and the least removal that keeps to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pruning_core.allocation.base import Allocation, Dial
from pruning_core.allocation.pool import Counts, Pool
from pruning_core.errors import UserError
from pruning_core.graph import Cost, Plan

Kind = Literal["macs", "parameters", "bytes", "latency", "compiled"]
UNITS: dict[str, str] = {
    "macs": "MACs", "parameters": "parameters", "bytes": "bytes", "latency": "ms", "compiled": "ms compiled",
}  # fmt: skip
TIMED: tuple[Kind, ...] = ("latency", "compiled")  # measured, as PyTorch runs it and after torch.compile
NAMES: dict[str, str] = {
    "macs": "MACs", "parameters": "parameters", "bytes": "bytes", "latency": "latency", "compiled": "compiled latency",
}  # fmt: skip
STEPS = 64  # halvings of the strength: down to neighbouring floating-point numbers


@dataclass(frozen=True)
class Budget:
    """At most ``fraction`` of what the unpruned network costs, or ``amount`` (MACs of one input, bytes, ms …).

    ``bytes`` are those of parameters and buffers as they are stored. Exactly one of the two is given. Raises UserError
    for anything else, and for a fraction outside (0, 1].
    """

    kind: Kind = "macs"
    fraction: float | None = None
    amount: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UserError(f"A budget counts {', '.join(get_args(Kind))}; {self.kind!r} is none of them.")
        if (self.fraction is None) == (self.amount is None):
            raise UserError("Give the budget either as a fraction of the unpruned network or as an amount.")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise UserError(f"A budget is a fraction in (0, 1] of the unpruned network, not {self.fraction:g}.")
        if self.amount is not None and not self.amount > 0:
            raise UserError(f"A budget must be above 0, not {self.amount:g}.")

    def limit(self, full: float) -> float:
        """The amount allowed when the unpruned network costs ``full``."""
        if self.amount is not None:
            return self.amount
        assert self.fraction is not None
        return self.fraction * full

    @property
    def text(self) -> str:
        """In a few words: "50 % of the MACs"."""
        if self.amount is not None:
            return f"{self.amount:,g} {UNITS[self.kind]}"
        assert self.fraction is not None
        return f"{100 * self.fraction:.0f} % of the {NAMES[self.kind]}"

    @property
    def timed(self) -> bool:
        """Whether plans must be built and timed to keep to it; all others have a closed form."""
        return self.kind in TIMED

    def counts(self, macs: float, parameters: float) -> float:
        """Whichever of the two it is in. Raises UserError for one of another kind."""
        if self.kind not in ("macs", "parameters"):
            raise UserError("A method keeps to a budget in MACs or parameters. Choose one of them.")
        return macs if self.kind == "macs" else parameters

    def allowed(self, whole: Cost) -> float:
        """The amount allowed when the unpruned network costs ``whole``."""
        return self.limit(self.counts(whole.macs, whole.parameters))


def told(budgets: Sequence[Budget]) -> str:
    """All of them in a few words."""
    return " and ".join(each.text for each in budgets) or "no budget"


@dataclass(frozen=True)
class Reach:
    """What an allocation can make of a network: from ``low`` to ``high``, the unpruned network's own figure."""

    kind: Kind
    low: float
    high: float

    @property
    def text(self) -> str:
        unit = UNITS[self.kind]
        low, high = (f"{v:.2f}" if self.kind in TIMED else f"{int(v):,}" for v in (self.low, self.high))
        return f"between {low} and {high} {unit} ({100 * self.low / self.high:.1f} % to 100 % of the unpruned network)"

    def check(self, budget: Budget) -> float:
        """The amount allowed. Raises UserError when not even the most removal keeps to it."""
        limit = budget.limit(self.high)
        if limit < self.low:
            asked = f"{limit:.2f}" if self.kind in TIMED else f"{limit:,.0f}"
            raise UserError(
                f"A budget of {asked} {UNITS[self.kind]} cannot be reached: within the limits this network can "
                f"have {self.text}. Choose a budget in that range, or loosen the limits."
            )
        return limit


@dataclass(frozen=True)
class Kept:
    """How a plan stands to one budget: ``found`` of the ``limit`` allowed, in the budget's unit."""

    budget: Budget
    limit: float
    found: float

    @property
    def met(self) -> bool:
        return self.found <= self.limit

    @property
    def spare(self) -> float:
        """The share of the limit that is left, negative where it is exceeded."""
        return 1 - self.found / self.limit


@dataclass(frozen=True)
class Allocated:
    """A plan, what it costs, the ``strength`` of the allocation behind it, and what a person should know about it.

    ``kept``: how it stands to the budgets that were timed for it.
    """

    plan: Plan
    cost: Cost
    strength: float
    notes: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()

    def counts(self) -> Mapping[str, int]:
        return {key: len(units) for key, units in self.plan.items()}


def kept(budgets: Sequence[Budget], whole: Cost, cost: Cost) -> tuple[Kept, ...]:
    """Of a plan that costs ``cost``, for those that have a closed form."""
    counted = [each for each in budgets if not each.timed]
    return tuple(Kept(b, b.limit(figure(whole, b.kind)), figure(cost, b.kind)) for b in counted)


def figure(cost: Cost, kind: Kind) -> float:
    """What a budget of this kind counts. Raises ValueError for a latency, which has no closed form."""
    match kind:
        case "macs":
            return cost.macs
        case "parameters":
            return cost.parameters
        case "bytes":
            return cost.size_bytes
        case _:
            raise ValueError("a latency is measured, not derived: use fitting")


def gauge(pool: Pool, kind: Kind) -> Callable[[Counts], float]:
    """The closed-form cost of counts. Raises ValueError for a latency."""
    return lambda counts: figure(pool.cost(counts), kind)


def load(found: float, limit: float) -> float:
    """``found`` in shares of ``limit``; above 1 exactly when it exceeds it, whatever rounding does to the quotient."""
    return found / limit if found <= limit else max(found / limit, math.nextafter(1.0, 2.0))


def reachable(allocation: Allocation, pool: Pool, kind: Kind = "macs") -> Reach:
    """The range of budgets that ``allocation`` can keep to; exact for MACs and parameters."""
    dial = allocation.dial(pool)
    return reach_of(dial, pool, kind)


def reach_of(dial: Dial, pool: Pool, kind: Kind) -> Reach:
    cost = gauge(pool, kind)
    return Reach(kind, cost(pool.settled(dial.at(dial.high))), cost({}))


def allocate(allocation: Allocation, pool: Pool, *budgets: Budget) -> Allocated:
    """The plan of ``allocation`` as its knobs say, or the least removal that keeps to every one of ``budgets``.

    The cost of the plan never exceeds any of them: widths are rounded before they are counted. Raises UserError for a
    budget out of reach, with the range that is in reach, and ValueError for one that must be timed.
    """
    dial = allocation.dial(pool)
    if not budgets:
        strength = float(getattr(allocation, allocation.strength))
        wanted = dial.at(strength)
        return _allocated(pool, pool.settled(wanted), strength, _said(pool, wanted))
    counts, strength = keeping(dial, pool, limits_of(dial, pool, budgets))
    return _allocated(pool, counts, strength, ())


def limits_of(dial: Dial, pool: Pool, budgets: Sequence[Budget]) -> dict[Kind, float]:
    """The tightest amount per kind. Raises UserError for a budget out of reach, ValueError for one to be timed."""
    limits: dict[Kind, float] = {}
    for each in budgets:
        limit = reach_of(dial, pool, each.kind).check(each)
        limits[each.kind] = min(limit, limits.get(each.kind, limit))
    return limits


def keeping(dial: Dial, pool: Pool, limits: Mapping[Kind, float]) -> tuple[Counts, float]:
    """The least removal that keeps to every limit, each of which the most removal keeps to; and its strength.

    Every cost only falls with the strength, so the heaviest of their loads does too.
    """
    if not limits:
        return pool.settled(dial.at(dial.low)), dial.low

    def heaviest(counts: Counts) -> float:
        cost = pool.cost(counts)
        return max(load(figure(cost, kind), limit) for kind, limit in limits.items())

    return least(dial, pool, heaviest, 1.0)


def least(dial: Dial, pool: Pool, cost: Callable[[Counts], float], limit: float) -> tuple[Counts, float]:
    """The counts of the smallest strength whose cost is at most ``limit``, and that strength.

    Bisection with the invariant cost(high) <= limit < cost(low). Where many groups lose a channel at the same strength,
    those are given back that still fit, so that the budget is used up.
    """
    low, high = dial.low, dial.high
    fewer, counts = pool.settled(dial.at(low)), pool.settled(dial.at(high))
    seen: dict[tuple[tuple[str, int], ...], float] = {}

    def measured(counts: Counts) -> float:
        key = tuple(counts.items())
        if key not in seen:
            seen[key] = cost(counts)
        return seen[key]

    if measured(fewer) <= limit:
        return fewer, low
    for _ in range(STEPS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        tried = pool.settled(dial.at(middle))
        if measured(tried) <= limit:
            high, counts = middle, tried
        else:
            low, fewer = middle, tried
    return _given_back(counts, fewer, measured, limit), high


def _given_back(counts: Counts, fewer: Counts, cost: Callable[[Counts], float], limit: float) -> Counts:
    """``counts`` with single groups reset to ``fewer``, the costliest first, as long as the budget holds.

    The order is fixed by ``counts`` and ``fewer`` alone, so a larger budget never gives a cheaper plan.
    """
    differing = [key for key, count in counts.items() if fewer.get(key, 0) != count]
    if len(differing) < 2:
        return counts
    base = cost(counts)

    def reset(at: Counts, key: str) -> Counts:
        return {k: n for k, n in ({**at, key: fewer.get(key, 0)}).items() if n > 0}

    gain = {key: cost(reset(counts, key)) - base for key in differing}
    for key in sorted(differing, key=lambda k: -gain[k]):
        tried = reset(counts, key)
        if cost(tried) <= limit:
            counts = tried
    return counts


def _allocated(pool: Pool, counts: Counts, strength: float, said: tuple[str, ...]) -> Allocated:
    plan = pool.plan(counts)
    return Allocated(plan, pool.network.cost(plan), strength, (*pool.notes, *said))


def _said(pool: Pool, wanted: Counts) -> tuple[str, ...]:
    """What limits and rounding made of the counts that were wanted."""
    notes, capped, rounded = [], [], {}
    for key in (key for key in wanted if key in pool.most):
        count = pool.limits.rounded(pool.size[key], wanted[key])
        if count > pool.most[key]:
            capped.append(key)
        elif count < wanted[key]:
            rounded[key] = wanted[key] - count
    if rounded:
        notes.append(
            f"Rounding up to multiples of {pool.limits.multiple} keeps {sum(rounded.values())} channels "
            f"more than asked, in {_layers(len(rounded))}."
        )
    if capped:
        names = ", ".join(capped[:3]) + (" …" if len(capped) > 3 else "")
        notes.append(f"The highest ratio holds back {_layers(len(capped))}: {names}.")
    return tuple(notes)


def _layers(number: int) -> str:
    return "1 group" if number == 1 else f"{number} groups"
