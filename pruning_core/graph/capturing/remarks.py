"""What a network was seen doing beside calculating: said by name, and what it touches is no longer called exact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pruning_core.errors import quoted

SHOWN = 3  # places named in one sentence


class Act(StrEnum):
    """What was done; the value says it of one place."""

    DECIDES = "the network decides by a number that it reads from its data"
    DRAWS = "random numbers are drawn while evaluating"
    LEAVES = "the data leave PyTorch, so that what becomes of them cannot be followed"
    PACKED = "weights are packed into whole numbers, which cannot be cut"


# what follows from it for a group
MEANING = {
    Act.DECIDES: "only the path of the example was followed",
    Act.DRAWS: "as many as there are channels",
    Act.LEAVES: "",
    Act.PACKED: "",
}
SENTENCE = {
    Act.DECIDES: "The network decides by a number that it reads from its data, {}: only the path of the example was "
    "followed. With other data, groups that are marked as approximate may belong together in other ways.",
    Act.DRAWS: "The network draws random numbers while it evaluates, {}: it differs from itself when it runs twice.",
    Act.LEAVES: "The network hands its data to other code, {}, which cannot be followed: what it hands over stays.",
    Act.PACKED: "Some layers have their weights packed into whole numbers, {}: they cannot be cut.",
}
# what an operator is called by those who write networks
SPOKEN = {"_local_scalar_dense": "item", "_unique2": "unique"}


@dataclass(frozen=True)
class Remark:
    """``module`` is the one whose code was running ("" for the network's own), ``operator`` what it called."""

    act: Act
    module: str
    operator: str
    training: bool

    @property
    def place(self) -> str:
        where = f"in {quoted(self.module)}" if self.module else "in its own forward"
        return f"{where} ({self.spoken}{', while training' if self.training else ''})"

    @property
    def spoken(self) -> str:
        return SPOKEN.get(self.operator, self.operator)

    @property
    def reason(self) -> str:
        """Why a group is not exact, or blocked."""
        meaning = MEANING[self.act]
        return f"{self.act} {self.place}{', ' if meaning else ''}{meaning}"


def sentences(remarks: Iterable[Remark]) -> tuple[str, ...]:
    """One for everything that was done, naming the first places."""
    places: dict[Act, dict[str, None]] = {}
    for remark in remarks:
        places.setdefault(remark.act, {})[remark.place] = None
    return tuple(SENTENCE[act].format(_listed(list(places[act]))) for act in Act if act in places)


def _listed(places: list[str]) -> str:
    more = len(places) - SHOWN
    return ", ".join(places[:SHOWN]) + (f" and in {more} more places" if more > 0 else "")
