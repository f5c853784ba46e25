"""Search by simulated annealing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from pruning_core.allocation.space import Draw, Explorer, Space, Walk
from pruning_core.knobs import Range
from pruning_core.taxonomy import Card, Data, Family, Paper

HOT, COLD = 100.0, 20.0
SCALE = 1e-4  # our choice: with accuracy in [0, 1] an unscaled temperature accepts everything


@dataclass(frozen=True)
class Annealing(Explorer):
    r"""Change the accepted network a little; sometimes accept a worse one.

    Changes the ratios of the last accepted network, less and less as the temperature falls from 100 to 20.

    A worse network is accepted with probability exp(-drop / (temperature * 1e-4)).

    $P(\text{accept}) = e^{-\Delta / (T\cdot 10^{-4})}$

    When it fails: one walk sees one valley: another seed may end elsewhere.
    """

    card: ClassVar = Card(
        key="annealing",
        name="Simulated annealing",
        family=Family.SEARCH,
        data=Data.LABELS,
        cost="one evaluation per trial",
        paper=Paper(
            "AutoCompress: An Automatic DNN Structured Pruning Framework for Ultra-High Compression Rates",
            "Liu, Ma, Xu, Wang, Tang, Ye",
            "AAAI",
            2020,
            "1907.03141",
        ),
    )

    step: Annotated[float, Range(0.05, 0.5, "Largest change of a ratio", 0.05)] = 0.35

    def walk(self, space: Space, seed: int) -> Walk:
        rng = np.random.default_rng(seed)
        accepted = yield Draw((1.0,) * len(space.keys))
        cooling = (COLD / HOT) ** (1 / max(1, space.trials - 1))
        temperature = HOT
        while True:
            kept = np.array([1 - accepted.ratios.get(key, 0.0) for key in space.keys])
            change = rng.uniform(-self.step, self.step, len(kept)) * temperature / HOT
            luck = rng.random()
            trial = yield Draw(tuple(np.clip(kept + change, space.least, 1.0).tolist()))
            drop = (accepted.accuracy - trial.accuracy) / space.whole
            if drop < 0 or luck < math.exp(-drop / (temperature * SCALE)):
                accepted = trial
            temperature *= cooling
