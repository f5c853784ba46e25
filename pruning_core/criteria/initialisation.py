"""Criteria meant for untrained networks, added up per channel: SNIP, GraSP, SynFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from pruning_core.criteria.base import Criterion, Fairness
from pruning_core.knobs import Range
from pruning_core.probe.objectives import Objective, SynapticFlow, TaskLoss
from pruning_core.probe.site import Need, Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Time


@dataclass(frozen=True)
class Snip(Criterion):
    r"""Before training: keep the connections whose scaling moves the loss most.

    SNIP: $s_c = \sum_{m \in W_c} |g_m w_m|$ with the gradient of one large batch.

    How much the loss would move if the connection were scaled down. The paper divides by the sum over the network, a
    constant that changes no comparison and is left out.

    When it fails: meant for freshly initialised weights; on a trained network the gradient of the whole set is nearly
    zero and the score mostly noise.
    """

    needs: ClassVar = Need.GRADIENT
    fair: ClassVar = Fairness("none", "Lee et al., ICLR 2019: the highest of the whole network are kept")
    card: ClassVar = Card(
        key="snip",
        name="SNIP",
        family=Family.INITIALISATION,
        data=Data.LABELLED,
        cost="forward and backward",
        time=Time.BEFORE,
        paper=Paper(
            "SNIP: Single-shot Network Pruning based on Connection Sensitivity",
            "Lee, Ajanthan, Torr",
            "ICLR",
            2019,
            "1810.02340",
        ),
    )

    def score(self, site: Site) -> Tensor:
        assert site.gradient is not None
        return (site.gradient * site.weight).abs().sum(1)


@dataclass(frozen=True)
class Grasp(Criterion):
    r"""Before training: keep the connections that carry the gradient flow.

    GraSP: $s_c = \sum_{m \in W_c} w_m (H g)_m$, the gradient flow that goes with a channel.

    Removing a weight changes the squared gradient norm by about $-2 w (Hg)$. The paper's score is $-w (Hg)$ and its
    largest values are removed; here the sign is turned so that higher is kept. Logits are divided by a temperature.

    When it fails: meant for freshly initialised weights; the sign is easily taken the wrong way round; at a minimum $g$
    vanishes and the score with it.
    """

    needs: ClassVar = Need.GRADIENT | Need.PUSH
    fair: ClassVar = Fairness("none", "Wang et al., ICLR 2020: the highest of the whole network are kept")
    card: ClassVar = Card(
        key="grasp",
        name="GraSP",
        family=Family.INITIALISATION,
        data=Data.LABELLED,
        cost="two passes, the second differentiated twice",
        time=Time.BEFORE,
        paper=Paper(
            "Picking Winning Tickets Before Training by Preserving Gradient Flow",
            "Wang, Zhang, Grosse",
            "ICLR",
            2020,
            "2002.07376",
        ),
        builds_on=("snip",),
    )
    temperature: Annotated[float, Range(1, 500, "Temperature of the logits", log=True)] = 200.0

    @property
    def objective(self) -> Objective:
        return TaskLoss(self.temperature)

    def score(self, site: Site) -> Tensor:
        assert site.push is not None
        return (site.weight * site.push).sum(1)


@dataclass(frozen=True)
class SynFlow(Criterion):
    r"""Before training, without data: keep the connections that carry most of the flow.

    SynFlow: the flow through a channel, $s_c = \sum_{m \in W_c} \Big| w_m \frac{\partial R}{\partial |w_m|} \Big|,
    \quad R = \mathbf{1}^\top f_{|W|}(\mathbf{1})$.

    $R$ is the sum of the outputs for an input of ones, with every weight replaced by its absolute value and every shift
    by zero, in double precision. The input is infinitesimal, so saturating activations act by their slope at zero. In a
    plain network every layer's scores then add up to the same sum.

    When it fails: in one shot over all layers at once it empties whole layers; the paper repeats it a hundred times
    with ever fewer weights. It knows only the architecture and the sizes of weights.
    """

    needs: ClassVar = Need.GRADIENT
    fair: ClassVar = Fairness("none", "Tanaka et al., NeurIPS 2020: the highest of the whole network are kept")
    card: ClassVar = Card(
        key="synflow",
        name="SynFlow",
        family=Family.INITIALISATION,
        data=Data.NONE,
        cost="one forward and backward of a single input of ones",
        time=Time.BEFORE,
        paper=Paper(
            "Pruning neural networks without any data by iteratively conserving synaptic flow",
            "Tanaka, Kunin, Yamins, Ganguli",
            "NeurIPS",
            2020,
            "2006.05467",
        ),
        builds_on=("snip", "grasp"),
    )

    @property
    def objective(self) -> Objective:
        return SynapticFlow()

    def score(self, site: Site) -> Tensor:
        assert site.gradient is not None
        return (site.gradient * site.weight).abs().sum(1)
