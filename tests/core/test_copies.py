"""Copies of networks: nothing of theirs runs, what is one stays one, and what cannot be copied is shared."""

from __future__ import annotations

import collections
import enum
import functools
import itertools
import random
import tempfile
import threading
import types
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from pruning_core.graph.copies import aliased, copied

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


class Holder:
    """An ordinary object."""

    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


class Slotted:
    __slots__ = ("module", "number", "unset")

    def __init__(self, module: nn.Module) -> None:
        self.module, self.number = module, 3


class Kind(enum.Enum):
    ONE = 1


class Host(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).relu())


def host(**held: Any) -> Any:
    net = Host()
    net.__dict__.update(held)
    return net


@pytest.mark.parametrize("copy_of", [copied, aliased])
def test_everything_of_the_network_is_its_own(copy_of: Any) -> None:
    net = host()
    net.kept = [nn.Linear(4, 4), {"more": (net.a, Holder(module=net.b, slots=Slotted(net.a)))}]
    new = copy_of(net)
    assert new.a is not net.a and new.a.weight is not net.a.weight
    first, (second, third) = new.kept[0], new.kept[1]["more"]
    assert first is not net.kept[0] and second is new.a and third.module is new.b and third.slots.module is new.a
    assert third.slots.number == 3 and not hasattr(third.slots, "unset")
    alike = new.a.weight.data_ptr() == net.a.weight.data_ptr()
    assert alike == (copy_of is aliased), "an aliased copy looks at the values where they lie"
    assert torch.equal(new(X), net(X))


def test_own_ways_of_copying_are_not_asked() -> None:
    class Own(Host):
        def __deepcopy__(self, memo: Any) -> nn.Module:
            raise AssertionError

        __reduce__ = __getstate__ = __copy__ = __deepcopy__  # type: ignore[assignment]  # whatever they are asked

        def __setattr__(self, name: str, value: Any) -> None:
            assert not self.__dict__.get("closed")
            super().__setattr__(name, value)

    net = Own()
    net.closed = True
    new = copied(net, {id(net.a.bias): nn.Parameter(torch.zeros(5))})
    assert type(new) is Own and not new.a.bias.any() and net.a.bias.any()


def test_what_cannot_be_copied_is_shared(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as file, tempfile.NamedTemporaryFile() as passing:
        shared = {
            "lock": threading.Lock(),
            "file": file,
            "passing": passing,  # its copy would delete the file when it goes
            "steps": (n for n in range(3)),
            "library": torch,
            "kind": Kind.ONE,
            "mark": object(),
            "sort": Host,
            "thread": threading.current_thread(),
        }
        new = copied(host(**shared))
        assert all(getattr(new, name) is value for name, value in shared.items())
        del new
        assert Path(passing.name).exists()


def test_random_numbers_and_counters_run_on_their_own() -> None:
    net = host(
        python=random.Random(1),
        numpy=np.random.default_rng(1),
        torch_=torch.Generator().manual_seed(1),
        count=itertools.count(5),
        table=np.zeros(3),
    )
    new = copied(net)
    new.table[0] = 1
    drawn = (new.python.random(), new.numpy.random(), torch.rand(1, generator=new.torch_), next(new.count))
    assert drawn == (net.python.random(), net.numpy.random(), torch.rand(1, generator=net.torch_), next(net.count))
    assert not net.table.any()


def test_containers_keep_their_kind() -> None:
    class Names(list[Any]):
        pass

    class Pair(collections.namedtuple("Pair", "left right")):
        pass

    net = host()
    queue = collections.deque([net.a], maxlen=2)
    order = collections.OrderedDict(x=net.a, y=net.b)
    order.move_to_end("x")
    many = collections.defaultdict(list, z=[net.a])
    names, pair = Names([net.a]), Pair(net.a, 1)
    names.extra = net.b
    net.held = (queue, order, many, names, pair, types.SimpleNamespace(m=net.a), {net.a: "a"}, {net.b}, frozenset([1]))
    new = copied(net)
    queue, order, many, names, pair, space, by_module, group, few = new.held
    assert queue[0] is new.a and queue.maxlen == 2
    assert list(order) == ["y", "x"] and order["x"] is new.a
    assert many["z"] == [new.a] and many["fresh"] == []
    assert type(names) is Names and names[0] is new.a and names.extra is new.b
    assert type(pair) is Pair and pair == (new.a, 1) and space.m is new.a
    assert by_module == {new.a: "a"} and group == {new.b} and few == {1}


def test_objects_with_a_hash_of_their_own_are_complete_before_they_are_keys() -> None:
    class Named:
        def __init__(self, name: str, net: nn.Module) -> None:
            self.name, self.net = name, net

        def __hash__(self) -> int:
            return hash(self.name)

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Named) and self.name == other.name

    net = host()
    net.by_name = {Named("one", net): 1}
    net.names = {Named("two", net)}
    new = copied(net)
    assert new.by_name[Named("one", net)] == 1 and next(iter(new.by_name)).net is new and Named("two", net) in new.names


def test_functions_get_what_they_close_over() -> None:
    net = host()
    seen: list[Tensor] = []

    def forward(x: Tensor) -> Tensor:
        return net.b(net.a(x))

    def keep(module: nn.Module, given: Any, out: Tensor) -> None:
        seen.append(out)

    net.forward = forward
    net.a.register_forward_hook(keep)
    net.part, net.bound = functools.partial(Host.forward, net), net.a.forward
    net.cached, net.add = functools.lru_cache(4)(net.parameters), seen.append
    net.default = lambda x, net=net: net
    net.act, net.norm = torch.relu, nn.functional.layer_norm
    new = copied(net, {id(net.a.weight): nn.Parameter(torch.zeros(5, 4))})
    assert torch.equal(new(X), new.b(new.a.bias.expand(2, 5)))
    assert not seen, "the hook of the copy has a list of its own"
    assert torch.equal(new.part(X), new.b(new.a.bias.relu().expand(2, 5))) and new.bound.__self__ is new.a
    assert {id(p) for p in new.cached()} == {id(p) for p in new.parameters()} and new.cached.cache_info().maxsize == 4
    assert new.default(0) is new and new.act is torch.relu and new.norm is nn.functional.layer_norm
    new.add(X)
    assert not seen


def test_what_is_given_in_advance_by_name_stays_given() -> None:
    """As in an activation of transformers: its settings decide what it computes."""
    net = host()
    net.act = functools.partial(nn.functional.gelu, approximate="tanh")
    net.deep = functools.partial(net.act, input=X)
    net.own = functools.partial(nn.functional.linear, weight=net.a.weight)
    new = copied(net)
    assert torch.equal(new.act(X), net.act(X)) and not torch.equal(new.act(X), nn.functional.gelu(X))
    assert torch.equal(new.deep(), net.deep()) and new.own.keywords["weight"] is new.a.weight
    assert net.own.keywords["weight"] is net.a.weight


def test_weak_references_follow() -> None:
    net = host()
    stranger = Holder()
    net.weak, net.other = weakref.ref(net.a), weakref.ref(stranger)
    net._modules["last"] = weakref.proxy(net.b)
    net.handle = net.a.register_forward_hook(lambda *_: None, with_kwargs=False)
    net.lstm = nn.LSTM(4, 5)
    new = copied(net)
    assert new.weak() is new.a and new.other() is stranger
    assert new.last.weight is new.b.weight
    new.handle.remove()
    assert len(net.a._forward_hooks) == 1 and not new.a._forward_hooks
    assert new.lstm(X)[0].shape == (2, 5)
    assert all(ref() is weight for ref, weight in zip(new.lstm._flat_weight_refs, new.lstm._flat_weights))


def test_tensors_in_the_middle_of_a_graph_are_copied_as_numbers() -> None:
    net = host()
    net.kept = net(X)
    net.a.weight.scale = 3
    new = copied(net)
    assert torch.equal(new.kept, net.kept) and not new.kept.requires_grad and net.kept.requires_grad
    assert new.a.weight.scale == 3 and new.a.weight.requires_grad


def test_shared_memory_stays_shared_among_copies_only() -> None:
    net = host()
    net.register_buffer("whole", torch.arange(6.0))
    net.register_buffer("part", net.whole[2:4])
    net.register_buffer("turned", torch.randn(3, 4).t())
    new = copied(net)
    new.part.zero_()
    assert new.whole.tolist() == [0, 1, 0, 0, 4, 5] and net.whole.tolist() == [0, 1, 2, 3, 4, 5]
    assert new.turned.stride() == net.turned.stride() and torch.equal(new.turned, net.turned)


def test_long_chains_of_objects_do_not_exhaust_the_stack() -> None:
    net = host()
    first = link = Holder()
    for _ in range(20_000):
        link.next = Holder()
        link = link.next
    link.end = net.a
    net.chain = first
    link = copied(net).chain
    while hasattr(link, "next"):
        link = link.next
    assert isinstance(link.end, nn.Linear) and link.end is not net.a
    while hasattr(first, "next"):  # so that taking it down does not, either
        first.__dict__, first = {}, first.next


def test_traced_programs_have_code_of_their_own() -> None:
    net = fx.symbolic_trace(host())
    new = copied(net, {id(net.b.bias): nn.Parameter(torch.zeros(3))})
    assert not torch.equal(new(X), net(X)) and torch.equal(new(X) + net.b.bias, net(X))
    next(n for n in new.graph.nodes if n.op == "output").args = (0,)
    new.recompile()
    assert new(X) == 0 and net(X).shape == (2, 3)


def test_scripted_modules_get_the_tensors_they_are_given() -> None:
    net = host()
    net.b = torch.jit.script(net.b)
    weight = nn.Parameter(torch.zeros(3, 5))
    new = copied(net, {id(net.b.weight): weight})
    assert torch.equal(new(X), net.b.bias.expand(2, 3)) and net.b.weight.any()
