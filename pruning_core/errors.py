"""The one exception a person is meant to read, and how it quotes what a stranger wrote."""

from __future__ import annotations

QUOTED = 80  # characters of a name from a file: enough to find it there, too few to fill a page
LONGEST = 4000  # characters of a sentence: the net below those who forget to clip


class UserError(Exception):
    """A clear sentence: what is wrong, and what to do about it.

    Everything that is raised as something else is a bug of ours. A sentence longer than any that is meant to be read
    is cut: a name out of a file got into it. snippet: code that does what the sentence says, "" where there is none.
    """

    def __init__(self, sentence: str = "", snippet: str = "") -> None:
        super().__init__(clip(sentence, LONGEST) if len(sentence) > LONGEST else sentence)
        self.snippet = snippet


def clip(text: str, longest: int = QUOTED) -> str:
    """``text`` with its middle left out where it is longer than ``longest`` characters, and no unprintable ones.

    For every name that a file, and not the project, has chosen: keys, classes, operators, members of archives. Both
    ends are kept, because names differ in their ends and a file's suffix says what it is.
    """
    if len(text) > longest:
        tail = (longest - 1) // 3
        text = f"{text[: longest - 1 - tail]}…{text[len(text) - tail :]}"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def quoted(text: str, longest: int = QUOTED) -> str:
    """``clip`` in quotation marks, as it stands in a sentence."""
    return repr(clip(text, longest))
