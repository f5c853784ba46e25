"""What a witness knows of operators: what they write, whether they draw random numbers, and what closes behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# behind a closed one of these a mistake could not be seen: rectifiers, and what saturates or rounds
RECTIFYING = frozenset({"relu", "hardswish", "silu", "gelu", "elu", "mish", "softplus", "threshold", "clamp_min"})
BOUNDED = frozenset(
    {"hardtanh", "hardsigmoid", "sigmoid", "tanh", "clamp", "clamp_max", "sign", "round", "floor", "ceil", "trunc"}
)
LEAK = 0.2  # of what goes in comes out besides; of its logarithm where gates are made, which multiply
STILL: dict[str, float] = {"bernoulli": 1.0, "native_dropout": 1.0}  # and a half for every other
INWARDLY_RANDOM = ("attention", "rrelu", "rnn", "lstm", "gru")  # they draw inside, when told to
QUIET: dict[str, Any] = {"dropout_p": 0.0, "training": False}


@dataclass(frozen=True)
class Facts:
    name: str
    written: frozenset[int]  # positions of arguments that it writes into
    filled: frozenset[str]  # names of those that are given by name, as ``out`` is
    view: bool  # its result may share memory with what it reads
    quiet: tuple[tuple[int, Any], ...]  # arguments that make it draw random numbers inside, and what keeps it from it
    random: bool
    pointwise: bool
    closing: Callable[[Tensor], Tensor] | None  # what leaks through it


@lru_cache(maxsize=2048)
def facts_of(op: Any) -> Facts:
    name = op._schema.name.split("::")[-1]
    marked = [i for i, a in enumerate(op._schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
    return Facts(
        name,
        frozenset([*marked, 3, 4] if name in ("native_batch_norm", "cudnn_batch_norm") else marked),
        frozenset(op._schema.arguments[i].name for i in marked),
        not marked and any(r.alias_info is not None for r in op._schema.returns),
        tuple(
            (i, QUIET[a.name])
            for i, a in enumerate(op._schema.arguments)
            if a.name in QUIET and any(part in name for part in INWARDLY_RANDOM)
        ),
        torch.Tag.nondeterministic_seeded in op.tags and not any(part in name for part in INWARDLY_RANDOM),
        torch.Tag.pointwise in op.tags or name in ("mul", "mul_", "div", "div_", "add", "add_"),
        _in_part if name.rstrip("_") in RECTIFYING else _by_size if name.rstrip("_") in BOUNDED else None,
    )


def _in_part(value: Tensor) -> Tensor:
    return value * LEAK


def _by_size(value: Tensor) -> Tensor:
    return value.abs().log1p().copysign_(value).mul_(LEAK)


def held_still(op: Any, facts: Facts, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The operator's result with every number the same: networks of other widths would draw others."""
    name = facts.name.rstrip("_")
    if name == "native_dropout":
        return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)
    out = op(*args, **kwargs)
    if name == "randperm":
        return torch.arange(len(out), dtype=out.dtype, device=out.device)
    for value in out if isinstance(out, tuple | list) else (out,):
        if value.is_floating_point():
            value.fill_(STILL.get(name.removesuffix("_"), 0.5))
        elif value.numel():
            value.zero_() if value.dtype != torch.bool else value.fill_(True)
    return out
