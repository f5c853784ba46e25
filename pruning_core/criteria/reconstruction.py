"""ThiNet and He et al.: remove the channels whose loss the next layer can best make up for, and mend its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.criteria.base import Fairness, NotScorable, Reconstructing
from pruning_core.knobs import Range
from pruning_core.numeric.compiled import compiled
from pruning_core.probe.samples import Samples
from pruning_core.probe.site import Site
from pruning_core.taxonomy import Card, Data, Family, Paper, Published

Floats = NDArray[np.float64]


def sampled(site: Site) -> tuple[Samples, ...]:
    """What the layers read that read the site's channels. Raises NotScorable where none of them could be sampled."""
    if not site.samples:
        raise NotScorable(
            "The layers that read these channels could not be sampled: they run inside one fused call or in training "
            "only, or are transposed or three-dimensional convolutions."
        )
    return site.samples


def _gram(site: Site, seed: int) -> Tensor:
    """Products of contributions, (C, C); several consumers count alike, each in units of its own output."""
    return torch.stack([s.gram(seed) for s in sampled(site)]).sum(0)


@dataclass(frozen=True)
class GreedyReconstruction(Reconstructing):
    r"""Remove the channels that the next layer misses least, then rescale the rest.

    ThiNet: channels in the order of a greedy removal that changes the next layer's output least, $T \leftarrow T \cup
    \arg\min_{j \notin T} \sum_m \Big( \sum_{i \in T \cup j} x_{m,i} \Big)^2$, where $x_{m,i}$ is what channel i adds to
    output entry m of the next layer. $s_c$ is the error at which c goes, in units of the output's energy, made strictly
    increasing along the order. Entries are drawn at random positions and outputs of the images. After the selection
    every kept channel's weights are scaled by least squares.

    When it fails: greedy, so pairs that cancel each other are missed; a few images fit noise in wide layers; one layer
    at a time, although errors pile up through the network.
    """

    fair: ClassVar = Fairness("none", "our choice: an error in units of what the whole layer answers has no scale")
    card: ClassVar = Card(
        key="thinet",
        name="Greedy reconstruction (ThiNet)",
        family=Family.PROXY,
        data=Data.UNLABELLED,
        cost="one forward pass, then C^2 per entry drawn",
        paper=Paper(
            "ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression",
            "Luo, Wu, Lin",
            "ICCV",
            2017,
            "1707.06342",
        ),
        published=(
            Published(
                "VGG-16",
                "ImageNet",
                "71.50 to 69.80 % top-1, 30.94B to 9.58B FLOPs counted twice",
                "Roll920/ThiNet_Code",
                True,
            ),
            Published("ResNet-50", "ImageNet", "75.30 to 72.04 % top-1 at 36.8 % fewer FLOPs", "Roll920/ThiNet", True),
        ),
        builds_on=("l1", "apoz"),
    )
    seed: Annotated[int, Range(0, 10_000, "Seed of the entries drawn", step=1)] = 0

    def score(self, site: Site) -> Tensor:
        return removal_errors(_gram(site, self.seed))

    def reconstruct(self, samples: Samples, kept: Tensor) -> Tensor:
        """One factor per kept channel, shared by all outputs: argmin ||y - X_S w||."""
        rows = samples.contributions(self.seed)
        missing = samples.targets(self.seed) - rows[:, kept].sum(1)
        factors = 1 + ridge(rows[:, kept], missing[:, None]).squeeze(1)
        return samples.weight[kept].double() * factors[:, None, None]


def removal_errors(gram: Tensor) -> Tensor:
    """(C, C) products of contributions -> (C,) errors at which the greedy removal takes channels, strictly increasing.

    Of equal errors the lower index goes first.
    """
    g = gram.cpu().numpy()
    count = len(g)
    own = g.diagonal().copy()
    joint = np.zeros(count)  # what each channel adds in products with those already removed
    gone = np.zeros(count, dtype=bool)
    scores = np.empty(count)
    error, last = 0.0, -np.inf
    for _ in range(count):
        grown = np.where(gone, np.inf, own + 2 * joint)
        pick = int(grown.argmin())
        error += grown[pick]
        last = max(error, np.nextafter(last, np.inf))
        scores[pick] = last
        gone[pick] = True
        joint += g[pick]
    return torch.from_numpy(scores).to(gram.device)


@dataclass(frozen=True)
class LassoReconstruction(Reconstructing):
    r"""Select by LASSO the channels that rebuild the next layer's output, then refit its weights.

    He et al. 2017: channels in the order in which a LASSO lets them into the next layer's output.

    $\min_b \tfrac{1}{2} \Big\| y - \sum_i b_i x_i \Big\|^2 + \lambda \|b\|_1$ with one coefficient per channel, shared
    by all outputs of the next layer. As $\lambda$ falls channels enter; $s_c$ is the $\lambda$ at which c is in for the
    first time, in units of the largest useful one, so cutting at k channels is the paper's search for the $\lambda$
    that leaves k. After the selection the next layer's weights are fitted anew by least squares, pulled to the old ones
    where the samples do not decide.

    When it fails: of two like channels either may enter first; needs more samples than weights to fit well; the paths
    of channels that enter and leave again are cut short.
    """

    card: ClassVar = Card(
        key="cp-lasso",
        name="LASSO reconstruction (He 2017)",
        family=Family.PROXY,
        data=Data.UNLABELLED,
        cost="one forward pass, then C^2 per step of the path",
        paper=Paper(
            "Channel Pruning for Accelerating Very Deep Neural Networks", "He, Zhang, Sun", "ICCV", 2017, "1707.06168"
        ),
        published=(
            Published("VGG-16", "ImageNet", "67.8 / 88.1 % top-1 / top-5 at 5x", "ethanhe42/channel-pruning", True),
            Published("ResNet-50", "ImageNet", "72.3 / 90.8 % top-1 / top-5 at 2x", "ethanhe42/channel-pruning", True),
        ),
    )
    seed: Annotated[int, Range(0, 10_000, "Seed of the entries drawn", step=1)] = 0
    steps: Annotated[int, Range(20, 400, "Steps of the path", step=20)] = 100

    def score(self, site: Site) -> Tensor:
        return entry_penalties(_gram(site, self.seed), self.steps)

    def reconstruct(self, samples: Samples, kept: Tensor) -> Tensor:
        """New weights of the kept channels: least squares, all outputs at once."""
        return least_squares(samples, kept)


def entry_penalties(gram: Tensor, steps: int = 100, span: float = 1e-3) -> Tensor:
    """(C, C) -> (C,) in (0, 1]: penalties at which channels are first in, in the LASSO of their sum on each of them.

    Penalties fall geometrically from the largest useful one to ``span`` of it. Channels that enter at the same step
    are told apart by the size of what they then contribute; those that never enter get less than ``span``, by their
    share in the sum.
    """
    g = np.ascontiguousarray(gram.cpu().double().numpy())
    target = g.sum(1)
    largest = float(np.abs(target).max())
    if largest <= 0:
        return torch.zeros(len(g), dtype=torch.float64, device=gram.device)
    grid = np.geomspace(1.0, span, steps + 1)
    first, size = _lasso_path(g, target, grid[1:] * largest)
    # a channel that is in at one penalty of the grid entered between it and the one before
    low, high = np.append(grid[1:], 0.0)[first], np.append(grid[:-1], span)[first]
    tie = np.where(first < steps, size / (size.max() or 1.0), np.abs(target) / largest)
    return torch.from_numpy(low + (high - low) * 0.999 * tie).to(gram.device)


def lasso(gram: Tensor, target: Tensor, penalty: float, tolerance: float = 1e-18) -> Tensor:
    """argmin_b b'Gb/2 - b't + penalty * |b|_1 by coordinate descent, (C,) float64."""
    coefficients = np.zeros(len(target))
    _descend(gram.double().cpu().numpy(), target.double().cpu().numpy(), float(penalty), tolerance, coefficients)
    return torch.from_numpy(coefficients)


@compiled
def _descend(gram: Floats, target: Floats, penalty: float, tolerance: float, coefficients: Floats) -> None:
    """Sweep until no step changes the fit by more than ``tolerance`` of the largest coefficient's part."""
    count = len(target)
    residual = target.copy()  # minus the gradient of the smooth part
    for i in range(count):
        if coefficients[i] != 0.0:
            for j in range(count):
                residual[j] -= gram[i, j] * coefficients[i]
    for _ in range(200):
        moved, energy = 0.0, 1e-300
        for i in range(count):
            own = gram[i, i]
            if own <= 0.0:
                continue
            free = residual[i] + own * coefficients[i]
            size = abs(free) - penalty
            new = 0.0 if size <= 0.0 else (size if free > 0.0 else -size) / own
            step = new - coefficients[i]
            if step != 0.0:
                coefficients[i] = new
                for j in range(count):
                    residual[j] -= gram[i, j] * step
                moved = max(moved, step * step * own)
            energy = max(energy, new * new * own)
        if moved <= tolerance * energy:
            break


def _lasso_path(gram: Floats, target: Floats, penalties: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Step at which each channel is first non-zero (len(penalties) for never), and the size of its part then."""
    count, steps = len(target), len(penalties)
    first = np.full(count, steps, np.int64)
    size = np.zeros(count)
    coefficients = np.zeros(count)
    scale = np.sqrt(np.maximum(gram.diagonal(), 0))
    for step, penalty in enumerate(penalties):
        _descend(gram, target, float(penalty), 1e-7, coefficients)
        new = (coefficients != 0) & (first == steps)
        first[new] = step
        size[new] = np.abs(coefficients[new]) * scale[new]
    return first, size


def least_squares(samples: Samples, kept: Tensor) -> Tensor:
    """(|S|, f, O) float64: weights of ``kept`` channels, nearest to the old ones where the samples do not decide."""
    patches = samples.patches[:, kept].double().flatten(1)  # (M, |S| f)
    weight = samples.weight[kept].double()  # (|S|, f, O)
    missing = samples.target.double() - patches @ weight.flatten(0, 1)
    return weight + ridge(patches, missing).reshape(weight.shape)


def ridge(inputs: Tensor, targets: Tensor, pull: float = 1e-6) -> Tensor:
    """(M, d), (M, O) -> (d, O) float64: argmin ||T - X W||^2 + mu ||W||^2, mu = ``pull`` times mean X^2.

    Solved on the smaller side; the pull only decides what the samples leave open.
    """
    x, t = inputs.double(), targets.double()
    rows, size = x.shape
    if size == 0:
        return x.new_zeros(0, t.shape[1])
    mu = pull * x.square().sum() / size + 1e-300
    if rows >= size:
        return torch.linalg.solve(x.T @ x + mu * torch.eye(size, dtype=x.dtype, device=x.device), x.T @ t)
    return x.T @ torch.linalg.solve(x @ x.T + mu * torch.eye(rows, dtype=x.dtype, device=x.device), t)
