"""Where a number comes from. No number is shown without one of these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pruning_core.errors import clip

ON = 160  # characters of what was measured on: the name of a data set is a stranger's


class Mark(StrEnum):
    MEASURED = "measured"
    DERIVED = "derived"
    ESTIMATED = "estimated"
    PUBLISHED = "published"

    @property
    def color(self) -> str:
        """The name of a colour in the page's palette."""
        return {"measured": "green", "derived": "blue", "estimated": "orange", "published": "violet"}[self.value]


@dataclass(frozen=True)
class Provenance:
    """`facts` says everything but the mark; `brief` is the few words that stand beside the number."""

    mark: Mark
    facts: str
    brief: str = ""

    @property
    def sentence(self) -> str:
        """The tooltip."""
        return f"{self.mark.value.capitalize()}: {self.facts}"


def measured(
    on: str, *, images: int | None = None, device: str = "CPU", seed: int | None = None, note: str = ""
) -> Provenance:
    """Run here and now (or by the command named in `note`) on real data: `on` names the data set and split."""
    on = clip(on, ON)
    facts = [on]
    if images is not None:
        facts.append(_images(images))
    facts.append(device)
    if seed is not None:
        facts.append(f"seed {seed}")
    brief = _images(images) if images is not None else on
    return Provenance(Mark.MEASURED, _sentence(", ".join(facts), note), f"{brief}, {device}")


def derived(how: str) -> Provenance:
    """Computed exactly from the network itself, such as a count of parameters."""
    return Provenance(Mark.DERIVED, _sentence(how))


def estimated(by: str, off_by: str | None = None) -> Provenance:
    """A model's answer: `by` names the model, `off_by` how wrong it was last time it could be checked."""
    check = f"Last time it could be checked it was off by {off_by}." if off_by else "It has not been checked here yet."
    return Provenance(Mark.ESTIMATED, _sentence(by, check), f"± {off_by}" if off_by else "unchecked")


def published(source: str, *, verified: bool = True) -> Provenance:
    how = "read in the source" if verified else "read in a secondary source"
    return Provenance(Mark.PUBLISHED, f"{source} ({how}).", source)


def _images(number: int) -> str:
    return f"{number:,} image{'' if number == 1 else 's'}"


def _sentence(text: str, note: str = "") -> str:
    text = text.rstrip(".") + "."
    return f"{text} {note}" if note else text
