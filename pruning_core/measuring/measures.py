"""What was measured, as frozen records: every number with the images, device and interval behind it.

Without torch, so that a page can show stored results before torch is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

TOP1 = "top1"  # the key of the measure that the records are of where they name no other


@dataclass(frozen=True)
class Accuracy:
    """What a network's outputs for some images are worth by ``measure``, with the 95 % interval of ``top1``.

    ``top1`` is the value of the measure; it bears the name of the first one, the share of images classified correctly,
    so that stored runs stay readable. ``top5`` is None where nothing of the kind is measured, and with fewer than six
    classes: it could not be wrong. ``loss`` is the mean of what a training towards the measure minimises (of classes:
    the cross-entropy, in nats). ``whole``: the difference of values that counts as one, of which tolerances are shares.
    ``images`` of ``total`` were seen, so that ``images < total`` marks a partial result.
    """

    top1: float
    top5: float | None
    loss: float
    images: int
    low: float
    high: float
    total: int
    dataset: str
    seconds: float
    measure: str = TOP1
    whole: float = 1.0

    @property
    def complete(self) -> bool:
        return self.images == self.total

    def no_better_than_guessing(self, classes: int) -> bool:
        """True when guessing among ``classes`` would do as well, or better, inside the interval."""
        return self.low <= 1 / classes


@dataclass(frozen=True)
class Drop:
    """How much worse by ``measure`` one network is than another on the same ``images``; positive is worse.

    Where images are right or wrong, ``lost`` images were right before and wrong after, ``gained`` the other way round.
    ``low`` and ``high`` bound the drop with 95 % confidence.
    """

    drop: float
    low: float
    high: float
    lost: int
    gained: int
    images: int
    measure: str = TOP1

    @property
    def within_noise(self) -> bool:
        """True when no difference at all is inside the interval."""
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True)
class Latency:
    """Time of one forward pass of one batch: median and 10th/90th percentile over ``runs`` timed passes, in ms.

    ``compiled``: of what torch.compile made of the network; compiling itself is not in it.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int
    batch_size: int
    device: str
    threads: int
    compiled: bool = False


@dataclass(frozen=True)
class AverageMacs:
    """MACs that one image needs in a network whose gates open image by image, counted while ``images`` ran.

    The mean, and the 10th and 90th percentile over images.
    """

    mean: float
    p10: float
    p90: float
    images: int
    dataset: str


@dataclass(frozen=True)
class Cell:
    """One cell of a sensitivity sweep: ``top1``, the value of ``measure`` with ``removed`` channels of ``group`` gone.

    ``ratio`` is the fraction removed, in [0, 1). ``low`` and ``high`` bound ``top1``; ``drop`` is against the unpruned
    network on the same images, bounded by ``drop_low`` and ``drop_high`` (all 95 %). ``exact`` says that every image of
    the evaluation set was run at full precision; otherwise the cell is an estimate from ``images`` of them.
    ``lost`` images were right before and wrong after, ``gained`` the other way round: with ``images``, and ``skipped``
    that the sweep had seen before it came to this cell, they are what a stopped sweep needs to go on.
    ``between`` names the ratios of two cells that lose about the same. A cell between them without images is estimated
    from theirs; one with images was measured to see how good such estimates are.
    ``mended``: weights that read the group were refitted before.
    """

    group: str
    ratio: float
    removed: int
    top1: float
    top5: float | None
    images: int
    low: float
    high: float
    drop: float
    drop_low: float
    drop_high: float
    lost: int
    gained: int
    exact: bool
    seconds: float
    skipped: int = 0
    between: tuple[float, float] | None = None
    mended: bool = False
    measure: str = TOP1

    @property
    def within_noise(self) -> bool:
        """True when no drop at all is inside the interval."""
        return self.drop_low <= 0.0 <= self.drop_high

    @property
    def estimated(self) -> bool:
        return self.images == 0
