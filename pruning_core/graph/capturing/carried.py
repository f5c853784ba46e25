"""The labels that tensors carry while a network is followed, and whether their numbers follow from the data."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from pruning_core.graph.capturing.record import Recording
from pruning_core.graph.labelling.labels import Labelled, Origin

UNMARKED: tuple[Any, Any, bool] = (None, None, False)


class Carried:
    """Of one pass. Labels of intermediate tensors live on the tensors, so memory is freed as the network runs; the
    network's own tensors are looked up by identity, so nothing is left behind on the model.

    ``left``: the data have left PyTorch, so that they may come back in a tensor from nowhere.
    """

    def __init__(self, recording: Recording, tensors: Mapping[str, Tensor]) -> None:
        self.recording = recording
        self.names = {**recording.outside, **{id(t): name for name, t in tensors.items()}}
        self.filled: set[int] = set()  # those of them into which data were written
        self.alive: list[weakref.ref[Tensor]] = []  # labelled tensors, as long as somebody holds them
        self.left = False

    def peek(self, value: Any) -> Labelled:
        """The labels of a tensor, without counting as a use."""
        name = self.names.get(id(value))
        return self._carried(value) if name is None else self.recording.parameters[name]

    def _carried(self, value: Any) -> Labelled:
        universe, labels, _ = getattr(value, "_unit_labels", UNMARKED)
        if universe is self.recording.universe and labels is not None:  # else: left by another recording
            return labels
        return Labelled(tuple(value.shape), (), Origin.ACTIVATION if self.left else Origin.CONSTANT)

    def look(self, value: Any) -> Labelled:
        """The labels of a tensor that something reads."""
        name = self.names.get(id(value))
        if name is not None:
            self.recording.used.setdefault(name, self.recording.operators)
            labels = self.recording.parameters[name]
        else:
            labels = self._carried(value)
        if labels.debts:
            self.recording.universe.inexact.extend(labels.debts)
            labels = replace(labels, debts=())
            self.mark(value, labels, self.follows_data(value))
        return labels

    def follows_data(self, value: Any) -> bool:
        """Whether the numbers in a tensor depend on the network's input (or are drawn)."""
        universe, _, data = getattr(value, "_unit_labels", UNMARKED)
        if universe is self.recording.universe:
            return data
        return self.left if id(value) not in self.names else id(value) in self.filled

    def any_follows_data(self, values: Iterable[Any]) -> bool:
        """Of tensors, and lists of them."""
        for value in values:
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, Tensor) and self.follows_data(each):
                    return True
        return False

    def mark(self, value: Any, labels: Labelled, data: bool) -> None:
        if not isinstance(value, Tensor):
            return
        if id(value) in self.names:
            if data:
                self.filled.add(id(value))
            return
        value._unit_labels = (self.recording.universe, labels, data)  # type: ignore[attr-defined]  # ours
        if labels.planes:
            self.alive.append(weakref.ref(value))

    def held(self) -> list[Labelled]:
        """Labels of what somebody still holds."""
        return [self.peek(tensor) for reference in self.alive if (tensor := reference()) is not None]

    def layer(self, args: Any, running: str) -> str:
        """The layer that an operator belongs to, where code calls it for another: the one that holds what it reads."""
        for value in args:
            base = value._base if isinstance(value, Tensor) and id(value) not in self.names else None
            name = self.names.get(id(value if base is None else base)) if isinstance(value, Tensor) else None
            if name is not None:
                return name.rpartition(".")[0]
        return running
