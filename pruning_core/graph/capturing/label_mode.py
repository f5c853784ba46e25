"""Following labels beside the real computation, operator by operator."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pruning_core.graph.capturing.guard import Overwrites, Written, is_overwritten, written
from pruning_core.graph.capturing.hollow import HEAVY, Memory, NeedsValues, reads_values, run_hollow
from pruning_core.graph.capturing.record import Recording
from pruning_core.graph.capturing.remarks import Act, Remark
from pruning_core.graph.capturing.repeats import Repeats, signature
from pruning_core.graph.labelling.labels import Labelled, Note, Origin
from pruning_core.graph.labelling.rules import Call, Rule, rule_for
from pruning_core.graph.labelling.rules.moving import FILLS

# operators told sizes by the model's own code
SIZED = frozenset(
    {
        "view",
        "_unsafe_view",
        "expand",
        "slice",
        "split",
        "split_with_sizes",
        "new_zeros",
        "new_full",
        "new_ones",
        "zeros",
        "ones",
        "full",
        "rand",
        "randn",
    }
)


# what gives a tensor's numbers to code that is not PyTorch's
LEAVING: dict[Any, str] = {
    Tensor.numpy: "numpy",
    Tensor.__array__: "numpy",
    Tensor.__dlpack__: "dlpack",
    Tensor.tolist: "tolist",
}
SHAPED = frozenset({*FILLS, "_shape_as_tensor"})  # read no more of a tensor than its shape


class LabelMode(TorchDispatchMode):
    """Propagates labels beside the real computation.

    Labels of intermediate tensors live on the tensors, so memory is freed as the network runs; parameters are looked
    up by identity, so nothing is left behind on the model. ``hollow``: products are not computed, only their shapes are
    right. ``memory``: where nothing may be written. ``training``: random numbers are expected, and what ``repeats``
    knows from evaluation is taken from there. ``stopped`` is what had to end the run; the network's own code may have
    caught it.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and the default imports the compiler: two seconds of a cold start."""
        return False

    def __init__(
        self,
        recording: Recording,
        tensors: Mapping[str, Tensor],
        *,
        keep_calls: bool = False,
        hollow: bool = False,
        memory: frozenset[int] = frozenset(),
        training: bool = False,
        repeats: Repeats | None = None,
    ) -> None:
        super().__init__()
        self.recording, self.keep_calls, self.hollow, self.guarded = recording, keep_calls, hollow, memory
        self.training, self.repeats = training, repeats
        self.stopped: Exception | None = None
        self.names = {id(t): name for name, t in tensors.items()}
        self.filled: set[int] = set()  # those of them into which data were written
        self.stack: list[str] = []
        self.memory = Memory()
        self.alive: list[weakref.ref[Tensor]] = []  # labelled tensors, as long as somebody holds them
        self.decided: Remark | None = None  # from here on the path depends on the data
        self.left = False  # data may come back as tensors from nowhere
        self.called: Any = None  # the function of PyTorch that the network's own code is in
        self.read = ""  # the operator that read a number inside it

    # -- labels -------------------------------------------------------------------------------------------------------
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

    # -- one operator -------------------------------------------------------------------------------------------------
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        facts = _known(func)
        name = facts.name
        if name == "empty" and self.hollow and not self.keep_calls:  # batch norms make one each, and it says nothing
            return func(*args, **kwargs)
        data = name not in SHAPED and self._any_follows_data((*args, *kwargs.values()) if kwargs else args)
        if data and reads_values(name, args):
            self._reads(name)
        if facts.written and self.guarded and is_overwritten(facts.written, args, kwargs, self.guarded):
            self._stop(Overwrites(name))
        hollow = self.hollow and data and name in HEAVY and (not facts.mutable or self.follows_data(args[0]))
        out = run_hollow(func, name, args, kwargs, self.memory) if hollow else func(*args, **kwargs)
        self.recording.operators += 1
        results = self._labels(facts, func, args, kwargs, out, data)
        if facts.namespace == "quantized":
            self._remark(Act.PACKED, name)
        if facts.random and not self.training and _draws(func, args, kwargs):
            self._blur(results, self._remark(Act.DRAWS, name))
            data = True
        if self.decided is not None:
            self._blur(results, self.decided)
        for value, labels in zip(out if isinstance(out, tuple | list) else [out], results):
            self.mark(value, labels, data)
        return out

    def _labels(self, facts: _Facts, op: Any, args: Any, kwargs: Any, out: Any, data: bool) -> list[Labelled]:
        """Labels of the results: by the operator's rule, or as an earlier pass found them."""
        recording, name = self.recording, facts.name
        given = None if self.repeats is None else signature(name, args, kwargs, self.peek)
        if self.repeats is not None and given is not None and self.training and not facts.mutable:
            known = self.repeats.find(op, given, out)
            if known is not None:
                return known
        owner = self.stack[-1] if self.stack else ""
        recording.universe.operator, recording.ledger.owner = name, owner
        what = (op, name, tuple(args), dict(kwargs), out)
        call = Call(*what, self.look, self.follows_data, recording.universe, recording.ledger)
        result = facts.rule(call)
        results = result if isinstance(result, list) else [result]
        if facts.mutable and isinstance(args[0], Tensor):
            results = [self._mutated(call, results[0], data), *results[1:]]
        if self.keep_calls:
            recording.calls.append(call)
        if name in SIZED:
            recording.sized.extend((owner, labels) for labels in results)
        if self.repeats is not None and given is not None and not self.training and not facts.mutable:
            self.repeats.add(op, given, results)
        return results

    def _any_follows_data(self, values: Any) -> bool:
        for value in values:
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, Tensor) and self.follows_data(each):
                    return True
        return False

    def _mutated(self, call: Call, result: Labelled, data: bool) -> Labelled:
        """A view that is written into changes what its base holds."""
        if call.name == "copy_":
            result = replace(result, origin=self.look(call.args[1]).origin)
        base = call.args[0]._base
        if base is not None and id(base) not in self.names:
            before = self.peek(base)
            origin = max(before.origin, result.origin, key=lambda o: o.value)
            known = replace(before, origin=origin, zero=before.zero and result.zero)
            self.mark(base, known, data or self.follows_data(base))
        elif base is not None and data:
            self.filled.add(id(base))
        return result

    # -- beside calculating -------------------------------------------------------------------------------------------
    def _stop(self, why: Exception) -> NoReturn:
        self.stopped = why
        raise why

    def _remark(self, act: Act, operator: str) -> Remark:
        remark = Remark(act, self.stack[-1] if self.stack else "", operator, self.training)
        if remark not in self.recording.remarks:
            self.recording.remarks.append(remark)
        return remark

    def _blur(self, results: list[Labelled], why: Remark) -> None:
        """What these carry is no longer exact."""
        notes = [Note(p.ravel(), why.spoken, why.reason) for labels in results for p in labels.planes]
        self.recording.universe.inexact.extend(notes)

    def _reads(self, operator: str) -> None:
        """A number of the data is about to be read, by the network's own code or inside a function of PyTorch."""
        if self.hollow:
            self._stop(NeedsValues(operator))
        if self.called is None or operator not in NUMBERS:
            self.decides(operator)
        else:
            self.read = operator

    def decides(self, operator: str) -> None:
        """What is still held may be used in another way with other data, and so may everything that follows."""
        remark = self._remark(Act.DECIDES, operator)
        if self.decided is None:
            self.decided = remark
            held = [tensor for reference in self.alive if (tensor := reference()) is not None]
            self._blur([self.peek(tensor) for tensor in held], remark)

    def leaves(self, how: str, value: Tensor) -> None:
        """The numbers of a tensor are handed to code that is not PyTorch's."""
        if self.hollow:
            self._stop(NeedsValues(how))
        if how != "tolist":
            remark = self._remark(Act.LEAVES, how)
            self.recording.universe.operator = how
            self.recording.universe.pin(self.look(value).planes, remark.reason)
            self.left = True
        self.decides(how)


class Functions(TorchFunctionMode):
    """Beside a :class:`LabelMode`: sees which functions of PyTorch the network's own code calls.

    Operators do not show everything: a list or a NumPy array is filled without one, and whether a number that was read
    inside a function came out of it is known when it returns.
    """

    def __init__(self, mode: LabelMode) -> None:
        super().__init__()
        self.mode = mode

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        mode = self.mode
        how = LEAVING.get(func)
        if how is not None and mode.follows_data(args[0]):
            mode.leaves(how, args[0])
        before, mode.called, mode.read = mode.called, func, ""
        try:
            result = func(*args, **(kwargs or {}))
        finally:
            mode.called = before
        if mode.read and isinstance(result, int | float | complex):  # not the text of a tensor that is printed
            mode.decides(mode.read)
        return result


UNMARKED: tuple[Any, Any, bool] = (None, None, False)
NUMBERS = frozenset({"_local_scalar_dense", "equal", "is_nonzero"})  # their result is one number for Python


@dataclass(frozen=True)
class _Facts:
    name: str
    namespace: str
    mutable: bool  # it writes into its first argument
    written: Written
    random: bool
    rule: Rule


@lru_cache(maxsize=1024)
def _known(op: Any) -> _Facts:
    namespace, _, name = op._schema.name.rpartition("::")
    random = torch.Tag.nondeterministic_seeded in op.tags
    return _Facts(name, namespace, op._schema.is_mutable, written(op), random, rule_for(op, name))


@lru_cache(maxsize=1024)
def _chances(op: Any) -> tuple[tuple[int, str], ...]:
    """Where an operator is told whether to draw at all."""
    names = ("train", "training", "dropout_p")
    return tuple((i, a.name) for i, a in enumerate(op._schema.arguments) if a.name in names)


def _draws(op: Any, args: Any, kwargs: Any) -> bool:
    told = [args[i] if i < len(args) else kwargs.get(name) for i, name in _chances(op)]
    return all(told)
