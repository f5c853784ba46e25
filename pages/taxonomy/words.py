"""What the survey's words mean, and what it names: the texts of the page in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pages.ui.language import N_, _
from pruning_core.taxonomy import Data, Execution, Family, Granularity, Structure, Time

AXES: Mapping[str, str] = {
    "family": N_("Family"),
    "data": N_("Data needed"),
    "time": N_("When"),
    "granularity": N_("Granularity"),
    "structure": N_("Structure"),
    "execution": N_("Execution"),
}
VALUES: Mapping[str, type[StrEnum]] = {
    "family": Family,
    "data": Data,
    "time": Time,
    "granularity": Granularity,
    "structure": Structure,
    "execution": Execution,
}
QUESTIONS: Mapping[str, str] = {
    "family": N_("By which idea is it decided what goes?"),
    "data": N_("What must be at hand to decide?"),
    "time": N_("When is it decided, seen from the training?"),
    "granularity": N_("What is the smallest piece that goes?"),
    "structure": N_("What is left: a smaller network, or the same one with zeros?"),
    "execution": N_("Is it one network for all images, or another one for each?"),
}

DEFINITIONS: Mapping[tuple[str, str], str] = {
    ("granularity", Granularity.ELEMENT): N_(
        "Single weights become zero, wherever they stand. Every tensor keeps its shape. N:M "
        "sparsity also works on single weights, but so many in every few: of 4 in a row 2 stay (2:4)."
    ),
    ("granularity", Granularity.VECTOR): N_(
        "A row of a kernel, or one position of it in all filters (a column of the layer written as "
        "a matrix), becomes zero together."
    ),
    ("granularity", Granularity.KERNEL): N_(
        "What one filter reads of one input channel: a whole small kernel, or a pattern inside it."
    ),
    ("granularity", Granularity.CHANNEL): N_(
        "A whole filter, and with it the channel that it makes and what the next layers read of "
        "it. Filter and channel pruning are one cut seen from two sides."
    ),
    ("granularity", Granularity.LAYER): N_("A whole layer. It can go where something carries the signal past it."),
    ("granularity", Granularity.BLOCK): N_(
        "Several layers in a row, mostly a residual block, whose shortcut then does its work alone."
    ),
    ("structure", Structure.STRUCTURED): N_(
        "What goes leaves a smaller ordinary network: less work for any processor, without special software."
    ),
    ("structure", Structure.SEMI): N_(
        "Zeros in a regular pattern inside tensors that keep their shape. It is faster only where "
        "a compiler or a chip knows the pattern."
    ),
    ("structure", Structure.UNSTRUCTURED): N_(
        "Zeros anywhere. Smallest when stored, but ordinary kernels multiply by zeros as by any number, so an ordinary "
        "processor is no faster. The Granularity page measures both."
    ),
    ("time", Time.BEFORE): N_("On random weights, before anything was learnt."),
    ("time", Time.DURING): N_("While the network is trained: what goes may change, or come back, until the end."),
    ("time", Time.AFTER): N_("A trained network is cut. Mostly a shorter training follows."),
    ("execution", Execution.STATIC): N_("One smaller network for all images. When it was found does not matter."),
    ("execution", Execution.DYNAMIC): N_(
        "The whole network stays; small gates choose anew for every image what is computed."
    ),
    ("data", Data.NONE): N_("The weights alone."),
    ("data", Data.UNLABELLED): N_("Some images, without their labels: to see what channels answer."),
    ("data", Data.LABELS): N_("Some images with labels, to measure accuracy, but no gradients."),
    ("data", Data.LABELLED): N_("Some images with labels, forwards and backwards once."),
    ("data", Data.TRAINING): N_("The training data, and time to train."),
    ("family", Family.MAGNITUDE): N_("Small is unimportant: the size of a weight or the norm of a filter decides."),
    ("family", Family.PENALTY): N_(
        "A term in the training's loss pulls scales or weights towards zero; what became small is cut."
    ),
    ("family", Family.PROXY): N_(
        "Another problem is solved in place of the real one: to rebuild what the next layer gets, "
        "or to train under a constraint that is written as a second set of variables."
    ),
    ("family", Family.ACTIVATION): N_("What channels answer to images decides: how often, how strongly, how variedly."),
    ("family", Family.GRADIENT): N_(
        "How much the loss would change without it, by the first terms of a Taylor series."
    ),
    ("family", Family.REDUNDANCY): N_("What others can stand in for goes, however large it is."),
    ("family", Family.SAMPLING): N_(
        "Gates that open with a probability are trained with the weights or alone; the "
        "probabilities then say the widths."
    ),
    ("family", Family.CLUSTERING): N_(
        "Alike filters or feature maps are put into clusters; one of each cluster stays."
    ),
    ("family", Family.KERNELS): N_(
        "Judged kernel by kernel: patterns inside them, groups of them, or representatives."
    ),
    ("family", Family.SEARCH): N_("Many choices of widths are tried and measured; the best stays."),
    ("family", Family.RATIOS): N_("Not what goes, but how much of it in which layer."),
    ("family", Family.SHORTCUTS): N_("What becomes of channels that an addition ties to those of a shortcut."),
    ("family", Family.SCHEDULE): N_("In how many steps, and how much in each."),
    ("family", Family.RECOVERY): N_("What is done after a cut so that the network works again."),
    ("family", Family.INITIALISATION): N_("Judged by one look at a network that was never trained."),
    ("family", Family.DYNAMIC): N_("What is left out depends on the image."),
    ("family", Family.CONTROL): N_("No idea at all, or no pruning at all: what every method must beat."),
}


# What the other words are made of, for who has not met them.
PARTS: Mapping[str, str] = {
    N_("filter"): N_("The weights that make one output of a convolution. It has a kernel for every input channel."),
    N_("channel"): N_(
        "What one filter makes of an image: a map of answers, one for each place. The next layer reads it. So a "
        "filter and its channel go together, and texts use both words for one cut."
    ),
    N_("kernel (of a filter)"): N_(
        "The small square of weights, such as 3 × 3, with which a filter reads one channel."
    ),
    N_("kernel (on a machine)"): N_("The program that computes a layer. Whether zeros save time depends on it."),
    N_("mask"): N_("A zero or a one for every weight: it says which stay. Pruning single weights puts one on a layer."),
    N_("rewinding"): N_(
        "The weights that survive a pruning get back the values that they had at the beginning, or early in the "
        "training, and are trained again from there. So lottery tickets are found; fine-tuning goes on from the "
        "trained values instead."
    ),
    N_("batch norm"): N_(
        "A layer that brings each channel to a usual size, by statistics that it kept from training, and then scales "
        "and shifts it. After a cut those statistics no longer fit."
    ),
    N_("MAC"): N_("One multiplication and one addition: what most of the work of a network is made of."),
    N_("held-out images"): N_("Set apart from the training images, to choose by. The test images only report."),
    N_("Wilson interval, 95 %"): N_(
        "Where a share that was counted on few images may lie in truth. Two that overlap may be equal."
    ),
}


@dataclass(frozen=True)
class Source:
    """One of the texts that the axes and names come from; ``url`` of the text or of what it follows."""

    title: str
    english: str
    about: str
    url: str = ""


SOURCES = (
    Source(
        "通道剪枝方法综述",
        N_("Survey of channel pruning methods"),
        N_("It follows the related work of REPrune (2024)."),
        "https://arxiv.org/abs/2402.17862",
    ),
    Source(
        "结构化剪枝", N_("Structured pruning"), N_("Notes of the same collection."), "https://github.com/Q-crystal/KB"
    ),
    Source(
        "网络剪枝调研",
        N_("A study of network pruning"),
        N_("It draws on Pruning and Quantization for Deep Neural Network Acceleration: A Survey (2021)."),
        "https://arxiv.org/abs/2101.09671",
    ),
    Source("模型剪枝", N_("An overview of model pruning"), N_("A blog article by 禅与计算机程序设计艺术.")),
    Source("CNN通道剪枝实战", N_("Channel pruning in practice: from theory to code"), N_("An article with code.")),
)


@dataclass(frozen=True)
class NotRun:
    """What the survey names and nothing here runs."""

    name: str
    text: int  # index into SOURCES
    reason: str


# The survey's names beside the key of the card that runs. Test: each key is in the registry.
NAMED: Mapping[int, Mapping[str, str]] = {
    0: {
        "Network Slimming": "netslim",
        "He et al. 2017": "cp-lasso",
        "Gate Decorator": "gbn",
        "Ye et al. 2018": "ista-bn",
        "Lin et al. 2019": "gal",
        "HRank": "hrank",
        "SFP": "sfp",
        "FPGM": "fpgm",
        "CHIP": "chip",
        "Kang & Han 2020": "scp",
        "DMC": "dmc",
        "DMCP": "dmcp",
        "CUP": "cup",
        "LSC": "lsc",
        "ACP": "acp",
        "PConv": "pconv",
        "PATDNN": "patdnn",
        "TMI-GKP": "tmi-gkp",
        "REPrune": "reprune-trained",
    },
    1: {
        "L1": "l1",
        "L2": "l2",
        "BN γ": "bn-scale",
        "ThiNet": "thinet",
        "CHEX": "chex",
        "LayerPrune": "layerprune",
        "DBP": "dbp",
        "uniform": "alloc-uniform",
        "adaptive": "alloc-sens",
        "search": "random-cp",
    },
    2: {
        "Lp": "lp",
        "L1/L2 Norm": "l1",
        "ADMM": "admm",
        "Taylor": "taylor",
        "LTH": "lth",
        "Rethinking the Value": "scratch-b",
        "AutoSlim": "autoslim-trained",
        "AutoCompress": "autocompress",
        "DCP": "dcp-losses",
        "DKP": "dkp",
        "DCFF": "dcff",
        "Random Channel Pruning": "random-widths",
        "PaI": "snip-elements",
        "dynamic pruning": "fbs",
        "penalty": "netslim",
    },
    3: {
        "basic pruning": "mag",
        "pruning by a norm": "l1",
        "activation pruning, mean": "act-mean",
        "activation pruning, maximum": "act-max",
        "activation pruning, minimum": "act-min",
        "activation pruning, variance": "act-var",
        "gradient pruning": "grad",
        "transfer learning": "transfer-prune",
        "skip-link pruning": "plp",
        "distillation": "rec-distil",
    },
    4: {
        "geometric median": "fpgm",
        "APoZ": "apoz",
        "ThiNet": "thinet",
        "Lasso regression": "cp-lasso",
        "step by step": "sched-inc",
    },
}
NOT_RUN = (
    NotRun(
        N_("Rethinking the Pruning Criteria"),
        2,
        N_(
            "It compares criteria and prunes nothing. The Criteria page does that: its part "
            "Agreement says how alike two criteria rank."
        ),
    ),
    NotRun(
        N_("L0 norm"),
        2,
        N_(
            "It counts weights that are not zero. In a trained layer that is all of them, so it "
            "ranks nothing. The Lp norm with a small p comes near it."
        ),
    ),
    NotRun(N_("activation pruning, structure mode"), 3, N_("The text names it and gives no rule for it.")),
)


def named_as(key: str) -> str:
    """What the survey calls it and where, in Markdown; "" where it does not name it."""
    found = [
        f"{name} ({_(SOURCES[text].english)})" for text, names in NAMED.items() for name, k in names.items() if k == key
    ]
    return "; ".join(found)
