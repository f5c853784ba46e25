"""What lies in an archive besides that for which it is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from pruning_core.datasets.findings import Finding, archive

LEFT_BEHIND = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "$recycle.bin"})
TEXTS = frozenset({".txt", ".md", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".html", ".htm", ".pdf", ".py"})
KINDS = 5  # suffixes that a sentence lists


def suffix(name: str) -> str:
    """In small letters, with its dot."""
    return os.path.splitext(name)[1].lower()


def is_left_behind(name: str) -> bool:
    """Whether a system or an editor put it there."""
    return any(part.startswith(".") or part.lower() in LEFT_BEHIND for part in name.split("/"))


def beside(left_behind: Sequence[str], others: Sequence[str]) -> list[Finding]:
    """What there is to say of what systems left behind, and of ``others``, which are files and are not read."""
    found: list[Finding] = []
    files = [each for each in left_behind if not each.endswith("/")]
    if files:
        found.append(archive.Clutter(len(files), files[0]))
    texts = [each for each in others if suffix(each) in TEXTS]
    strange = [each for each in others if suffix(each) not in TEXTS]
    if texts:
        found.append(archive.TextsBeside(len(texts), texts[0]))
    if strange:
        kinds = Counter(suffix(each) for each in strange).most_common(KINDS)
        found.append(archive.LeftOut(len(strange), tuple(kind for kind, _ in kinds), strange[0]))
    return found
