"""The one interpreter: performs phases, one after the other, and can go on where it stopped."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from pruning_core.graph import remove
from pruning_core.methods.cutting import cutting, staged_as
from pruning_core.methods.diversity import diversified
from pruning_core.methods.finding import finding
from pruning_core.methods.masking import masked, reinitialised, with_zeros_of
from pruning_core.methods.phases import (
    Absorb,
    Apply,
    Cut,
    Diversify,
    FindWidths,
    Judge,
    Mask,
    Mend,
    Phase,
    Rebuild,
    Recover,
    Reinitialise,
    Rewind,
    Snapshot,
    Train,
    settings,
)
from pruning_core.methods.place import Keeper, Place
from pruning_core.methods.rebuilding import JUDGED_ON, Target
from pruning_core.methods.state import Setup, Snap, State, needed
from pruning_core.methods.treatments import PROOF_IMAGES, mended, mender, recalibrated
from pruning_core.runs.events import Event, Progress, Stage
from pruning_core.training.checkpoint import Best, Checkpoint
from pruning_core.training.config import FineTune
from pruning_core.training.distillation import ORIGIN
from pruning_core.training.events import Epoch, TrainOutcome
from pruning_core.training.loop import fine_tune
from pruning_core.work import told


@dataclass(frozen=True, eq=False)
class Done:
    """Phase ``number`` is performed, ``state`` is what came of it. Not to be stored: for whoever drives a program.

    After a training ``outcome`` and ``kept``, the epoch whose weights were kept.
    """

    number: int
    phase: Phase
    state: State
    outcome: TrainOutcome | None = None
    kept: Epoch | None = None


@dataclass(frozen=True, eq=False)
class Broken:
    """The training in phase ``number`` fails; ``best`` are its best weights. The error follows. Not to be stored."""

    number: int
    best: Best


def only_events(event: Event) -> tuple[Event, ...]:
    """What of a program may be stored: to be used with ``told`` by whoever waits for its end alone."""
    return () if isinstance(event, Done | Broken) else (event,)


def perform(
    phases: Sequence[Phase], state: State, setup: Setup, keeper: Keeper | None = None
) -> Generator[Event, None, State]:
    """Perform ``phases`` beginning with ``state``; returns the state after the last one. Use it with ``told``.

    Yields stages, progress and training events (not their TrainOutcome, which comes with the Done), and a ``Done``
    after every phase. With a ``keeper`` the place is saved inside trainings now and then, after every phase, and when
    it is closed inside a training; what was saved is gone on with. A place is never ahead of the events: a Done is
    repeated until its events were taken. Raises UserError for what cannot be done.
    """
    configs = settings(phases, setup.config)
    place = keeper.load() if keeper else None
    first, training = (place.number, place.training) if place else (0, None)
    state = place.state(state.origin) if place else state
    for number, phase in enumerate(phases[first:], first):
        if isinstance(phase, Train):
            start = training if number == first else None
            state = yield from _train(number, phase, state, setup, configs[number], start, keeper)
        else:
            state = yield from _step(phase, state, setup)
            yield Done(number, phase, state)
        if keeper:
            keeper.save(Place.of(number + 1, state))
    return state


def _step(phase: Phase, state: State, setup: Setup) -> Generator[Event, None, State]:
    match phase:
        case Cut():
            return (yield from cutting(phase, state, setup))
        case Apply():
            yield Stage(staged_as(phase, "removing channels"))
            example = setup.proof.normalised(setup.proof.images[:PROOF_IMAGES])
            removal = remove(state.model, state.network, phase.plan, example)
            return state.without(phase.plan, removal.model, removal)
        case Recover(images=images):
            yield Stage(staged_as(phase, "renewing batch-norm statistics"))
            work = recalibrated(state.model, needed(setup.fit, "images to fit"), images, setup.seed, setup.device)
            model = yield from told(work, lambda share: (Progress(round(100 * share), 100, "%"),))
            return replace(state, model=model)
        case Mend():
            return (
                yield from _mend(phase, state, setup, staged_as(phase, "refitting the layers that read what is left"))
            )
        case Absorb():
            return (yield from _mend(phase, state, setup, staged_as(phase, "handing on what was constant")))
        case Snapshot(key=key):
            return replace(state, snapshots={**state.snapshots, key: Snap(state.model, state.plan)})
        case Rewind():
            return _rewound(state, phase)
        case Mask():
            return (yield from _mask(phase, state, setup))
        case Reinitialise():
            return replace(state, model=reinitialised(state.model, setup.seed), uncut=None)
        case Judge():
            return (yield from _judge(phase, state, setup))
        case FindWidths():
            yield Stage(staged_as(phase, "trying widths"))
            return replace(state, learnt=(yield from finding(phase, state, setup)))
        case Diversify(share=share):
            model = diversified(state.model, state.network, share, setup.seed)
            return replace(state, model=model, uncut=None)
        case Rebuild():
            return (yield from _rebuild(phase, state, setup))
        case Train():
            raise AssertionError("a training is performed by itself, because it can be gone on with")


def _judge(phase: Judge, state: State, setup: Setup) -> Generator[Event, None, State]:
    yield Stage(staged_as(phase, "judging channels"))
    fit = needed(setup.fit, "images to judge channels on")
    chosen = fit.subset(min(phase.images, len(fit)), setup.seed)
    work = phase.by.judging(state.model, state.network, chosen, state.learnt, setup.device)
    learnt = yield from told(work, lambda share: (Progress(round(100 * share), 100, "%"),))
    return replace(state, learnt=learnt)


def _mend(phase: Mend | Absorb, state: State, setup: Setup, said: str) -> Generator[Event, None, State]:
    if state.uncut is None:
        return state
    yield Stage(said)
    whole = State(state.origin, state.uncut.model, state.uncut.plan)
    plan = state.plan.since(whole.plan, state.origin.sizes)
    fit = needed(setup.fit, "images to fit")
    by = mender(
        whole.model,
        whole.network,
        fit,
        images=phase.images,
        positions=phase.positions,
        seed=setup.seed,
        device=setup.device,
        groups=plan,
        weights=isinstance(phase, Mend),
    )
    work = mended(by, plan, setup.proof)
    removal = yield from told(work, lambda share: (Progress(round(100 * share), 100, "%"),))
    return replace(state, model=removal.model, removal=removal, uncut=None)


def _rewound(state: State, phase: Rewind) -> State:
    snap = state.snapshots.get(phase.key)
    if snap is None:
        raise ValueError(f"there is no snapshot {phase.key!r} to rewind to")
    then = State(state.origin, snap.model, snap.plan)
    since = state.plan.since(snap.plan, state.origin.sizes)
    model = remove(snap.model, then.network, since).model if since else snap.model
    if phase.zeros:
        model = with_zeros_of(model, state.model, state.network)
    return replace(state, model=model, uncut=snap if since else None)


def _mask(phase: Mask, state: State, setup: Setup) -> Generator[Event, None, State]:
    yield Stage(staged_as(phase, "setting weights to zero"))
    origin = state.origin.network
    work = masked(state.model, state.network, phase, origin, setup.fit, setup.seed)
    model = yield from told(work, lambda share: (Progress(round(100 * share), 100, "%"),))
    return replace(state, model=model, uncut=None)


def _rebuild(phase: Rebuild, state: State, setup: Setup) -> Generator[Event, None, State]:
    yield Stage(staged_as(phase, "changing the build"))
    target = Target(phase.to.kind, phase.to.allowed(state.origin.network.cost()))
    images = needed(setup.fit, "images to judge by").subset(JUDGED_ON, setup.seed)
    work = phase.how.edits(state.model, state.network, target, images, setup.seed)
    edits = yield from told(work, lambda share: (Progress(round(100 * share), 100, "%"),))
    return state.rebuilt(edits) if edits else state


# -- training ----------------------------------------------------------------------------------------------------------


def _train(
    number: int,
    phase: Train,
    state: State,
    setup: Setup,
    config: FineTune,
    start: Checkpoint | None,
    keeper: Keeper | None,
) -> Generator[Event, None, State]:
    if phase.name:
        yield Stage(staged_as(phase, "training"))
    training = fine_tune(
        state.model,
        needed(setup.fit, "images to fit"),
        needed(setup.test, "images to test"),
        config,
        tuple(hook.given(state.learnt) for hook in phase.hooks),
        setup.held_out,
        start,
        network=state.network if phase.hooks else None,
        objective=phase.objective,
        others={ORIGIN: state.origin.model, **{key: snap.model for key, snap in state.snapshots.items()}},
        keep=phase.keep,
    )

    def place() -> Place:
        return Place.of(number, state, training.checkpoint())

    outcome = None
    try:
        for event in training:
            if isinstance(event, TrainOutcome):
                outcome = event
                continue
            yield event
            if keeper:
                keeper.now_and_then(place)
        after = replace(state, model=training.best_model(), learnt=training.learnt, uncut=None)
        yield Done(number, phase, after, outcome, training.best.epoch if training.best else None)
    except GeneratorExit:
        training.close()
        if keeper:
            keeper.save(place())
        raise
    except Exception:
        if training.best is not None:
            yield Broken(number, training.best)
        raise
    return after
