"""What a method is made of: phases, each frozen data, so that a timeline can be drawn before anything runs.

A new phase is a class here, a name in ``Phase``, and a case in :mod:`.perform`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pruning_core.allocation.base import Allocation
from pruning_core.allocation.budget import Budget
from pruning_core.allocation.limits import Limits
from pruning_core.allocation.lowest import ROUNDING
from pruning_core.allocation.search import Search
from pruning_core.criteria import Criterion
from pruning_core.errors import UserError
from pruning_core.graph import Plan
from pruning_core.methods.judgement import Judgement
from pruning_core.methods.rebuilding import Rebuilding
from pruning_core.methods.saliency import Saliency
from pruning_core.sparsity.patterns import Pattern
from pruning_core.training.config import FineTune
from pruning_core.training.hooks import HookSpec
from pruning_core.training.loop import Keep
from pruning_core.training.loss import ObjectiveSpec


@dataclass(frozen=True)
class Train:
    """Train with ``hooks`` for a ``share`` of the program's epochs, as the program's settings say.

    ``objective`` None is the loss that goes with what the data are judged by. ``keep``: the weights of the epoch that
    was best on held-out images, or the last ones, which a method needs that shapes the weights while it trains.
    ``longer``: so many times as many epochs as the settings give it. ``name`` is what a person calls it.
    """

    share: float = 1.0
    hooks: tuple[HookSpec, ...] = ()
    objective: ObjectiveSpec | None = None
    keep: Keep = "best"
    name: str = ""
    longer: float = 1.0


@dataclass(frozen=True)
class Widths:
    """So many channels of the network that the program began with are gone afterwards, by group key."""

    counts: Mapping[str, int]


@dataclass(frozen=True)
class Within:
    """The least removal of ``allocation`` that keeps to ``budget``, its fraction is of the program's first network."""

    allocation: Allocation
    budget: Budget
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Zeros:
    """Exactly the channels whose importance is zero go: what a hook has closed by itself."""


@dataclass(frozen=True)
class Learnt:
    """Judge channels by what the hooks of the training before have learnt: (C,) by group key, higher is kept."""


@dataclass(frozen=True)
class Cut:
    """Judge the channels of the network as it is now, and really remove the least important ones."""

    by: Criterion | Learnt
    to: Widths | Within | Zeros
    name: str = ""


@dataclass(frozen=True)
class Apply:
    """Really remove exactly these units, counted in the network as it is now."""

    plan: Plan
    name: str = ""


@dataclass(frozen=True)
class Recover:
    """Measure batch-norm statistics anew on ``images`` fitted images; no weight changes."""

    images: int = 512
    name: str = ""


@dataclass(frozen=True)
class Mend:
    """Refit by least squares what reads the channels that were cut since weights changed last, on fitted images.

    The aim is what the network wrote before those cuts. Nothing happens where nothing was cut since.
    """

    images: int = 128
    positions: int = 64
    name: str = ""


@dataclass(frozen=True)
class Absorb:
    """Hand what the channels that were cut gave on average to the layers that read it, on fitted images.

    It goes into their biases, or the statistics of the norm behind them; no weight changes. Exact for channels that are
    constant, but where padding lets them end. Source: Ye, Lu, Lin, Wang, ICLR 2018 (arXiv 1802.00124).
    """

    images: int = 128
    positions: int = 64
    name: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Remember the network as it is now under a key: to rewind to, or as the teacher of an objective."""

    key: str
    name: str = ""


@dataclass(frozen=True)
class Rewind:
    """Give every weight the value that it had at a snapshot; what was removed since stays removed.

    ``zeros``: what has become zero since stays zero too.
    """

    key: str
    zeros: bool = False
    name: str = ""


@dataclass(frozen=True)
class Mask:
    """Set the least salient weights to zero, as ``pattern`` groups them, until the others keep to a budget.

    Its fraction is of the program's first network; MACs count the products whose weight is not zero. ``rounds``: the
    weights are judged anew that often on the way. Only a training with ``ZerosStay`` keeps them zero.
    """

    pattern: Pattern
    saliency: Saliency
    to: Budget
    rounds: int = 1
    name: str = ""


@dataclass(frozen=True)
class Judge:
    """Have ``by`` look at the network and at so many fitted images; it decides a later ``Cut`` by ``Learnt``."""

    by: Judgement
    images: int = 128
    name: str = ""


@dataclass(frozen=True)
class FindWidths:
    """Try widths on held-out images, each with new batch-norm statistics. Nothing is removed yet.

    ``by`` says which channels go first. Learnt is what the best network within ``budget`` does without: 0 for those
    channels, 1 for the others. Its fraction is of the program's first network.
    """

    by: Criterion | Learnt
    search: Search
    budget: Budget
    images: int = 256
    statistics: int = 256
    name: str = ""


@dataclass(frozen=True)
class Diversify:
    """Give that share of every layer's filters new weights: those most like another one, each in its own direction."""

    share: float = 0.1
    name: str = ""


@dataclass(frozen=True)
class Reinitialise:
    """Draw all weights anew, by the program's seed; statistics of norms are forgotten."""

    name: str = ""


@dataclass(frozen=True)
class Rebuild:
    """Change the build of the network, not the widths of its layers, until it keeps to a budget of the first one."""

    how: Rebuilding
    to: Budget
    name: str = ""


Phase = (
    Train
    | Cut
    | Apply
    | Recover
    | Mend
    | Absorb
    | Snapshot
    | Rewind
    | Mask
    | Reinitialise
    | Judge
    | FindWidths
    | Diversify
    | Rebuild
)


def shared_out(config: FineTune, shares: Sequence[float]) -> tuple[int, ...]:
    """Whole epochs for trainings with these shares of them, at least one each.

    What cannot be divided goes to the last ones, where the cuts hurt most. Raises UserError when there are too few, and
    for settings that count minutes.
    """
    epochs = config.epochs
    if config.minutes or not epochs:
        raise UserError("Pruning in steps shares out epochs. Set a number of epochs, and no minutes.")
    if epochs < len(shares):
        raise UserError(
            f"{epochs} epochs cannot be shared out among {len(shares)} steps. Choose at least {len(shares)} epochs, "
            "or fewer steps."
        )
    spare = epochs - len(shares)
    found = [1 + math.floor(spare * share / sum(shares) + ROUNDING) for share in shares]
    rest = epochs - sum(found)
    return tuple(each + (place >= len(found) - rest) for place, each in enumerate(found))


def settings(phases: Sequence[Phase], config: FineTune) -> dict[int, FineTune]:
    """The settings of every training, by the number of its phase: its own epochs and its own seed.

    A single training has them as they are. Raises UserError when the epochs cannot be shared out.
    """
    trainings = {number: phase for number, phase in enumerate(phases) if isinstance(phase, Train)}
    if len(trainings) < 2:
        return {number: _longer(config, phase.longer) for number, phase in trainings.items()}
    epochs = shared_out(config, [phase.share for phase in trainings.values()])
    return {
        number: _longer(replace(config, epochs=own, seed=config.seed + place), phase.longer)
        for place, ((number, phase), own) in enumerate(zip(trainings.items(), epochs))
    }


def _longer(config: FineTune, times: float) -> FineTune:
    return replace(config, epochs=math.floor(config.epochs * times + ROUNDING)) if times != 1 else config
