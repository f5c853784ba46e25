"""Three ways to get the outputs of a pruned network for a batch, from fastest to most general."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan, remove, silence, silenced_tensors
from pruning_core.graph.removing.silent import holding, reaches_back
from pruning_core.measuring.evaluate import default_batch_size
from pruning_core.measuring.forward import outputs_for, ready
from pruning_core.numeric.outputs import Takes
from pruning_core.replay.recheck import error_of, rechecked
from pruning_core.replay.replay import PACKED_BYTES, NotReplayable, Replay, Variant
from pruning_core.replay.steps import record_steps

BATCH_BYTES = 1 << 29  # kept activations of one batch
# of one activation on the CPU: larger pieces of memory come fresh from the system every time, and its pages cost more
# than the products that fill them (the C library's limit is 32 MB)
PIECE_BYTES = 24 << 20

Removal = tuple[str, tuple[int, ...]]  # (group key, units removed)
# What else a removal changes: parameters and buffers by name, whole, with zeros where removed units were read.
Refit = Callable[[Removal], Mapping[str, Tensor]]


def as_it_is(removal: Removal) -> Mapping[str, Tensor]:
    """Nothing else: what is left keeps its values."""
    return {}


class Scorer(Protocol):
    """``begin`` runs the unpruned network on a batch (n, C, H, W); ``scores`` a pruned one on the same batch.

    Both return the outputs (n, …), float32 on the CPU. ``at_once``: how many images a batch may have. ``share``: what
    a removal from one group costs, as a share of the whole network. ``refusal``: why no channel of a group can really
    be removed, or "": what nobody can remove has no accuracy.
    """

    @property
    def at_once(self) -> int: ...
    def share(self, group: str) -> float: ...
    def refusal(self, group: str) -> str: ...
    def begin(self, x: Tensor) -> Tensor: ...
    def scores(self, removal: Removal) -> Tensor: ...


class WholeScorer:
    """Silences (in exact groups) or really removes, and runs the whole network. Works for every network."""

    def __init__(
        self, model: nn.Module, network: Network, device: str, refit: Refit = as_it_is, *, takes: Takes = Takes.MAIN
    ) -> None:
        self.model, self.network, self.device = ready(model, device), network, device
        self._given, self.refit, self.takes = model, refit, takes
        self.x: Tensor = torch.empty(0)
        (shape,) = network.example_shapes[:1]
        self.at_once = min(256, default_batch_size(tuple(shape[1:]), device))

    def share(self, group: str) -> float:
        return 1.0

    def refusal(self, group: str) -> str:
        """Found out by removing one channel: silencing works where removal does not."""
        try:
            remove(self._given, self.network, Plan({group: (0,)}))
        except UserError as error:
            return str(error)
        return ""

    def begin(self, x: Tensor) -> Tensor:
        self.x = x.to(self.device)
        return outputs_for(self.model, self.x, self.takes).float().cpu()

    def scores(self, removal: Removal) -> Tensor:
        key, units = removal
        plan = Plan({key: units})
        if self.network.group(key).exact:
            anew = {name: tensor.to(self.device) for name, tensor in self.refit(removal).items()}
            pruned = self._silent(plan, anew)
        else:
            pruned = remove(self._given, self.network, plan).model.eval().to(self.device)
        return outputs_for(pruned, self.x, self.takes).float().cpu()

    def _silent(self, plan: Plan, anew: Mapping[str, Tensor]) -> nn.Module:
        """A copy, because networks may keep what they make of their weights."""
        if self._bound:
            return silence(self._given, self.network, plan, anew).to(self.device)
        return holding(self.model, silenced_tensors(self.model, self.network, plan, anew), lent=True)

    @cached_property
    def _bound(self) -> bool:
        """Whether code of the network holds on to the very object, so that copies run the original."""
        return reaches_back(holding(self._given, {}), self._given, self.network)


class ReplayScorer:
    """Computes only what a removal changes. Groups that cannot be replayed go to ``fallback``."""

    def __init__(self, replay: Replay, groups: Sequence[str], fallback: WholeScorer) -> None:
        self.replay, self.fallback = replay, fallback
        self.keep = replay.needed(groups)
        self.variants: OrderedDict[Removal, Variant | None] = OrderedDict()
        self.bytes = 0
        self.base: dict[int, Tensor] = {}
        self.base_scores = torch.empty(0)
        self.images = 0
        self.bytes_per_image = replay.bytes_per_image(self.keep)
        self.largest = max((replay.bytes_per_image([r]) for r in replay.sizes if replay.per_image(r)), default=1)
        self.at_once = fitting(self.bytes_per_image, self.largest, replay.device.type)

    def share(self, group: str) -> float:
        return self.replay.share(group)

    def refusal(self, group: str) -> str:
        """Whose numbers the steps rewrite, a program's are rewritten as well."""
        return "" if self.replay.suffix(group) is not None else self.fallback.refusal(group)

    def begin(self, x: Tensor) -> Tensor:
        self.images = len(x)
        self.base = {}
        self.base_scores, self.base = self.replay.forward(x, self.keep)
        self.fallback.x = x.to(self.fallback.device)
        return self.base_scores.float().cpu()

    def scores(self, removal: Removal) -> Tensor:
        variant = self.variant(removal)
        if variant is None:
            return self.fallback.scores(removal)
        return self.replay.scores(variant, self.base, self.images, self.base_scores).float().cpu()

    def some(self, removal: Removal, rows: Tensor) -> Tensor:
        """Scores of some images of the batch only; ``rows`` (m,) int64."""
        variant = self.variant(removal)
        if variant is None:
            return self.fallback.scores(removal)[rows]
        base = {
            r: self.base[r].index_select(0, rows.to(self.base[r].device)) if self.replay.per_image(r) else self.base[r]
            for r in variant.suffix.reads
        }
        return self.replay.scores(variant, base, len(rows), self.base_scores[rows]).float().cpu()

    def variant(self, removal: Removal) -> Variant | None:
        """Sliced weights are kept for the next batch, the least recently used given up first."""
        if removal in self.variants:
            self.variants.move_to_end(removal)
            return self.variants[removal]
        variant = self.variants[removal] = self.replay.variant(*removal, self.fallback.refit(removal))
        self.bytes += _size(variant)
        while self.bytes > PACKED_BYTES and len(self.variants) > 1:
            _, old = self.variants.popitem(last=False)
            self.bytes -= _size(old)
        return variant


def _size(variant: Variant | None) -> int:
    return 0 if variant is None else sum(t.numel() * t.element_size() for t in variant.weights.values())


@dataclass
class CheckedScorer:
    """Quick arithmetic first; images whose two best classes are too close to trust it are computed again precisely.

    See ``recheck`` for what is too close.
    """

    fast: ReplayScorer
    full: ReplayScorer
    error: float = 0.0  # of the unpruned network's scores
    errors: dict[Removal, float] = field(default_factory=dict)  # of removals, on the images before

    @property
    def at_once(self) -> int:
        return fitting(self.fast.bytes_per_image + self.full.bytes_per_image, self.full.largest, "cpu")

    def share(self, group: str) -> float:
        return self.full.share(group)

    def refusal(self, group: str) -> str:
        return self.full.refusal(group)

    def begin(self, x: Tensor) -> Tensor:
        rough = self.fast.begin(x)
        sure = self.full.begin(x)
        self.error = error_of(rough, sure)
        return sure

    def scores(self, removal: Removal) -> Tensor:
        rough, known = self.fast.scores(removal), self.errors.get(removal)
        scores, self.errors[removal] = rechecked(rough, self.error, lambda rows: self.full.some(removal, rows), known)
        return scores


def fitting(bytes_per_image: int, largest: int, device: str) -> int:
    """The largest power of two of images, within limits, for which the memory is there and quick.

    ``bytes_per_image`` is what is kept of an image, ``largest`` its largest activation.
    """
    images = BATCH_BYTES // max(1, bytes_per_image)
    if device == "cpu":
        images = min(images, PIECE_BYTES // max(1, largest))
    return max(4, min(most(device), 1 << max(0, images.bit_length() - 1)))


def most(device: str) -> int:
    """Images at once, beyond which nothing gets faster."""
    return 512 if device == "cpu" else 2048


def make_scorer(
    model: nn.Module,
    network: Network,
    example: Tensor,
    groups: Sequence[str],
    device: str,
    *,
    rough: bool,
    refit: Refit = as_it_is,
    decides: bool = True,
    takes: Takes = Takes.MAIN,
) -> Scorer:
    """The fastest scorer that this network and device allow; ``rough`` accepts quick arithmetic without rechecking.

    ``decides``: only which of the outputs (n, K) is the largest matters. Where the numbers themselves do, nothing
    quicker than what can be trusted is taken. ``takes``: which outputs are wanted. ``refit`` says
    what a removal from an exact group changes beside what it takes away.
    """
    whole = WholeScorer(model, network, device, refit, takes=takes)
    if not any(network.group(key).exact for key in groups):
        return whole
    try:
        recorded = record_steps(model, network, example, takes=takes)
        quick = Replay.quick(model, network, example, device=device, recorded=recorded) if decides else None
        fast = None if quick is None else ReplayScorer(quick, groups, whole)
        if rough and fast is not None:
            return fast
        trusted = Replay.trusted(model, network, example, device=device, recorded=recorded)
        full = ReplayScorer(trusted, groups, whole)
        return full if fast is None else CheckedScorer(fast, full)
    except NotReplayable:
        return whole
