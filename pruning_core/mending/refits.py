"""What removing units of one group changes in the layers that read it, for any number of removals from one network.

The images run through the network once, or, where the equations of all layers together would take too much memory,
once for every part of the groups that fits. After that a removal costs the solving of its layers' equations alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan
from pruning_core.graph.copies import copied
from pruning_core.mending.collected import Collected, Reader, collect, seen
from pruning_core.mending.looking import Report
from pruning_core.mending.mend import seen_through, tensors_of
from pruning_core.mending.windows import POSITIONS
from pruning_core.probe.shadow import shadow

MOST_BYTES = 1 << 30  # of equations that are held at a time
NOT_EXACT = "a normalisation sees all its channels together, so what is left of them is read differently"
UNREAD = "no weight reads it"


class Refits:
    """``groups`` may lose units, one of them at a time; ``images`` (N, ...) are inputs, normalised, to fit on.

    ``unmended`` says by group why nothing that reads it can be refitted; ``partly`` the same of single layers of groups
    where others can be. ``walks`` counts how often the images went through the network. Solved weights are kept: of all
    removals together, as much as the layers that read them hold. The caller's model is untouched. Raises UserError for
    fewer than two images.
    """

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        groups: Sequence[str],
        images: Tensor,
        *,
        positions: int = POSITIONS,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if len(images) < 2:
            raise UserError("Mending compares images with images set apart. Choose at least two.")
        there = model if device == "cpu" else copied(model).to(device)
        self.model, self.network, self.groups = seen_through(shadow(there)), network, tuple(groups)
        self.images, self.positions, self.walks = images.to(device), positions, 0
        self.tensors = {name: tensor.detach() for name, tensor in tensors_of(self.model).items()}
        dims = {m.parameter: m.dim for key in self.groups for m in network.group(key).consumers}
        self.dice = {name: seed * 1_000_003 + number for number, name in enumerate(dims)}
        self.readers, blind = seen(self.model, dims, self.images[:2])
        for name in [name for name, reader in self.readers.items() if reader.bytes > MOST_BYTES]:
            del self.readers[name]
            blind[name] = "it reads so many inputs that their equations would not fit into memory"
        self.unmended: dict[str, str] = {}
        self.partly: dict[str, str] = {}
        for key in self.groups:
            self._sort(key, blind)
        self._held: dict[str, Collected] = {}
        self._solved: dict[tuple[str, tuple[int, ...]], dict[str, Tensor]] = {}

    def _sort(self, key: str, blind: Mapping[str, str]) -> None:
        names = list(dict.fromkeys(m.parameter for m in self.network.group(key).consumers))
        wrong = [f"{name}: {blind[name]}" for name in names if name in blind]
        if not self.network.group(key).exact:
            self.unmended[key] = NOT_EXACT
        elif not names:
            self.unmended[key] = UNREAD
        elif len(wrong) == len(names):
            self.unmended[key] = wrong[0]
        elif wrong:
            self.partly[key] = wrong[0]

    @property
    def mended(self) -> frozenset[str]:
        """The groups whose removals are mended, at least in one layer."""
        return frozenset(self.groups) - self.unmended.keys()

    def begin(self, report: Report) -> None:
        """Collect the first equations now, so that ``report(what, done, total)`` hears of it; it may raise."""
        if first := next((key for key in self.groups if key in self.mended), None):
            self._collect(first, report)

    def __call__(self, removal: tuple[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """Parameters and buffers by name, whole, as they are after units of a group went; nothing where nothing can."""
        key, units = removal
        if key not in self.mended or not units:
            return {}
        kept = {at: torch.from_numpy(index) for at, index in self.network.kept(Plan({key: units})).items()}
        if removal not in self._solved:
            self._solved[removal] = self._solve(key, kept)
        changed = dict(self._solved[removal])
        for reader in self._readers(key):
            changed[reader.weight] = _spread(
                changed[reader.weight], self.tensors[reader.weight], reader.dim, kept.get((reader.weight, reader.dim))
            )
        return changed

    def _solve(self, key: str, kept: Mapping[tuple[str, int], Tensor]) -> dict[str, Tensor]:
        """As :meth:`__call__`, with weights without what nothing reads any more: half the memory."""
        readers = self._readers(key)
        if any(reader.weight not in self._held for reader in readers):
            self._collect(key, lambda what, done, total: None)
        changed: dict[str, Tensor] = {}
        for reader in readers:
            left = kept.get((reader.weight, reader.dim))
            changed |= self._held[reader.weight].refitted(self.tensors, left)
            if left is not None:
                weight = changed[reader.weight]
                changed[reader.weight] = weight.index_select(reader.dim, left.to(weight.device))
        return changed

    def _readers(self, key: str) -> list[Reader]:
        names = dict.fromkeys(m.parameter for m in self.network.group(key).consumers)
        return [self.readers[name] for name in names if name in self.readers]

    def _collect(self, first: str, report: Report) -> None:
        """The equations of the group ``first`` and of as many after it as fit beside them; others are given up."""
        self._held = {}
        wanted: dict[str, Reader] = {}
        for key in self.groups[self.groups.index(first) :]:
            if key in self.mended:
                more = wanted | {reader.weight: reader for reader in self._readers(key)}
                if wanted and sum(reader.bytes for reader in more.values()) > MOST_BYTES:
                    break
                wanted = more
        self._held = collect(self.model, wanted.values(), self.images, self.positions, self.dice, report)
        self.walks += 1


def _spread(compact: Tensor, whole: Tensor, dim: int, kept: Tensor | None) -> Tensor:
    """``compact`` at ``kept`` positions of ``dim``, zero at the others of the size of ``whole``."""
    if kept is None:
        return compact
    return torch.zeros_like(whole).index_copy_(dim, kept.to(whole.device), compact)
