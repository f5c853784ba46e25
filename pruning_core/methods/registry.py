"""The registry of methods: a new one is its class and its line here."""

from __future__ import annotations

from pruning_core.methods.admm_filters import StructuredADMM
from pruning_core.methods.base import Method
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.gate_decorator import GateDecorator
from pruning_core.methods.ista import SparseScales
from pruning_core.methods.network_slimming import NetworkSlimming
from pruning_core.methods.soft_pruning import SoftFilterPruning, SoftGeometricMedian

METHODS: tuple[type[Method], ...] = (
    CutAndTrain,
    NetworkSlimming,
    SparseScales,
    SoftFilterPruning,
    SoftGeometricMedian,
    StructuredADMM,
    GateDecorator,
)
