"""A copier for networks that runs no code of theirs.

``copy.deepcopy`` asks every object how it is copied, and objects in and around networks answer in their own ways: by
building themselves anew, by writing an archive, by refusing. Here modules and ordinary objects are copied attribute by
attribute and containers entry by entry; a function keeps its code and gets copies of what it closes over. What has its
state elsewhere (locks, files, sockets, objects of extensions) is shared with the original.
"""

from __future__ import annotations

import collections
import copy
import functools
import itertools
import random
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from pruning_core.graph.copied_tensors import TensorCopies
from pruning_core.graph.kinds import ATOMS, CONTAINERS, OFTEN_EMPTY, WEAK, has_state, is_plain, is_service, slots_of
from pruning_core.graph.modules import referent

NOT_YET = object()


class Copier:
    """One walk over everything that a network refers to; ``known`` says what some of it (by identity) becomes.

    With ``aliased``, parameters are objects of their own that lie in the memory of the originals.
    """

    def __init__(self, known: Mapping[int, Any], *, aliased: bool = False) -> None:
        self.memo: dict[int, Any] = dict(known)
        self._tensors = TensorCopies(aliased=aliased)
        self._held: list[Any] = []  # what exists only while it is looked at; its identity must not be given away
        self._makers: dict[type, Callable[[Any], Any]] = {}
        self._slots: dict[type, list[Any]] = {}
        self._open: list[tuple[Callable[[Any, Any], None], Any, Any]] = []
        self._late: list[Callable[[], None]] = []  # containers whose keys must be complete before they have a hash
        self._weak: list[tuple[Callable[[Any], object], Any]] = []
        self._holds_weak: set[int] = set()
        self._programs: list[fx.GraphModule] = []

    def copied(self, value: Any) -> Any:
        """The copy of ``value``, complete."""
        new = self._copy(value)
        while self._open or self._late:
            while self._open:
                fill, old, made = self._open.pop()
                fill(old, made)
            if self._late:
                self._late.pop()()
        for put, reference in self._weak:
            put(self._weakly(reference))
        for program in self._programs:
            program.graph.owning_module = program
            program.recompile()
        return new

    def _copy(self, value: Any) -> Any:
        kind = type(value)
        if kind in ATOMS:
            return value
        found = self.memo.get(id(value), NOT_YET)
        if found is not NOT_YET:
            return found
        make = self._makers.get(kind)
        if make is None:
            make = self._makers[kind] = self._maker(kind)
        new = self.memo[id(value)] = make(value)
        self._held.append(value)
        return new

    def _maker(self, kind: type) -> Callable[[Any], Any]:
        if kind is dict:
            return self._dict
        for base, make in self._kinds():
            if issubclass(kind, base):
                return make
        return self._shell if not is_service(kind) and is_plain(kind) else _shared

    def _kinds(self) -> tuple[tuple[type, Callable[[Any], Any]], ...]:
        return (
            (Tensor, self._tensor),
            (torch.jit.ScriptModule, self._script),
            (fx.Graph, copy.deepcopy),  # PyTorch's own, and nothing else can
            (fx.GraphModule, self._graph_module),
            (nn.Module, self._shell),
            *((c, self._sequence if c in (tuple, frozenset) else self._container) for c in CONTAINERS),
            (types.FunctionType, self._function),
            (types.MethodType, self._method),
            (types.BuiltinFunctionType, self._builtin),
            (functools.partial, self._partial),
            (functools._lru_cache_wrapper, self._cached_function),
            (types.CellType, self._cell),
            (types.SimpleNamespace, self._namespace),
            (np.ndarray, _array),
            (torch.Generator, lambda g: g.clone_state()),
            *((c, copy.deepcopy) for c in (random.Random, np.random.Generator, np.random.RandomState)),
            (itertools.count, lambda c: c.__reduce__()[0](*c.__reduce__()[1])),
        )

    # -- objects with attributes --------------------------------------------------------------------------------------
    def _shell(self, value: Any) -> Any:
        new = object.__new__(type(value))
        self._open.append((self._fill, value, new))
        return new

    def _graph_module(self, value: fx.GraphModule) -> fx.GraphModule:
        new = type(value).__new__(type(value))  # a class of its own, which holds the code
        self._open.append((self._fill, value, new))
        self._programs.append(new)
        return new

    def _script(self, value: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
        """Compiled modules are copied as a whole, with tensors of their own; ours take their place by name."""
        new: torch.jit.ScriptModule = copy.deepcopy(value)
        for old, made in zip(value.modules(), new.modules()):
            for name, tensor in (*old.named_parameters(recurse=False), *old.named_buffers(recurse=False)):
                setattr(made, name, self._copy(tensor))
        return new

    def _namespace(self, value: Any) -> Any:
        new = type(value)()
        self._open.append((self._fill, value, new))
        return new

    def _fill(self, old: Any, new: Any) -> None:
        if type(old).__dictoffset__:
            self._entries(object.__getattribute__(old, "__dict__"), object.__getattribute__(new, "__dict__"))
        slots = self._slots.get(type(old))
        if slots is None:
            slots = self._slots[type(old)] = slots_of(type(old))
        for slot in slots:
            try:
                value = slot.__get__(old)
            except AttributeError:  # never set
                continue
            self._put(functools.partial(slot.__set__, new), value)

    def _entries(self, old: dict[Any, Any], new: dict[Any, Any]) -> None:
        new.update(old)
        memo, holds_weak = self.memo, self._holds_weak
        for key, value in old.items():
            kind = type(value)
            if kind in ATOMS:
                continue
            if kind in OFTEN_EMPTY and not value:  # most of what a module holds
                new[key] = memo[id(value)] = kind()
                continue
            new[key] = self._copy(value)
            if kind in WEAK or (holds_weak and id(value) in holds_weak):
                self._weak.append((functools.partial(new.__setitem__, key), value))

    def _put(self, put: Callable[[Any], object], value: Any) -> None:
        put(self._copy(value))
        if type(value) in WEAK or id(value) in self._holds_weak:
            self._weak.append((put, value))

    def _weakly(self, value: Any) -> Any:
        """A weak reference to the copy of what it refers to, where there is one."""
        if type(value) not in WEAK:
            return tuple(self._weakly(v) if type(v) in WEAK else self._copy(v) for v in value)
        target = value() if type(value) is weakref.ref else referent(value)
        made = None if target is None else self.memo.get(id(target))
        if made is None or made is target:
            return value
        return weakref.ref(made, value.__callback__) if type(value) is weakref.ref else weakref.proxy(made)

    # -- containers ---------------------------------------------------------------------------------------------------
    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        new: dict[Any, Any] = {}
        self._open.append((self._fill_dict, value, new))
        return new

    def _container(self, value: Any) -> Any:
        kind = type(value)
        base = next(c for c in CONTAINERS if issubclass(kind, c))
        new = base.__new__(kind)
        if base is collections.defaultdict:
            new.default_factory = self._copy(value.default_factory)
        elif base is collections.deque:
            collections.deque.__init__(new, (), value.maxlen)
        self._open.append((self._fill_set if base is set else self._fill_list, value, new))
        if issubclass(base, dict):
            self._open[-1] = (self._fill_dict, value, new)
        if kind is not base and kind.__dictoffset__:
            self._open.append((self._fill, value, new))
        return new

    def _fill_dict(self, old: dict[Any, Any], new: dict[Any, Any]) -> None:
        if type(old) is dict and ATOMS.issuperset(map(type, old)):
            self._entries(old, new)
            return
        base = next(c for c in CONTAINERS if isinstance(old, c))
        if ATOMS.issuperset(map(type, dict.keys(old))):
            for key, value in base.items(old):
                self._put(functools.partial(base.__setitem__, new, key), value)
            return
        pairs = [(self._copy(key), value) for key, value in base.items(old)]

        def fill() -> None:
            for key, value in pairs:
                self._put(functools.partial(base.__setitem__, new, key), value)

        self._late.append(fill)

    def _fill_list(self, old: Any, new: Any) -> None:
        base = next(c for c in CONTAINERS if isinstance(old, c))
        if ATOMS.issuperset(map(type, base.__iter__(old))):
            base.extend(new, base.__iter__(old))
            return
        for place, value in enumerate(base.__iter__(old)):
            base.append(new, None)
            self._put(functools.partial(base.__setitem__, new, place), value)

    def _fill_set(self, old: set[Any], new: set[Any]) -> None:
        values = [self._copy(value) for value in set.__iter__(old)]
        self._late.append(lambda: set.update(new, values))

    def _sequence(self, value: Any) -> Any:
        """Tuples and frozen sets are what they hold: the same where that stays the same."""
        kind = type(value)
        base = tuple if issubclass(kind, tuple) else frozenset
        old = list(base.__iter__(value))
        if ATOMS.issuperset(map(type, old)):
            return value
        new = [self._copy(v) for v in old]
        if any(type(v) in WEAK for v in old):
            self._holds_weak.add(id(value))
        if all(a is b for a, b in zip(old, new)):
            return value
        try:
            return base.__new__(kind, new)
        except TypeError:  # the named results of torch's operators are made by torch alone
            return value

    # -- functions ----------------------------------------------------------------------------------------------------
    def _function(self, value: types.FunctionType) -> types.FunctionType:
        if not has_state(value, set()):
            return value
        cells = None if value.__closure__ is None else tuple(self._copy(c) for c in value.__closure__)
        new = types.FunctionType(value.__code__, value.__globals__, value.__name__, None, cells)
        for name in ("__qualname__", "__module__", "__doc__", "__annotations__"):
            setattr(new, name, getattr(value, name))
        self.memo[id(value)] = new
        new.__defaults__, new.__kwdefaults__ = self._copy(value.__defaults__), self._copy(value.__kwdefaults__)
        self._entries(value.__dict__, new.__dict__)
        return new

    def _cell(self, value: types.CellType) -> types.CellType:
        new = types.CellType()
        self._open.append((self._fill_cell, value, new))
        return new

    def _fill_cell(self, old: types.CellType, new: types.CellType) -> None:
        try:
            content = old.cell_contents
        except ValueError:  # never filled
            return
        self._put(functools.partial(setattr, new, "cell_contents"), content)

    def _method(self, value: types.MethodType) -> types.MethodType:
        owner, function = self._copy(value.__self__), self._copy(value.__func__)
        same = owner is value.__self__ and function is value.__func__
        return value if same else types.MethodType(function, owner)

    def _builtin(self, value: Any) -> Any:
        owner = value.__self__
        new = self._copy(owner)
        return value if new is owner else getattr(new, value.__name__)

    def _partial(self, value: functools.partial[Any]) -> Any:
        function, given = self._copy(value.func), self._copy(value.args)
        if function is value.func and given is value.args and not value.keywords:
            return value
        made = functools.partial.__new__(type(value), function, *given)
        self._open.append((self._fill_dict, value.keywords, made.keywords))
        return made

    def _cached_function(self, value: Any) -> Any:
        inner = self._copy(value.__wrapped__)
        return value if inner is value.__wrapped__ else functools.lru_cache(**value.cache_parameters())(inner)

    def _tensor(self, value: Tensor) -> Tensor:
        new = self._tensors.of(value)
        held = vars(value)
        if held:
            self.memo[id(value)] = new
            self._entries({k: v for k, v in held.items() if k != "_unit_labels"}, vars(new))
        return new


def _shared(value: Any) -> Any:
    return value


def _array(value: Any) -> Any:
    return value.copy() if type(value) is np.ndarray and not value.dtype.hasobject else value
