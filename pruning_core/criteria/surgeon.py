"""Optimal brain surgeon over whole channels: which channel can the others best make up for?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from pruning_core.criteria.base import Fairness, Reconstructing
from pruning_core.criteria.reconstruction import least_squares, sampled
from pruning_core.knobs import Range
from pruning_core.probe.samples import Samples
from pruning_core.probe.site import Site
from pruning_core.taxonomy import Card, Data, Family, Paper

MIXES = 64  # outputs of a layer that has more are mixed at random to so many, which keeps expected losses


@dataclass(frozen=True)
class ChannelSurgeon(Reconstructing):
    r"""Remove the channel whose loss the others can best make up for, let them, and look again.

    Optimal brain surgeon over channels: with $H = X^\top X + \lambda I$ of what the next layer reads, the layer that
    reads loses at least $\Delta_c = \operatorname{tr}\, W_c^\top \big[(H^{-1})_{cc}\big]^{-1} W_c$ when channel c goes
    and all other weights are refitted. The cheapest channel goes, $W$ and $H^{-1}$ are updated by blocks, and the next
    one is looked for. $s_c$ is the sum of the losses up to the moment at which c goes, in units of the layer's output.
    $\lambda$ (``pull``, in mean squares of what is read) holds weights that the samples do not decide. After the
    selection the next layer's weights are fitted anew by least squares. Hassibi and Stork remove single weights;
    layer by layer and in blocks it stands in Frantar and Alistarh, Optimal Brain Compression (2022, arXiv 2208.11580),
    for whole columns in Kurtic, Frantar and Alistarh, ZipLM (2023, arXiv 2302.04089).

    When it fails: greedy, one group at a time; it counts on the refit, so a cut without mending says little about it;
    with fewer samples than weights it trusts in directions that happened not to be seen.
    """

    fair: ClassVar = Fairness("none", "our choice: an error in units of what the whole layer answers has no scale")
    card: ClassVar = Card(
        key="surgeon",
        name="Optimal brain surgeon (channels)",
        family=Family.PROXY,
        data=Data.UNLABELLED,
        cost="one forward pass, then C times the square of the weights per output",
        paper=Paper(
            "Second order derivatives for network pruning: Optimal Brain Surgeon", "Hassibi, Stork", "NIPS", 1992
        ),
    )
    pull: Annotated[float, Range(1e-5, 1.0, "Pull to the old weights", log=True)] = 1e-3
    seed: Annotated[int, Range(0, 10_000, "Seed of the mixed outputs", step=1)] = 0

    def score(self, site: Site) -> Tensor:
        return removal_losses([(s.patches, s.weight) for s in sampled(site)], self.pull, self.seed)

    def reconstruct(self, samples: Samples, kept: Tensor) -> Tensor:
        """New weights of the kept channels: least squares, all outputs at once."""
        return least_squares(samples, kept)


def removal_losses(layers: Sequence[tuple[Tensor, Tensor]], pull: float = 1e-3, seed: int = 0) -> Tensor:
    """(C,) float64, strictly increasing in the order of removal: the losses summed up until each channel goes.

    ``layers`` read the same C channels: what each reads (M, C, f) and its weights (C, f, O). They count alike, each in
    units of its own output. Of equal losses the lower index goes first.
    """
    parts = [_Reader.of(patches.double(), weight.double(), pull, seed) for patches, weight in layers]
    count = layers[0][1].shape[0]
    gone = torch.zeros(count, dtype=torch.bool)
    scores = torch.empty(count, dtype=torch.float64)
    total = 0.0
    for _ in range(count):
        losses = torch.stack([part.losses().cpu() for part in parts]).sum(0).masked_fill(gone, float("inf"))
        pick = int(losses.argmin())
        higher = torch.nextafter(torch.tensor(total, dtype=torch.float64), torch.tensor(float("inf")).double())
        total = max(total + float(losses[pick]), float(higher))
        scores[pick], gone[pick] = total, True
        for part in parts:
            part.remove(pick)
    return scores


@dataclass(eq=False)
class _Reader:
    """One layer that reads the channels; what is left of it is held as P = (X_S X_S' + lambda I)^-1.

    By Woodbury's identity (H_S^-1)_cc = (I - X_c' P X_c) / lambda, so H and its inverse are never formed: the rows
    of X are reduced to at most as many as there are weights per output, or samples, whichever are fewer.
    """

    x: Tensor  # (R, C f)
    weight: Tensor  # (C, f, O)
    inverse: Tensor  # P, (R, R)
    inner: Tensor  # X_c' P X_c of every channel, (C, f, f)
    scale: float  # lambda over the energy of the output

    @staticmethod
    def of(patches: Tensor, weight: Tensor, pull: float, seed: int) -> _Reader:
        channels, entries, outputs = weight.shape
        x = patches.flatten(1)  # (M, C f)
        # the same products X'X from fewer rows; a copy either way, because channels that are gone are zeroed in it
        x = torch.linalg.qr(x, mode="r").R if len(x) > x.shape[1] else x.clone()
        energy = max(float((x @ weight.flatten(0, 1)).square().sum()), 1e-300)
        if outputs > MIXES:
            generator = torch.Generator().manual_seed(seed)
            signs = 2.0 * torch.randint(2, (outputs, MIXES), generator=generator).double() - 1
            weight = weight @ (signs.to(weight.device) / MIXES**0.5)
        held = max(pull * float(x.square().sum()) / x.shape[1], 1e-300)
        system = x @ x.T
        system.diagonal().add_(held)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
        blocks = x.reshape(len(x), channels, entries)
        inner = torch.einsum("rcf,rcg->cfg", blocks, (inverse @ x).reshape(blocks.shape))
        return _Reader(x, weight.clone(), inverse, inner, held / energy)

    def losses(self) -> Tensor:
        """(C,): what the layer's output loses when this channel goes and the others make up for it."""
        return self.scale * (self.weight * torch.linalg.solve(self._open(self.inner), self.weight)).sum((1, 2))

    def remove(self, channel: int) -> None:
        """The others take over what they can; ``channel`` is as if it had never been there."""
        channels, entries, _ = self.weight.shape
        own = self.x[:, channel * entries : (channel + 1) * entries]  # (R, f)
        pushed = self.inverse @ own
        across = (self.x.T @ pushed).reshape(channels, entries, entries)
        solved = torch.linalg.inv(self._open(self.inner[channel]))
        self.weight += across @ (solved @ self.weight[channel])
        self.inner += across @ solved @ across.mT
        self.inverse += pushed @ solved @ pushed.T
        # what is gone must stay harmless: it is never asked again, and nothing may overflow
        self.weight[channel], self.inner[channel] = 0, 0
        self.x[:, channel * entries : (channel + 1) * entries] = 0

    def _open(self, inner: Tensor) -> Tensor:
        return torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device) - inner
