"""Search by a swarm of particles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from pruning_core.allocation.space import Draw, Explorer, Space, Walk
from pruning_core.knobs import Range
from pruning_core.taxonomy import Card, Data, Family, Paper

INERTIA, OWN, COMMON = 0.7, 1.5, 1.5  # usual weights; the paper's own were not read
APART = 0.1  # particles begin at most this share away from where the swarm begins
Shares = NDArray[np.float64]


def velocity(
    v: Shares, x: Shares, own: Shares, best: Shares, luck: tuple[Shares, Shares], weights: tuple[float, float, float]
) -> Shares:
    """Where a particle at ``x`` goes: on as it went, towards its ``own`` best, and towards the ``best`` of all.

    ``luck``: the two random factors; ``weights``: those of the three parts.
    """
    inertia, to_own, to_best = weights
    return inertia * v + to_own * luck[0] * (own - x) + to_best * luck[1] * (best - x)


@dataclass(frozen=True)
class Swarm(Explorer):
    r"""Particles fly through the ratios, drawn to the best place that each has seen and to the best of all.

    $v \leftarrow \omega v + c_1 r_1 (p - x) + c_2 r_2 (g - x), \quad x \leftarrow x + v$ with each particle's best
    place $p$ and the best of all $g$; all particles begin near the same place.

    When it fails: with few particles all follow the first good place that one of them found by chance.
    """

    card: ClassVar = Card(
        key="swarm",
        name="Particle swarm",
        family=Family.SEARCH,
        data=Data.LABELS,
        cost="one evaluation per trial",
        paper=Paper(
            "Automatic channel pruning via clustering and swarm intelligence optimization for CNN",
            "Chang, Lu, Xue, Xu, Wei",
            "Applied Intelligence",
            2022,
            "2101.06407",
        ),
    )

    particles: Annotated[int, Range(2, 50, "Particles", step=1)] = 6

    def start(self, space: Space) -> Shares:
        """Where the swarm begins: every group alike."""
        return np.ones(len(space.keys))

    def foresees(self, number: int) -> bool:
        return number > 1 and (number - 1) % self.particles != 0  # the swarm moves as a whole

    def walk(self, space: Space, seed: int) -> Walk:
        rng = np.random.default_rng(seed)
        even = np.ones(len(space.keys))
        best, highest = even, (yield Draw(tuple(even.tolist()))).accuracy
        swarm = self.start(space) * rng.uniform(1 - APART, 1 + APART, (self.particles, len(even)))
        swarm = np.clip(swarm, space.least, 1.0)
        going, own, reached = np.zeros_like(swarm), swarm.copy(), np.full(self.particles, -np.inf)
        while True:
            for number, x in enumerate(swarm):
                accuracy = (yield Draw(tuple(x.tolist()))).accuracy
                if accuracy > reached[number]:
                    own[number], reached[number] = x, accuracy
                if accuracy > highest:
                    best, highest = x.copy(), accuracy
            luck = rng.random(swarm.shape), rng.random(swarm.shape)
            going = velocity(going, swarm, own, best, luck, (INERTIA, OWN, COMMON))
            swarm = np.clip(swarm + going, space.least, 1.0)
