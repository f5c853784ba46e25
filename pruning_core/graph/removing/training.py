"""Training mode is proven too, wherever the original runs in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pruning_core.graph.capturing.hollow import NeedsValues
from pruning_core.graph.removing.agreement import Unlike, is_finite
from pruning_core.graph.removing.identity import check_reading
from pruning_core.graph.removing.inputs import doubled
from pruning_core.graph.removing.reference import Reference, Scene, first_line
from pruning_core.graph.removing.subject import Subject, Way
from pruning_core.graph.removing.surgery import Kept
from pruning_core.graph.removing.witness import Seen


def trained_scenes(subject: Subject, reference: Reference, scene: Scene, kept: Kept) -> list[Scene]:
    """Nothing to compare where training does on the same things what evaluation does, but for statistics and noise.

    Everywhere else both networks are compared in training mode, with random numbers that hold still: the comparison, if
    there was one. Raises Unlike.
    """
    for arguments in _tried(scene, reference):
        try:
            theirs: Seen | None = _path(reference.subject, arguments, training=True)
        except NeedsValues:
            theirs = None
        except Exception:
            continue
        steady = theirs is not None and _is_as_evaluated(reference.subject, arguments, scene, theirs)
        try:
            ours = _path(subject, arguments, training=True)
            check_reading(ours, ours, kept, whole=True)
            steady = steady and _is_as_evaluated(subject, arguments, scene, ours)
        except NeedsValues:
            steady = False
        except Unlike:
            raise
        except Exception as error:
            raise Unlike(f"in training mode: {type(error).__name__}: {first_line(error)}") from error
        return [] if steady else _compared(subject, reference, doubled(arguments), scene.way, kept)
    return []


def _tried(scene: Scene, reference: Reference) -> Iterator[tuple[Any, ...]]:
    """Batch norm may want two images, and what only trains may want larger ones than what is evaluated."""
    for arguments in (scene.arguments, reference.inputs.captured):
        yield arguments
        yield doubled(arguments)
        if scene.arguments is reference.inputs.captured:
            return


def _path(subject: Subject, arguments: tuple[Any, ...], *, training: bool) -> Seen:
    return subject.run(arguments, Way(hollow=True, training=training)).seen


def _is_as_evaluated(subject: Subject, arguments: tuple[Any, ...], scene: Scene, training: Seen) -> bool:
    if arguments is not scene.arguments:
        return _path(subject, arguments, training=False).path == training.path
    evaluated = scene.ours if subject is not scene.theirs.subject else scene.theirs
    return evaluated.seen.path == training.path


def _compared(subject: Subject, reference: Reference, arguments: tuple[Any, ...], way: Way, kept: Kept) -> list[Scene]:
    for each in dict.fromkeys((way, replace(way, leaky=False, shaken=False), Way())):
        trained = replace(each, training=True)
        try:
            theirs = reference.subject.run(arguments, trained)
        except Exception:
            continue
        if not is_finite(theirs.outputs):
            continue
        try:
            ours = subject.run(arguments, trained)
        except Exception as error:
            raise Unlike(f"in training mode: {type(error).__name__}: {first_line(error)}") from error
        check_reading(ours.seen, theirs.seen, kept, whole=True)
        try:
            agreement = reference.agreeing(arguments, trained, ours, theirs)
        except Unlike as error:
            raise Unlike(f"in training mode {error}") from error
        return [Scene(arguments, trained, ours, theirs, agreement)]
    return []
