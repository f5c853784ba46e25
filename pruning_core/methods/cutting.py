"""Cutting, as a phase of a program: judging the channels, choosing how many go, removing them."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable

from torch import Tensor

from pruning_core.allocation.budget import Budget, allocate
from pruning_core.allocation.lowest import lowest
from pruning_core.allocation.pool import Pool
from pruning_core.criteria import Criterion
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.methods.phases import Cut, Learnt, Phase, Widths, Within, Zeros
from pruning_core.methods.ranking import SCORED_ON, ranked
from pruning_core.methods.state import Setup, State, needed
from pruning_core.methods.treatments import removing
from pruning_core.runs.events import Event, Stage
from pruning_core.work import told

RECONSTRUCTION_IMAGES = 128


def staged_as(phase: Phase, what: str) -> str:
    """A stage's words for a person."""
    return f"{phase.name}: {what}" if phase.name else what


def cutting(phase: Cut, state: State, setup: Setup) -> Generator[Event, None, State]:
    if isinstance(phase.to, Widths):
        state.check_followed(_to_go(phase.to, state))
    ranks = yield from ranks_of(phase.by, state, setup)
    plan = _chosen(phase, state, ranks)
    stage = Stage(staged_as(phase, "removing channels"))
    yield stage
    if not plan:
        return state
    mend = None if isinstance(phase.by, Learnt) else phase.by
    proof = setup.proof
    work = removing(state.model, state.network, plan, mend, setup.fit or proof, proof, RECONSTRUCTION_IMAGES)
    removal = yield from told(work, lambda _: (stage,))
    return state.without(plan, removal.model, removal)


def ranks_of(by: Criterion | Learnt, state: State, setup: Setup) -> Generator[Event, None, dict[str, Tensor]]:
    """(C,) by group key: by the network as it is now, or what was learnt before."""
    if isinstance(by, Learnt):
        sizes = {group.key: group.size for group in state.network.groups}
        found = {key: value for key, value in state.learnt.items() if value.shape == (sizes.get(key, -1),)}
        if not found:
            raise ValueError("no hook of the training before has learnt how important channels are")
        return found
    images = None
    if by.needs_images:
        images = needed(setup.fit, "images to score on").subset(SCORED_ON, setup.seed)
    ranks = yield from ranked(state.model, state.network, by, images, setup.seed)
    return {key: values for key, values in ranks.items() if key not in state.network.whole}


def _chosen(phase: Cut, state: State, ranks: dict[str, Tensor]) -> Plan:
    match phase.to:
        case Widths():
            return _counted(phase, state, ranks)
        case Zeros():
            plan = Plan({key: (values == 0).nonzero().flatten().tolist() for key, values in ranks.items()})
            state.check_followed(plan)
            return plan
        case _:
            return _within(phase, state, ranks)


def _counted(phase: Cut, state: State, ranks: dict[str, Tensor]) -> Plan:
    assert isinstance(phase.to, Widths)
    to_go = _to_go(phase.to, state)
    check_ranked(phase.by, ranks, to_go)
    return Plan({key: lowest(ranks[key], count) for key, count in to_go.items()})


def _to_go(to: Widths, state: State) -> dict[str, int]:
    """How many more units of each group, of those that lose some."""
    more = {key: count - len(state.plan.get(key, ())) for key, count in to.counts.items()}
    return {key: count for key, count in more.items() if count > 0}


def check_ranked(by: Criterion | Learnt, ranks: Collection[str], keys: Iterable[str]) -> None:
    """Raises UserError for the first of the groups that are to lose units and that ``by`` did not rank."""
    for key in keys:
        if key not in ranks:
            judge = "What was learnt" if isinstance(by, Learnt) else by.card.name
            raise UserError(f"{judge} cannot rank {key}. Choose another criterion, or another method.")


def _within(phase: Cut, state: State, ranks: dict[str, Tensor]) -> Plan:
    assert isinstance(phase.to, Within)
    pool = Pool.of(state.network, ranks, phase.to.limits, fair_by(phase.by))
    plan = allocate(phase.to.allocation, pool, allowed(phase.to.budget, state)).plan
    state.check_followed(plan)
    return plan


def allowed(budget: Budget, state: State) -> Budget:
    """``budget``, whose fraction is of the program's first network, as an amount. Raises UserError for a latency."""
    cost = state.origin.network.cost()
    return Budget(budget.kind, amount=budget.allowed(cost))


def fair_by(by: Criterion | Learnt) -> str:
    """What makes these scores comparable between layers."""
    return "mean" if isinstance(by, Learnt) else by.fair.by
