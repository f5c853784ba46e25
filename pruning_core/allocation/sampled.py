"""Searches whose next draw Optuna's samplers choose.

Optuna takes half a second to import, and nobody needs it before a search begins: so not when the registry is read.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning_core.allocation.space import Draw, Explorer, Space, Walk
from pruning_core.knobs import Range
from pruning_core.taxonomy import Card, Data, Family, Paper

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Sampled(Explorer):
    """Asks a sampler for shares and tells it the accuracy; without a budget, the MACs too."""

    pareto: ClassVar[bool] = True

    @abstractmethod
    def sampler(self, seed: int) -> optuna.samplers.BaseSampler: ...

    def walk(self, space: Space, seed: int) -> Walk:
        import optuna

        up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would report every trial on the console
        goals = (up,) if space.budgeted else (up, down)
        study = optuna.create_study(sampler=self.sampler(seed), directions=goals)
        shares: dict[str, optuna.distributions.BaseDistribution] = {
            key: optuna.distributions.FloatDistribution(space.least, 1.0) for key in space.keys
        }
        study.enqueue_trial(dict.fromkeys(space.keys, 1.0))
        while True:
            asked = study.ask(shares)
            trial = yield Draw(tuple(asked.params[key] for key in space.keys))
            study.tell(asked, [trial.accuracy, trial.macs][: len(goals)])


@dataclass(frozen=True)
class RandomWidths(Sampled):
    r"""Draw the width of every group at random, keep the best network.

    Independent uniform shares for every group: a strong baseline that every search must beat.

    $u_l \sim \mathcal U(u_{\min}, 1),\quad k_l = \min(C_l, \lambda u_l C_l)$

    When it fails: with many groups the draws crowd around the same average network.
    """

    card: ClassVar = Card(
        key="random-cp",
        name="Random widths",
        family=Family.SEARCH,
        data=Data.LABELS,
        cost="one evaluation per trial",
        paper=Paper(
            "Revisiting Random Channel Pruning for Neural Network Compression",
            "Li, Adamczewski, Li, Gu, Timofte, Van Gool",
            "CVPR",
            2022,
            "2205.05676",
        ),
        builds_on=("scratch-b",),
    )

    def foresees(self, number: int) -> bool:
        return True

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        import optuna

        return optuna.samplers.RandomSampler(seed=seed)


@dataclass(frozen=True)
class Tpe(Sampled):
    r"""Learn from the trials so far where good ones lie, and try there next.

    Tree-structured Parzen estimator: samples where good trials were dense and bad ones were not.

    $u = \arg\max \frac{p(u \mid \text{good})}{p(u \mid \text{rest})}$

    When it fails: the first trials are random; with few trials it is hardly more than that.
    """

    card: ClassVar = Card(
        key="tpe",
        name="Learned guesses (TPE)",
        family=Family.SEARCH,
        data=Data.LABELS,
        cost="one evaluation per trial",
        paper=Paper("Algorithms for Hyper-Parameter Optimization", "Bergstra, Bardenet, Bengio, Kégl", "NeurIPS", 2011),
    )

    startup: Annotated[int, Range(2, 50, "Random trials first")] = 10

    def foresees(self, number: int) -> bool:
        return number < self.startup

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        import optuna

        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.startup, multivariate=True)


@dataclass(frozen=True)
class Nsga2(Sampled):
    r"""Cross and mutate the networks on the Pareto front.

    A genetic algorithm that keeps a whole front: its natural use is without a budget.

    $\max \text{accuracy},\ \min \text{MACs}$

    When it fails: it needs several generations: fewer trials than two populations are random search.
    """

    card: ClassVar = Card(
        key="nsga2",
        name="NSGA-II",
        family=Family.SEARCH,
        data=Data.LABELS,
        cost="one evaluation per trial, several populations",
        paper=Paper(
            "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II",
            "Deb, Pratap, Agarwal, Meyarivan",
            "IEEE Transactions on Evolutionary Computation",
            2002,
        ),
    )

    population: Annotated[int, Range(4, 100, "Population")] = 16

    def foresees(self, number: int) -> bool:
        return (number - 1) % self.population != 0  # the first draw, of equal widths, belongs to no generation

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        import optuna

        return optuna.samplers.NSGAIISampler(seed=seed, population_size=self.population)
