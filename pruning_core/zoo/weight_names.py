"""What the names in a checkpoint tell: which tools wrapped the network, what is company, what is an average."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

WRAPPERS = ("state_dict", "model_state_dict", "net", "model", "weights", "params", "network", "module")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "_model.")
"""Around every name: DataParallel, torch.compile, Lightning and people's own habits."""
INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.")
"""Wherever a module was compiled, sharded or checkpointed."""
COUNTED = re.compile(r"(?:^|\.)total_(?:ops|params)$")  # a profiler's own buffers
RENAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    # DenseNet as torchvision saved it before version 0.3
    (re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)"), r"\1\2"),
)
AVERAGE = re.compile(
    r"(?i)(?:^|[._])(?:ema|averag\w*|avg|swa|teacher|shadow|momentum|mean_teacher|target|encoder_k|key_encoder)"
    r"(?:$|[._0-9])|ema$"
)
OPTIMIZERS = re.compile(
    r"(?i)^(?:optim\w*|\w*optimi[sz]ers?(?:_state\w*)?|\w*schedulers?|\w*sched|\w*scaler|exp_(?:avg|inf)\w*|max_exp_avg_sq|"
    r"momentum_buffer|square_avg|acc_delta|grads?|gradients?|step)$"
)
"""What an optimizer keeps: shaped as the weights, and none."""
COMPANY = re.compile(
    r"(?i)^(?:criterion\w*|loss\w*|\w*_loss|\w*losses|(?:train|val|valid|test)_\w+|metrics?|\w*_metrics?|"
    r"aux\w*|\w*projector|proj|projection\w*|proj_head|predictor|\w*queue(?:_ptr)?|center|"
    r"mean|std|pixel_mean|pixel_std|n_averaged|num_updates|decay)$"
)
"""What stands beside a network and is no part of it; asked only where the whole fits no architecture."""


def optimizers(name: str) -> bool:
    """Whether this key leads to what an optimizer or scheduler keeps."""
    return OPTIMIZERS.match(name) is not None


def company(name: str) -> bool:
    """Whether this key, or the first part of this one, names what accompanies weights in training."""
    return optimizers(name) or COMPANY.match(name) is not None


def average(names: Sequence[str | int]) -> bool:
    """Whether one of these names says that the weights are an average over training."""
    return any(AVERAGE.search(name) is not None for name in names if isinstance(name, str))


def plain(path: Sequence[str | int]) -> int:
    """How usual the place is for the weights themselves: the file itself, then the usual keys, then others."""
    if not path:
        return 0
    return 1 + min((WRAPPERS.index(name) for name in map(str, path) if name in WRAPPERS), default=len(WRAPPERS))


@dataclass(frozen=True)
class Unwrapped:
    """Names without what tools wrap around them; "" for a profiler's counter.

    prefix: what stood before every name; words: what stood inside some.
    """

    names: tuple[str, ...]
    prefix: str
    words: tuple[str, ...]
    notes: tuple[str, ...]


def unwrapped(names: tuple[str, ...]) -> Unwrapped:
    """``names``, as many and in the same order, as the network itself calls its weights."""
    notes: list[str] = []
    removed, again = "", True
    while again and names:
        again = False
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in names):
                names = tuple(name.removeprefix(prefix) for name in names)
                removed += prefix
                notes.append(f"prefix {prefix!r} removed")
                again = True
    words = tuple(word for word in INSIDE if any(f".{name}".find(f".{word}") >= 0 for name in names))
    shorter = names
    for word in words:
        shorter = tuple(name.replace(word, "") for name in shorter)
    if len(set(shorter)) == len(names):
        names = shorter
        notes += [f"{word!r} removed from names" for word in words]
    else:
        words = ()
    if any(COUNTED.search(name) for name in names):
        notes.append("a profiler's counters left out")
        names = tuple("" if COUNTED.search(name) else name for name in names)
    return Unwrapped(names, removed, words, tuple(notes))


def older(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(old names as they are today, notes)."""
    notes: list[str] = []
    for pattern, replacement in RENAMES:
        if any(pattern.fullmatch(name) for name in names):
            names = tuple(pattern.sub(replacement, name) for name in names)
            notes.append("old key names brought up to date")
    return names, tuple(notes)
