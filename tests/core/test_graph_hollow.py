"""What is not computed in a capture has the shapes and types that it would have had, or is computed after all."""

import itertools
import random

import pytest
import torch
from torch import Tensor, nn

from pruning_core.graph import capture
from pruning_core.graph.capturing.hollow import HEAVY, Memory, run_hollow
from tests.core.graph_checks import Net, head, image

ATEN = torch.ops.aten
X = torch.randn(2, 6, 9, 7)


def results(op, args: tuple) -> list[tuple[torch.Size, torch.dtype]] | None:
    try:
        found = op(*args)
    except (RuntimeError, IndexError):
        return None
    return [(t.shape, t.dtype) for t in (found if isinstance(found, tuple) else (found,)) if isinstance(t, Tensor)]


def hollow(name: str, op, args: tuple) -> list[tuple[torch.Size, torch.dtype]] | None:
    return results(lambda *given: run_hollow(op, name, given, {}, Memory()), args)


def pools() -> list[tuple]:
    pairs = ([1, 1], [2, 3], [3, 3], [5, 4])
    every = list(itertools.product(pairs, ([], [1, 1], [2, 2], [3, 2]), ([0, 0], [1, 1], [2, 1]), (False, True)))
    return random.Random(0).sample(every, 60)


def test_pools_keep_their_shapes() -> None:
    made = 0
    for kernel, stride, padding, ceil in pools():
        wanted = results(ATEN.avg_pool2d.default, (X, kernel, stride, padding, ceil))
        assert hollow("avg_pool2d", ATEN.avg_pool2d.default, (X, kernel, stride, padding, ceil)) == wanted
        for dilation in ([1, 1], [2, 1]):
            given = (X, kernel, stride, padding, dilation, ceil)
            wanted = results(ATEN.max_pool2d_with_indices.default, given)
            assert hollow("max_pool2d_with_indices", ATEN.max_pool2d_with_indices.default, given) == wanted, given
            made += HEAVY["max_pool2d_with_indices"](*given) is not None
    assert made > 60, "most of them are not computed"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("x", [X, torch.randn(3, 6), X[..., 0]])
def test_batch_norm_keeps_its_shapes(x: Tensor, training: bool) -> None:
    given = (x, torch.ones(6), torch.zeros(6), torch.zeros(6), torch.ones(6), training, 0.1, 1e-5)
    assert hollow("native_batch_norm", ATEN.native_batch_norm.default, given) == results(
        ATEN.native_batch_norm.default, given
    )


def test_what_batch_norm_would_not_take_is_left_to_it() -> None:
    numbers = (torch.ones(6), torch.zeros(6), torch.zeros(6), torch.ones(6), False, 0.1, 1e-5)
    assert HEAVY["native_batch_norm"](X, *numbers) is not None
    for x in (X[0], X[:, :5], X[:, 0, 0, 0], X.double()):
        assert HEAVY["native_batch_norm"](x, *numbers) is None


def test_nothing_long_is_computed() -> None:
    x = torch.ones(1, 6, 9, 7)
    given = (x, torch.ones(6), torch.ones(6), torch.zeros(6), torch.ones(6), False, 0.1, 1e-5)
    out, *_ = run_hollow(ATEN.native_batch_norm.default, "native_batch_norm", given, {}, Memory())
    assert not out.any() and ATEN.native_batch_norm.default(*given)[0].all()
    pooled = run_hollow(ATEN.avg_pool2d.default, "avg_pool2d", (x, [3, 3]), {}, Memory())
    assert not pooled.any()


def layouts(op, args: tuple) -> list[tuple] | None:
    try:
        found = op(*args)
    except (RuntimeError, IndexError):
        return None
    return [(t.shape, t.dtype, t.is_contiguous()) for t in (found if isinstance(found, tuple) else (found,))]


TURNED = X.permute(0, 2, 3, 1)
OTHERS = {
    "add": [
        *((X, y) for y in (X, X[:, :1], X[:, :5], X.double(), 2, 2j, torch.tensor(2.0), torch.tensor(2.0).double())),
        *((X[:, :1, :, :1], X[0, :, :1]), (TURNED, TURNED), (X.int(), 0.5)),
    ],
    "mul_": [(X.clone(), X), (X.clone(), X[:, :1]), (X[:, :1].clone(), X), (X.clone(), X.double()), (X.clone(), 2)],
    "relu": [(X,), (TURNED,), (X[..., ::2],), (X.int(),), (X[:0],)],
    "_softmax": [(X, 1, False), (X, -1, False), (X, 4, False), (TURNED, 1, False), (X.int(), 1, False)],
    "mean": [(X, [2, 3], True), (X, [-1]), (X, [1, 5]), (X, []), (X.int(), [1]), (X, [0, 1, 2, 3])],
    "clone": [(X,), (TURNED,), (X.int(),)],
    "cat": [([X, X], 1), ([X, X[:, :2]], -3), ([X, X[:, :2]], 0), ([X, TURNED], 1), ([X, X.double()], 1), ([X], 7)],
    "native_layer_norm": [
        (X, [9, 7], torch.ones(9, 7), None, 1e-5),
        (X, [7], torch.ones(7), torch.ones(7), 1e-5),
        (X, [7], None, None, 1e-5),
        (X, [7], torch.ones(6), None, 1e-5),
        (TURNED, [6], torch.ones(6), None, 1e-5),
        (X, [6, 7], None, None, 1e-5),
    ],
}


@pytest.mark.parametrize("name", OTHERS)
def test_results_keep_their_shapes_types_and_order_in_memory(name: str) -> None:
    op = getattr(ATEN, name)
    computed = [HEAVY[name](*given) is None for given in OTHERS[name]]
    assert not all(computed) and any(computed)
    for given in OTHERS[name]:
        wanted = layouts(op, given)
        assert layouts(lambda *args: run_hollow(op, name, args, {}, Memory()), given) == wanted, given


def test_constants_are_computed_even_where_nothing_else_is() -> None:
    """A network may decide by numbers of its own, and nobody would notice that they were not computed."""

    def body(m: Net, x: Tensor) -> Tensor:
        table = torch.ones(2, 2) @ torch.ones(2, 2)
        return m.h(m.a(x) if table.sum() == 8 else m.b(x))

    network = capture(Net(body, a=nn.Conv2d(3, 4, 3), b=nn.Conv2d(3, 4, 3), h=head(4)), image())
    assert [g.key for g in network.groups] == ["a"]
