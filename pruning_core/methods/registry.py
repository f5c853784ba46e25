"""The registry of methods: a new one is its class and its line here."""

from __future__ import annotations

from pruning_core.methods.admm_elements import UnstructuredADMM
from pruning_core.methods.admm_filters import StructuredADMM
from pruning_core.methods.adversarial import AdversarialPruning
from pruning_core.methods.auto_compress import AutoCompress
from pruning_core.methods.auto_slim import AutoSlim
from pruning_core.methods.base import Method
from pruning_core.methods.channel_exploration import ChannelExploration
from pruning_core.methods.channel_gating import ChannelGating
from pruning_core.methods.cut_and_train import CutAndTrain
from pruning_core.methods.discrete_gates import DiscreteCompression
from pruning_core.methods.discriminated_kernels import DiscriminatedKernels
from pruning_core.methods.discrimination import DiscriminationPruning
from pruning_core.methods.feature_boosting import FeatureBoosting
from pruning_core.methods.filter_fusion import FilterFusion
from pruning_core.methods.gate_decorator import GateDecorator
from pruning_core.methods.grouped_kernels import GroupedKernelPruning
from pruning_core.methods.ista import SparseScales
from pruning_core.methods.latent_clusters import LatentClustering
from pruning_core.methods.layer_by_layer import LayerByLayer
from pruning_core.methods.layer_pruning import DiscriminationBlocks, LayerPrune
from pruning_core.methods.link_pruning import LinkPruning
from pruning_core.methods.lottery_ticket import LotteryTicket
from pruning_core.methods.magnitude_pruning import MagnitudePruning
from pruning_core.methods.markov_widths import MarkovPruning
from pruning_core.methods.n_of_m import NofMSparsity
from pruning_core.methods.network_slimming import NetworkSlimming
from pruning_core.methods.patterned_kernels import PatDNN, PConv
from pruning_core.methods.pruning_at_start import GraspElements, SnipElements, SynFlowElements
from pruning_core.methods.random_channels import RandomChannelPruning
from pruning_core.methods.representatives import TrainedRepresentatives
from pruning_core.methods.rising_clusters import ClustersWhileTraining
from pruning_core.methods.scratch import ScratchB, ScratchE
from pruning_core.methods.soft_channels import SoftChannelPruning
from pruning_core.methods.soft_pruning import SoftFilterPruning, SoftGeometricMedian
from pruning_core.methods.swarm_widths import SwarmWidths
from pruning_core.methods.transfer_pruning import TransferPruning

METHODS: tuple[type[Method], ...] = (
    CutAndTrain,
    NetworkSlimming,
    SparseScales,
    SoftFilterPruning,
    SoftGeometricMedian,
    StructuredADMM,
    GateDecorator,
    ChannelExploration,
    LayerByLayer,
    TransferPruning,
    LinkPruning,
    MagnitudePruning,
    LotteryTicket,
    SnipElements,
    GraspElements,
    SynFlowElements,
    UnstructuredADMM,
    NofMSparsity,
    PConv,
    PatDNN,
    DiscriminatedKernels,
    GroupedKernelPruning,
    LayerPrune,
    DiscriminationBlocks,
    DiscriminationPruning,
    AutoSlim,
    LatentClustering,
    SwarmWidths,
    AutoCompress,
    TrainedRepresentatives,
    MarkovPruning,
    SoftChannelPruning,
    DiscreteCompression,
    FilterFusion,
    ClustersWhileTraining,
    AdversarialPruning,
    RandomChannelPruning,
    ScratchE,
    ScratchB,
    FeatureBoosting,
    ChannelGating,
)
