"""What somebody else wrote, as text: a name out of a file may hold Markdown, and a picture in it would be fetched."""

from __future__ import annotations

import re

# Pictures, links, directives, code, emphasis, formulas and tables all need one of these; the rest stays legible.
MARKS = re.compile(r"([\\\[\]<>`*$~|])")
JOINED = "\N{WORD JOINER}"  # invisible; an address with it in is none, so that nothing is offered to be clicked


def literal(text: str) -> str:
    """``text`` in such a way that Markdown shows it as it is, on one line."""
    plain = MARKS.sub(r"\\\1", " ".join(text.split()))
    return plain.replace("://", f":{JOINED}//").replace("www.", f"www{JOINED}.")
