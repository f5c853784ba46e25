"""A zip that is open, the names in it, and some of its members as pictures."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from pruning_core.datasets import zip_names
from pruning_core.datasets.findings import Finding, archive
from pruning_core.datasets.safe_zip import read_member


@dataclass(frozen=True, eq=False)
class Opened:
    """``names``: of its members, in their order; ``name``: what the visitor calls it."""

    archive: zipfile.ZipFile
    name: str
    names: Sequence[str]
    findings: tuple[Finding, ...]

    def data(self, member: int) -> bytes:
        """Raises UserError when it is damaged."""
        return read_member(self.archive, self.archive.infolist()[member], self.name)


@dataclass(frozen=True, eq=False)
class Members:
    """Pictures of archives by number and name, in the order in which they are decoded."""

    chosen: Sequence[tuple[Opened, int, str]]

    def __len__(self) -> int:
        return len(self.chosen)

    def name(self, at: int) -> str:
        return self.chosen[at][2]

    def data(self, at: int) -> bytes:
        opened, member, _ = self.chosen[at]
        return opened.data(member)


def named(opened: zipfile.ZipFile, name: str, code_page: str | None) -> Opened:
    """With names read in ``code_page`` where they do not say theirs; None guesses and says so."""
    names, read_as, sure = zip_names.decoded(opened.infolist(), code_page)
    if not read_as:
        return Opened(opened, name, names, ())
    example = next(each for each in names if not each.isascii())
    return Opened(opened, name, names, (archive.CodePage(read_as, example, sure or code_page is not None),))
