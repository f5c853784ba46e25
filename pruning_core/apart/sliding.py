"""The engine behind the sliders in a child of its own: it stays while somebody moves them, and answers plan by plan."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pruning_core.analysis.slider import Estimate, Measured, Slider
from pruning_core.apart.answer import ended, limits
from pruning_core.datasets import DataRef, hold_out, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture
from pruning_core.isolation.talk import Talk
from pruning_core.isolation.wire import Kind
from pruning_core.measuring.measures import Accuracy, Drop
from pruning_core.runs.elsewhere import HOME
from pruning_core.runs.errand import OUTBOX
from pruning_core.storage.codec import Codec, dump
from pruning_core.storage.conform import conforms
from pruning_core.storage.plain import Forged
from pruning_core.storage.workspace import Borrowed, Workspace
from pruning_core.studies.inputs import fitted
from pruning_core.zoo import ModelRef, load_model

if TYPE_CHECKING:
    from pruning_core.isolation.child import Child
    from pruning_core.isolation.children import Children

SLIDE = "slide"
READY, GIVES, COUNTS, END, REFUSES = "ready", "gives", "counts", "end", "refuses"
PATIENCE_S = 300.0  # for one answer
ANSWERS = 200  # plans remembered
TOLD = Codec((Estimate, Measured, Accuracy, Drop))


# -- in the child ------------------------------------------------------------------------------------------------------


def sliding(talk: Talk, given: Mapping[str, Any], folder: Path) -> Any:
    """Make the engine, then answer until nobody asks any more. What is asked: [turn, method of Slider, plan]."""
    slider = _slider(given, folder)
    talk.say([0, READY, slider.title])
    while True:
        turn, what, text = talk.hear()
        try:
            for kind, value in _answers(slider, what, Plan.from_json(text)):
                talk.say([turn, kind, value])
                if talk.interrupted():
                    break
        except UserError as error:
            talk.say([turn, REFUSES, str(error)])
        else:
            talk.say([turn, END, None])


def _slider(given: Mapping[str, Any], folder: Path) -> Slider:
    root, data = Path(given["root"]), DataRef.from_json(given["data"])
    loaded = load_model(ModelRef.from_json(given["ref"]), Borrowed(root, folder / OUTBOX))
    _, held_out = hold_out(load_splits(data, root)[0], data)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    return Slider(loaded.model, network, fitted(held_out.subset(given["images"]), data, loaded))


def _answers(slider: Slider, what: str, plan: Plan) -> Iterator[tuple[str, Any]]:
    match what:
        case "estimate":
            if found := slider.estimate(plan):
                yield GIVES, dump(found)
        case "measuring":
            for measured in slider.measuring(plan):
                yield GIVES, dump(measured)
        case "expanding":
            for images in slider.expanding(plan):
                yield COUNTS, images


# -- in the server -----------------------------------------------------------------------------------------------------


@dataclass
class _Session:
    child: Child
    messages: Iterator[tuple[Kind, Any]]
    title: str
    by: float = 0.0  # when an answer must be there


class FarSlider:
    """As ``Slider``, for a network that never runs in this process; may be shared by threads, which wait in turn.

    Its child starts with the first question and goes with this object. Methods raise UserError as those of ``Slider``
    do, and when the child ended; the next question starts another.
    """

    def __init__(self, house: Children, ref: ModelRef, workspace: Workspace, data: DataRef, images: int) -> None:
        self._house, self._ref, self._workspace = house, ref, workspace
        self._data, self._images = data, images
        self._answers: OrderedDict[Plan, Measured] = OrderedDict()
        self._expanded: set[Plan] = set()
        self._lock = threading.Lock()
        self._turn = 0
        self._session: _Session | None = None
        self.title = ""
        with self._lock, ended(ref.name):
            self._begun()

    def measured(self, plan: Plan) -> Measured | None:
        """The complete answer, where this plan was measured before."""
        return self._answers.get(plan)

    def estimate(self, plan: Plan) -> Estimate | None:
        """From the nearest plan whose terms are known; None where there is none or it cannot say."""
        if not self._expanded:
            return None
        found = [_checked(text, Estimate) for _, text in self._asked("estimate", plan)]
        return found[0] if found else None

    def measuring(self, plan: Plan) -> Iterator[Measured]:
        """Measure a plan, yielding after every batch; the last one has seen every image."""
        for _, text in self._asked("measuring", plan):
            found: Measured = _checked(text, Measured)
            if found.accuracy.complete:
                self._answers[plan] = found
                while len(self._answers) > ANSWERS:
                    self._answers.popitem(last=False)
            yield found

    def expanding(self, plan: Plan) -> Iterator[int]:
        """Take the first-order terms around ``plan``, yielding the images done; nothing when they are known."""
        for _, images in self._asked("expanding", plan):
            if type(images) is not int:
                raise Forged("this is no number of images")
            yield images
        self._expanded.add(plan)

    def _asked(self, what: str, plan: Plan) -> Iterator[tuple[str, Any]]:
        with self._lock, ended(self._ref.name):
            try:
                session = self._begun()
                self._turn += 1
                session.child.ask([self._turn, what, plan.to_json()])
                yield from self._heard(session, self._turn)
            except UserError:
                raise
            except Exception:
                self._dropped()
                raise

    def _heard(self, session: _Session, turn: int) -> Iterator[tuple[str, Any]]:
        while True:
            of, kind, value = self._next(session)
            if of != turn:
                continue  # what nobody waited for
            if kind == END:
                return
            if kind == REFUSES and isinstance(value, str):
                raise UserError(value)
            yield kind, value

    def _next(self, session: _Session) -> tuple[int, str, Any]:
        from pruning_core.isolation.child import Broke, Died

        session.by = time.monotonic() + PATIENCE_S
        for kind, value in session.messages:
            match kind:
                case Kind.EVENT:
                    of, what, told = value
                    return of, what, told
                case Kind.REFUSED:
                    self._dropped()
                    raise UserError(str(value))
                case Kind.MEMORY:
                    raise MemoryError
                case Kind.BROKE:
                    raise Broke(str(value))
        raise Died(session.child.end)

    def _begun(self) -> _Session:
        if self._session is None:
            root = self._workspace.root
            given = {
                "ref": self._ref.to_json(), "data": self._data.to_json(), "images": self._images, "root": str(root)
            }  # fmt: skip
            child = self._house.begin(SLIDE, given, limits(self._workspace, lasting=True), root / HOME)
            weakref.finalize(self, child.close)
            session = _Session(child, iter(()), "")
            session.messages = child.messages(lambda: time.monotonic() > session.by)
            self._session = session
            of, what, title = self._next(session)
            if (of, what) != (0, READY) or not isinstance(title, str) or len(title) > 200:
                raise Forged("this is no beginning")
            self.title = title
            self._expanded.clear()
        return self._session

    def _dropped(self) -> None:
        if self._session is not None:
            self._session.child.close()
            self._session = None


def _checked(text: Any, kind: type[Any]) -> Any:
    found = TOLD.load(text) if isinstance(text, str) else None
    if not conforms(found, kind):
        raise Forged(f"this is no {kind.__name__}")
    return found
