"""Images that come with a mask or a target picture each: two folders, and the same names in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pruning_core.datasets.findings import Finding, archive
from pruning_core.datasets.images import SUFFIXES
from pruning_core.datasets.leftovers import beside, is_left_behind, suffix
from pruning_core.datasets.listing import TEST_NAMES, TRAIN_NAMES
from pruning_core.errors import UserError, quoted


class Role(Enum):
    """What the pictures of a folder are; the names by which folders say so."""

    IMAGE = frozenset({"images", "image", "lr"})
    MASK = frozenset({"masks", "mask"})
    TARGET = frozenset({"targets", "target", "hr"})


@dataclass(frozen=True)
class Pair:
    """An image and its partner: members of an archive by number and name."""

    image: int
    partner: int
    name: str
    partner_name: str
    test: bool


@dataclass(frozen=True)
class Pairs:
    """All of an archive, training images first, then by name; ``role``: what the partners are."""

    role: Role
    pairs: tuple[Pair, ...]
    findings: tuple[Finding, ...]

    @property
    def plural(self) -> str:
        """What the partners are called."""
        return "masks" if self.role is Role.MASK else "targets"


@dataclass
class _Side:
    """The pictures of one role by what both partners are called: their folders and name, less role and suffix."""

    members: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)

    def add(self, key: tuple[str, str], at: int, name: str, whole: str) -> None:
        if key in self.members:
            raise UserError(
                f"{whole!r} holds both {quoted(self.members[key][1])} and {quoted(name)}, which differ in their suffix "
                "alone. Leave one of them."
            )
        self.members[key] = at, name


def pairs_in(names: Sequence[str], name: str) -> Pairs | None:
    """The pairs among the members ``names`` of the archive ``name``; None where no two folders say that they are pairs.

    The folders may lie in those of a training and a test part, or these in them. Raises UserError naming the file that
    has no partner.
    """
    sides: dict[Role, _Side] = {}
    rest: list[str] = []
    for at, each in enumerate(names):
        if is_left_behind(each) or each.endswith("/"):
            continue
        found = _placed(each) if suffix(each) in SUFFIXES else None
        if found is None:
            rest.append(each)
        else:
            role, key = found
            sides.setdefault(role, _Side()).add(key, at, each, name)
    if Role.IMAGE not in sides or len(sides) == 1:
        return None
    if len(sides) == 3:
        raise UserError(
            f"{name!r} holds both masks and target pictures for its images. Send it with one of them, and once more "
            "with the other."
        )
    role = next(each for each in sides if each is not Role.IMAGE)
    _check_partners(sides[Role.IMAGE].members, sides[role].members, role, name)
    parts = {part for part, _ in sides[Role.IMAGE].members}
    both = parts == {"train", "test"} or parts == {"", "test"}
    found_pairs = [
        Pair(at, sides[role].members[key][0], image, sides[role].members[key][1], both and key[0] == "test")
        for key, (at, image) in sorted(sides[Role.IMAGE].members.items())
    ]
    findings = beside([each for each in names if is_left_behind(each)], rest)
    if parts in ({"train"}, {"test"}):
        findings.append(archive.OnlyOnePart(parts.pop()))
    return Pairs(role, tuple(sorted(found_pairs, key=lambda each: (each.test, each.name))), tuple(findings))


def _placed(path: str) -> tuple[Role, tuple[str, str]] | None:
    """The role that a folder on ``path`` gives, and (part, what is left of the path); None without such a folder."""
    *folders, file = path.split("/")
    for at, folder in enumerate(folders):
        role = next((each for each in Role if folder.lower() in each.value), None)
        if role is None:
            continue
        left = folders[:at] + folders[at + 1 :]
        near = [place for place in (at - 1, at) if 0 <= place < len(left) and _part(left[place])]
        part = _part(left.pop(near[0])) if near else ""
        return role, (part, "/".join([*left, file[: -len(suffix(file))]]))
    return None


def _part(folder: str) -> str:
    """ "train", "test", or "" for any other folder."""
    lower = folder.lower()
    return "train" if lower in TRAIN_NAMES else "test" if lower in TEST_NAMES else ""


def _check_partners(
    images: Mapping[tuple[str, str], tuple[int, str]],
    partners: Mapping[tuple[str, str], tuple[int, str]],
    role: Role,
    name: str,
) -> None:
    what = "mask" if role is Role.MASK else "target picture"
    for some, others, lacks in ((images, partners, what), (partners, images, "image")):
        alone = sorted(some.keys() - others.keys())
        if alone:
            more = f", and {len(alone) - 1:,} more lack theirs" if len(alone) > 1 else ""
            raise UserError(
                f"{quoted(some[alone[0]][1])} in {name!r} has no {lacks}{more}. An image and its {what} have the same "
                f"name, one in a folder called images, the other in one called {what.split()[0]}s."
            )
