"""Following labels beside the real computation, operator by operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pruning_core.graph.capturing.carried import Carried
from pruning_core.graph.capturing.guard import Overwrites, Written, is_overwritten, written
from pruning_core.graph.capturing.hollow import HEAVY, Memory, NeedsValues, reads_values, run_hollow
from pruning_core.graph.capturing.passage import KINDS, Passage
from pruning_core.graph.capturing.record import Recording
from pruning_core.graph.capturing.remarks import Act, Remark
from pruning_core.graph.labelling.labels import Labelled, Note, Origin
from pruning_core.graph.labelling.rules import Call, Rule, rule_for
from pruning_core.graph.labelling.rules.call import unknown
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
SHAPED = frozenset({*FILLS, "_shape_as_tensor"})  # read no more of a tensor than its shape
NUMBERS = frozenset({"_local_scalar_dense", "equal", "is_nonzero"})  # their result is one number for Python


class LabelMode(TorchDispatchMode):
    """Propagates labels beside the real computation.

    ``hollow``: products are not computed, only their shapes are right. ``memory``: where nothing may be written.
    ``training``: random numbers are expected. ``stopped`` is what had to end the run; the network's own code may have
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
    ) -> None:
        super().__init__()
        self.recording, self.keep_calls, self.hollow, self.guarded = recording, keep_calls, hollow, memory
        self.training = training
        self.carried = Carried(recording, tensors)
        self.look, self.peek, self.mark = self.carried.look, self.carried.peek, self.carried.mark
        self.follows_data = self.carried.follows_data
        self.stopped: Exception | None = None
        self.stack: list[str] = []
        self.memory = Memory()
        self.passed: set[str] = set()  # layers whose shapes were noted
        self.composite = {name for name, m in recording.modules.items() if any(m._modules.values())}
        self.decided: Remark | None = None  # from here on the path depends on the data
        self.called: Any = None  # the function of PyTorch that the network's own code is in
        self.read = ""  # the operator that read a number inside it

    # -- one operator -------------------------------------------------------------------------------------------------
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        throws = self.recording.throws
        if throws:
            throws.enter(len(self.recording.trail))
        try:
            with torch._C.DisableTorchFunction():  # what is asked of tensors here is not the network's asking
                return self._follow(func, args, kwargs or {})
        finally:
            if throws:
                throws.leave()

    def _follow(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        facts = _known(func)
        name = facts.name
        if name == "empty" and self.hollow and not self.keep_calls:  # batch norms make one each, and it says nothing
            return func(*args, **kwargs)
        data = name not in SHAPED and self.carried.any_follows_data((*args, *kwargs.values()) if kwargs else args)
        if data and reads_values(name, args) and (name != "index" or self.carried.any_follows_data(args[1])):
            self._reads(name)
        if facts.written and self.guarded and is_overwritten(facts.written, args, kwargs, self.guarded):
            self._stop(Overwrites(name))
        hollow = self.hollow and data and name in HEAVY and (not facts.mutable or self.follows_data(args[0]))
        throws = self.recording.throws if facts.namespace != "aten" else None  # others may be code of the network's
        if throws:
            throws.leave()
        out = run_hollow(func, name, args, kwargs, self.memory) if hollow else func(*args, **kwargs)
        if throws:
            throws.enter(len(self.recording.trail))
        self.recording.operators += 1
        self.recording.trail.append(name)
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
        """Labels of the results, by the operator's rule."""
        recording, name = self.recording, facts.name
        running = self.stack[-1] if self.stack else ""
        owner = self.carried.layer(args, running) if running in self.composite else running
        recording.universe.operator, recording.ledger.owner = name, owner
        what = (op, name, tuple(args), dict(kwargs), out)
        call = Call(*what, self.look, self.follows_data, recording.universe, recording.ledger)
        result = unknown(call) if isinstance(out, int | float | complex) else facts.rule(call)
        results = result if isinstance(result, list) else [result]
        if facts.mutable and isinstance(args[0], Tensor):
            results = [self._mutated(call, results[0], data), *results[1:]]
        if self.keep_calls:
            recording.calls.append(call)
        if name in SIZED:
            recording.sized.extend((running, labels) for labels in results)
        if owner != running and owner not in self.passed:
            self._note_passage(owner, name, args, results[0])
        return results

    def _note_passage(self, layer: str, name: str, args: Any, wrote: Labelled) -> None:
        """Shapes of a layer that is no running module: all of an exported program's, and attention's projections."""
        names = self.carried.names
        read = next((self.peek(v) for v in args if isinstance(v, Tensor) and id(v) not in names), None)
        if read is not None and read.origin is Origin.ACTIVATION:
            self.passed.add(layer)
            self.recording.passages.append(Passage(layer, KINDS.get(name, name), read, wrote))

    def _mutated(self, call: Call, result: Labelled, data: bool) -> Labelled:
        """A view that is written into changes what its base holds."""
        if call.name == "copy_":
            result = replace(result, origin=self.look(call.args[1]).origin)
        base = call.args[0]._base
        if base is not None and id(base) not in self.carried.names:
            before = self.peek(base)
            origin = max(before.origin, result.origin, key=lambda o: o.value)
            known = replace(before, origin=origin, zero=before.zero and result.zero)
            self.mark(base, known, data or self.follows_data(base))
        elif base is not None and data:
            self.carried.filled.add(id(base))
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
            self._blur(self.carried.held(), remark)

    def leaves(self, how: str, value: Tensor) -> None:
        """The numbers of a tensor are handed to code that is not PyTorch's."""
        if self.hollow:
            self._stop(NeedsValues(how))
        if how != "tolist":
            remark = self._remark(Act.LEAVES, how)
            self.recording.universe.operator = how
            self.recording.universe.pin(self.look(value).planes, remark.reason)
            self.carried.left = True
        self.decides(how)


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
