"""Where a number comes from. No number is shown without one of these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pages.ui.language import N_, _, ngettext, said
from pruning_core.errors import clip

# What a measurement calls the part of the data that it saw.
PARTS = {
    "train": N_("{name} (train)"),
    "fit": N_("{name} (fit)"),
    "held-out": N_("{name} (held-out)"),
    "test": N_("{name} (test)"),
}
PART = re.compile(rf"(.*) \(({'|'.join(PARTS)})\)", re.DOTALL)
CHINESE = re.compile("[\u4e00-\u9fff]")
ON = 160  # characters of what was measured on: the name of a data set is a stranger's


class Mark(StrEnum):
    MEASURED = N_("measured")
    DERIVED = N_("derived")
    ESTIMATED = N_("estimated")
    PUBLISHED = N_("published")

    @property
    def color(self) -> str:
        """The name of a colour in the page's palette."""
        return {"measured": "green", "derived": "blue", "estimated": "orange", "published": "violet"}[self.value]


HEADS = {
    Mark.MEASURED: N_("Measured: {facts}"),
    Mark.DERIVED: N_("Derived: {facts}"),
    Mark.ESTIMATED: N_("Estimated: {facts}"),
    Mark.PUBLISHED: N_("Published: {facts}"),
}


@dataclass(frozen=True)
class Provenance:
    """`facts` says everything but the mark; `brief` is the few words that stand beside the number."""

    mark: Mark
    facts: str
    brief: str = ""

    @property
    def sentence(self) -> str:
        """The tooltip."""
        facts = said(self.facts)
        return _(HEADS[self.mark]).format(facts=facts.removesuffix(".") + _(".") if facts.endswith(".") else facts)


def measured(
    on: str, *, images: int | None = None, device: str = "CPU", seed: int | None = None, note: str = ""
) -> Provenance:
    """Run here and now (or by the command named in `note`) on real data: `on` names the data set and split."""
    on = part_of(clip(on, ON))
    facts = [on]
    if images is not None:
        facts.append(_images(images))
    facts.append(device)
    if seed is not None:
        facts.append(_("seed {seed}").format(seed=seed))
    brief = _images(images) if images is not None else on
    text = _(", ").join(facts) + _(".")
    return Provenance(
        Mark.MEASURED, _("{text} {note}").format(text=text, note=note).rstrip(), _(", ").join((brief, device))
    )


def part_of(data: str) -> str:
    """`digits (test)`, as a measurement names what it saw, in the visitor's language."""
    found = PART.fullmatch(data)
    return _(PARTS[found[2]]).format(name=found[1]) if found else data


def processor(device: str, threads: int) -> str:
    """The device; a CPU with the threads that worked."""
    if device.upper() != "CPU":
        return device
    return ngettext("{device}, {n} thread", "{device}, {n} threads", threads).format(device=device, n=threads)


def derived(how: str) -> Provenance:
    """Computed exactly from the network itself, such as a count of parameters."""
    return Provenance(Mark.DERIVED, _sentence(how))


def estimated(by: str, off_by: str | None = None) -> Provenance:
    """A model's answer: `by` names the model, `off_by` how wrong it was last time it could be checked."""
    check = (
        _("Last time it could be checked it was off by {off_by}.").format(off_by=off_by)
        if off_by
        else _("It has not been checked here yet.")
    )
    return Provenance(Mark.ESTIMATED, _sentence(by, check), f"± {off_by}" if off_by else _("unchecked"))


def published(source: str, *, verified: bool = True) -> Provenance:
    how = _("read in the source") if verified else _("read in a secondary source")
    return Provenance(Mark.PUBLISHED, f"{source} ({how}).", source)


def _images(number: int) -> str:
    return ngettext("{n:,} image", "{n:,} images", number).format(n=number)


def _sentence(text: str, note: str = "") -> str:
    # What is made while a page is imported is English still, and translated when it is drawn, for whoever that is.
    end = _(".") if CHINESE.search(text) else "."
    text = text if text.endswith("。") else text.rstrip(".") + end
    return f"{text} {note}" if note else text
