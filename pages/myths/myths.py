"""What the survey's texts say and what is right, each with a live demonstration where there can be one.

A new myth is one entry here. ``text`` says which of the survey's texts it stands in. ``found`` has named places for
what ``show`` measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pages.myths import showing
from pages.ui.demo import Demo, Shown
from pages.ui.language import N_

TEXTS = (
    N_("Survey of channel pruning methods"),
    N_("Structured pruning"),
    N_("A study of network pruning"),
    N_("An overview of model pruning"),
    N_("Channel pruning in practice"),
)


@dataclass(frozen=True)
class Myth:
    claim: str
    text: int
    right: str
    show: Callable[[Demo], Shown] | None = None
    found: str = ""


MYTHS: tuple[Myth, ...] = (
    Myth(N_("The time that is saved is what the FLOPs say."), 1,
         N_("True for counts of MACs, false for time. Widths that suit no kernel, layers that "
            "wait for memory, and the start of each layer limit the gain."),
         showing.time_and_macs, N_("Half of all channels gone: {macs} of the MACs are left, and {time} of the time.")),
    Myth(N_("Basic pruning removes the weights that are exactly zero."), 3,
         N_("A trained network has hardly any. The real rule is a threshold or a number: the "
            "smallest go."),
         showing.exact_zeros,
         N_("Of {weights} weights of the demo, {zeros} are exactly zero, and {small} are smaller than a hundredth of "
            "the largest in their layer.")),
    Myth(N_("Geometric median: keep the filters nearest to the median."), 4,
         N_("The paper prunes those: what lies in the middle can be replaced by the others. The "
            "article's code keeps them, and so always keeps the most replaceable one."),
         showing.nearest_or_farthest, N_("Half of {layer} gone: {right} when the nearest go, {wrong} when they stay.")),
    Myth(N_("Structured pruning reaches higher ratios and better accuracy than pruning single weights."), 3,
         N_("The other way round: single weights reach more zeros at equal accuracy; structure "
            "gives real speed at lower ratios."),
         showing.weights_or_filters,
         N_("Half of the same layers: {elements} by single weights, {kernels} by kernels, "
            "{filters} by filters.")),
    Myth(N_("Removing layers is hard because of residual connections."), 1,
         N_("The shortcut is what makes it possible: it carries the signal past a block that "
            "leaves. Hard are blocks that change the shape, and networks without shortcuts. That "
            "a block can leave does not mean that it is not missed."),
         showing.blocks, N_("Of the {blocks} blocks of the demo, {able} can leave; without it {left} are right.")),
    Myth(N_("APoZ is counted at the output of the convolution."), 4,
         N_("There hardly anything is exactly zero. It is counted after the ReLU, where zeros "
            "come from."),
         showing.before_the_relu, N_("{before} zeros at the convolution, {after} after norm and ReLU.")),
    Myth(N_("Early layers are more sensitive, so prune the deep ones harder."), 4,
         N_("A rule of thumb and no law. In residual networks the sensitive layers stand where "
            "the width changes, and VGG's shallow layers bear more than its deep ones. Measure."),
         showing.each_layer,
         N_("Along the demo, place and loss are in the same order to {order} (-1: the earlier, "
            "the more sensitive). That one network follows the rule, or not, says nothing of the "
            "next one.")),
    Myth(N_("A channel with small activations does nothing."), 3,
         N_("What counts is what the next layer makes of it. A small answer may be read by large "
            "weights."),
         showing.small_answers,
         N_("In {layer}, mean activation and the loss gained without a channel are in the same "
            "order to {agreement}.")),
    Myth(N_("Regularisation cannot make anything exactly zero."), 0,
         N_("Plain gradient steps cannot; proximal steps (ISTA, FISTA, group soft-threshold) do."),
         showing.soft_threshold,
         N_("In the last steps the gradient's scale is between {least} and {most}; that of the "
            "proximal steps is {prox}.")),
    Myth(N_("Pruning weights often cannot reduce computation."), 4,
         N_("It reduces MACs, not the time of dense kernels. Kernels for zeros, or 2:4 circuits, "
            "can make use of it, and only where there are enough zeros."),
         showing.skipping, N_("{layer}, three quarters zero: dense {dense}, with zeros {zeros}, zeros skipped "
            "{skipped}.")),
    Myth(N_("The L0 norm ranks filters."), 2,
         N_("It counts weights that are not zero, which are all of them in a dense layer. It is "
            "no norm, either."),
         showing.counting_norm, N_("The {filters} filters of {layer} have {zero} different L0 scores and {one} "
         "L1 norms.")),
    Myth(N_("DCFF: as the temperature goes to infinity, the weights become one-hot."), 2,
         N_("Only in the authors' notation, softmax(-D·T). With the usual softmax(-D/t) it is t "
            "towards zero."),
         showing.temperature, N_("The largest of four probabilities is {cold} at t = 0.01 and {hot} at t = 100.")),
    Myth(N_("SFP uses the geometric median, and FPGM improves on it."), 0,
         N_("SFP ranks by the L2 norm in every epoch and lets filters regrow. Only FPGM uses the "
            "geometric median.")),
    Myth(N_("CHIP measures mutual information."), 0,
         N_("It measures by how much the nuclear norm of the feature matrix changes when one row "
            "is set to zero.")),
    Myth(N_("He et al. (2017) and Gate Decorator are regularisation methods."), 0,
         N_("He et al. rebuild what the next layer gets, with a LASSO to choose. Gate Decorator "
            "ranks by the first Taylor term on gates; its L1 term only helps.")),
    Myth(N_("PConv and PatDNN need dedicated hardware."), 0,
         N_("They need a compiler. Their speed-ups were measured on ordinary phones.")),
    Myth(N_("Pruning kernels always leaves sparse connections."), 0,
         N_("Grouped kernel pruning (TMI-GKP) leaves a dense grouped convolution.")),
    Myth(N_("All importance methods need a fine-tuning of their own."), 0,
         N_("SFP and FPGM prune while they train. HRank and CHIP do need one.")),
    Myth(N_("DBP means dense-to-sparse block pruning."), 1, N_("It means discrimination based block-level pruning.")),
    Myth(N_("Filter pruning and channel pruning are different levels."), 1,
         N_("One cut, seen from both sides: filter i of a layer is input channel i of the next. "
            "They differ in whose data decide.")),
    Myth(N_("Compression is limited to 2 to 10 times."), 1,
         N_("There is no source for it. AutoCompress reports up to 120 times fewer parameters; on "
            "ImageNet 2 to 4 times fewer FLOPs are usual.")),
    Myth(N_("The lottery ticket is structured pruning."), 2,
         N_("It prunes single weights by magnitude, in rounds, and goes back to the first weights.")),
    Myth(N_("ADMM and AutoCompress are dynamic pruning."), 2,
         N_("Both are static. What changes while they train is the target of the penalty, not the "
            "network by image.")),
    Myth(N_("ADMM solves a convex problem."), 2,
         N_("The problem is not convex, and there is no guarantee for the whole of it.")),
    Myth(N_("ThiNet is penalty based."), 2,
         N_("It chooses greedily what rebuilds the next layer's output best. No penalty is in the "
            "training.")),
    Myth(N_("Taylor pruning is magnitude based."), 2, N_("It is gradient based: weight times gradient, squared.")),
    Myth(N_("DCFF is penalty based."), 2, N_("It goes by likeness, and its authors stress that it needs no "
    "sparsity term.")),
    Myth(N_("Static pruning happens after training and before inference."), 2,
         N_("Static means one network for all images. It may be found while training, as in SFP, "
            "CHEX and DMCP.")),
    Myth(N_("Dynamic pruning needs no fine-tuning."), 2, N_("Its gates are trained, mostly together with the "
    "weights.")),
    Myth(N_("Small networks can always be trained from scratch, without any pruning."), 2,
         N_("Shown for structured pruning, most clearly with given widths and long training. For "
            "single weights on ImageNet kept weights still help. The last lesson measures it.")),
    Myth(N_("Structured pruning keeps the structure of the model."), 3,
         N_("It changes widths and depth. Pruning single weights keeps all shapes.")),
    Myth(N_("Gradient pruning bounds gradients."), 3,
         N_("That is gradient clipping, which steadies a training. Gradient pruning asks by its "
            "gradient how much a weight matters.")),
    Myth(N_("Prune, test, deploy."), 3,
         N_("Between cut and test comes fine-tuning, or at least new batch-norm statistics; and "
            "what is chosen by must not be the test images.")),
    Myth(N_("ThiNet drops input channel i of both layers."), 4,
         N_("Those are two different sets of channels. The outputs of a layer are the inputs of "
            "the next; the article's code fails on any network that widens.")),
    Myth(N_("LASSO channel selection: one LASSO for each output, and the union of what they keep."), 4,
         N_("The union keeps nearly everything. There is one coefficient for each input channel, "
            "shared by all outputs, and a least-squares fit afterwards.")),
    Myth(N_("To prune a convolution, copy the kept filters."), 4,
         N_("The norm behind it, its running statistics, the bias and the input of every layer "
            "that reads it go too; else the next forward fails.")),
)  # fmt: skip
