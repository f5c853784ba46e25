"""Criteria: which channels matter. One class each; this tuple is the only list of them."""

from pruning_core.criteria.base import Criterion, Fairness, NotScorable, Reconstructing, Scores
from pruning_core.criteria.control import Random
from pruning_core.criteria.discrimination import DiscriminationAware
from pruning_core.criteria.engine import ScoringStep, score, scoring
from pruning_core.criteria.feature_maps import ChannelIndependence, FeatureMapRank
from pruning_core.criteria.gradients import GradientMagnitude, TaylorGate, TaylorSecond, TaylorWeight
from pruning_core.criteria.initialisation import Grasp, Snip, SynFlow
from pruning_core.criteria.norms import BatchNormScale, L1Norm, L2Norm, LpNorm
from pruning_core.criteria.reconstruction import GreedyReconstruction, LassoReconstruction
from pruning_core.criteria.redundancy import ClusterPruning, CosineRedundancy, GeometricMedian
from pruning_core.criteria.reprune import KernelRepresentatives
from pruning_core.criteria.statistics import (
    ActivationL1,
    ActivationL2,
    ActivationMax,
    ActivationMean,
    ActivationMin,
    ActivationStd,
    ActivationVariance,
    ZeroFraction,
)
from pruning_core.criteria.surgeon import ChannelSurgeon
from pruning_core.probe.site import Need, Place, Site

CRITERIA: tuple[type[Criterion], ...] = (
    L1Norm,
    L2Norm,
    LpNorm,
    BatchNormScale,
    GeometricMedian,
    CosineRedundancy,
    ClusterPruning,
    KernelRepresentatives,
    ZeroFraction,
    ActivationMean,
    ActivationMax,
    ActivationMin,
    ActivationVariance,
    ActivationStd,
    ActivationL1,
    ActivationL2,
    FeatureMapRank,
    ChannelIndependence,
    GreedyReconstruction,
    LassoReconstruction,
    ChannelSurgeon,
    TaylorGate,
    TaylorWeight,
    TaylorSecond,
    GradientMagnitude,
    DiscriminationAware,
    Snip,
    Grasp,
    SynFlow,
    Random,
)

__all__ = [
    "CRITERIA",
    "Criterion",
    "Fairness",
    "Need",
    "NotScorable",
    "Place",
    "Reconstructing",
    "Scores",
    "Site",
    "ScoringStep",
    "score",
    "scoring",
    *(c.__name__ for c in CRITERIA),
]
