"""Looking at what a stranger's network would do, before any of it is done.

The network runs on tensors that have shapes and no numbers, so nothing is computed and nothing is filled; a watcher
counts what the real run would hold and do, and stops at the first thing that is too large. Only small tensors that do
not come from the images are real: the sizes with which a graph reshapes.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

from pruning_core.errors import UserError
from pruning_core.storage.memory import free_memory

SMALL = 4096  # numbers of a tensor that is computed although nobody has judged it yet
RANK = 16
IMAGE_NUMBERS = 1 << 24  # of one image: 64 MiB; a dozen of them are held while a network is looked at
MOST_STEPS = 8_000  # operators of a graph: the largest networks of the usual libraries have 5,000, 5 ms each to look at
CALLS = 200_000
SHARE = 4  # of the free memory, for the activations of two images
MOST_BYTES = 8 << 30
# Multiplications, and numbers read or written: seconds on one core. A network with more weights may do more.
WORK, WORK_PER_WEIGHT, MOST_WORK = 2e10, 2e5, 4e12
# They look where everything lies before anybody can say otherwise.
LOOKING = ("lstm", "gru", "rnn_tanh", "rnn_relu", "scaled_dot_product_attention")
POOLS = ("max_pool", "avg_pool", "lp_pool")


class NotJudged(Exception):
    """Some operator decides by numbers, or says nothing of its shapes: what it does cannot be known before."""


class TooMuch(Exception):
    """A sentence's end: what the network would need, and what there is."""


@dataclass(frozen=True)
class Limits:
    """``held``: bytes at one time. ``work``: multiplications and numbers touched. ``calls``: operators."""

    held: float
    work: float
    calls: int = CALLS

    @staticmethod
    def none() -> Limits:
        """For what was judged before."""
        return Limits(math.inf, math.inf)

    @staticmethod
    def of(model: nn.Module) -> Limits:
        """What is fair for a network with so many weights, on this machine, now."""
        weights = sum(tensor.numel() for tensor in tensors_of(model).values())
        return Limits(min(free_memory() / SHARE, MOST_BYTES), min(WORK + WORK_PER_WEIGHT * weights, MOST_WORK))


def check_image(size: tuple[int, ...], name: str) -> None:
    """Raises UserError when one image (C, H, W) is larger than any that is looked at here."""
    if min(size) < 1 or math.prod(size) > IMAGE_NUMBERS:
        shown = " x ".join(f"{n:,}" for n in size)
        raise UserError(f"{name} takes images of {shown} numbers; at most {IMAGE_NUMBERS:,} numbers an image are read.")


def watched(model: nn.Module, run: Callable[[], Any], limits: Limits) -> Any:
    """``run()``, which runs ``model`` on tensors of the meta device, with everything large kept from happening.

    Raises TooMuch at the first operator that is, NotJudged where that cannot be known, else what the network raises.
    """
    with torch.no_grad(), _NumbersAreReal(), Watch(limits, tensors_of(model)):
        return run()


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


class Watch(TorchDispatchMode):
    """Runs operators on shapes alone, and counts."""

    def __init__(self, limits: Limits, own: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.limits = limits
        self.own = {tensor.untyped_storage().data_ptr() for tensor in own.values()}
        self.calls, self.work, self.held = 0, 0.0, 0
        self._users: Counter[int] = Counter()  # storage -> tensors that keep it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.calls += 1
        if self.calls > self.limits.calls:
            raise TooMuch(f"runs more than {self.limits.calls:,} operators")
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        real = all(tensor.device.type != "meta" for tensor in given)
        little = real and sum(tensor.numel() for tensor in given) <= SMALL
        reads = torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags
        if reads and little:
            return func(*args, **kwargs)
        shapes, keywords = tree_map(_without_numbers, (args, _on_meta(func, kwargs)))
        try:
            out = func(*shapes, **keywords)
        except (NotImplementedError, RuntimeError) as error:
            if reads or isinstance(error, NotImplementedError):
                raise NotJudged(_name(func)) from error
            raise
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self._judge(func, shapes, keywords, out, made)
        writes = func._schema.is_mutable and any(t.untyped_storage().data_ptr() in self.own for t in given[:1])
        if little and not writes and sum(tensor.numel() for tensor in made) <= SMALL:
            return func(*args, **kwargs)
        if func._schema.is_mutable and given and not real and given[0].device.type == "meta":
            return args[0] if isinstance(args[0], Tensor) and len(made) == 1 else out
        for tensor in made:
            self._hold(tensor)
        return out

    def _judge(self, func: Any, args: Any, kwargs: Any, out: Any, made: list[Tensor]) -> None:
        for tensor in made:
            if tensor.dim() > RANK:
                raise TooMuch(f"makes a tensor of {tensor.dim()} dimensions")
            size = tensor.untyped_storage().nbytes()
            if size + self.held > self.limits.held and tensor.untyped_storage()._cdata not in self._users:
                raise TooMuch(_memory(size + self.held, self.limits.held))
        self.work += _work(func, args, kwargs, out, made)
        if self.work > self.limits.work:
            raise TooMuch(
                f"multiplies or moves more than {self.limits.work:.0e} numbers for two images, which its few weights "
                "do not explain"
            )

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if not self._users[key]:
            self.held += size
        self._users[key] += 1
        weakref.finalize(tensor, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key]
            self.held -= size


class _NumbersAreReal(TorchFunctionMode):
    """Numbers that the network's code writes down are kept, wherever it wants them to lie; recurrent layers and
    attention get all that they read without numbers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.scalar_tensor):
            kwargs.pop("device", None)
        if getattr(func, "__name__", "").partition(".")[0] in LOOKING:
            args, kwargs = tree_map(_without_numbers, (args, kwargs))
        return func(*args, **kwargs)


def _without_numbers(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.device.type == "meta":
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _on_meta(func: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    if any(argument.name == "device" for argument in func._schema.arguments):
        return {**kwargs, "device": torch.device("meta")}
    return dict(kwargs)


def _work(func: Any, args: Any, kwargs: Any, out: Any, made: list[Tensor]) -> float:
    touched = sum(tensor.numel() for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor))
    touched += sum(tensor.numel() for tensor in made)
    packet = func._overloadpacket
    if packet in flop_registry:
        return float(flop_registry[packet](*args, **kwargs, out_val=out) / 2 + touched)
    name = _name(func)
    if any(pool in name for pool in POOLS) and "adaptive" not in name and len(args) > 1:
        window = args[1] if isinstance(args[1], list | tuple) else [args[1]]
        return float(made[0].numel() * math.prod(window) + touched)
    if name.startswith("linalg_"):
        return float(touched * max(made[0].shape or (1,)) ** 2)
    return float(touched)


def _name(func: Any) -> str:
    return str(func._schema.name.split("::")[-1])


def _memory(wanted: float, left: float) -> str:
    return f"holds {wanted / 2**30:,.1f} GiB at once for two images, where {left / 2**30:.1f} GiB can be spared"
