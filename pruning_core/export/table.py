"""A table as CSV and as LaTeX; what a stranger has named does nothing in either."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

Cell = str | int | float | None
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how a cell begins that a spreadsheet would run
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\u202f": r"\,", "±": r"$\pm$", "−": r"$-$", "–": "--",
    "×": r"$\times$", "→": r"$\to$",
}  # fmt: skip


def csv_of(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Numbers as numbers, texts as texts: one that a spreadsheet would take for a formula gets a quote before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for row in (head, *rows):
        writer.writerow([_harmless(cell) if isinstance(cell, str) else "" if cell is None else cell for cell in row])
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) or text.startswith(FORMULA) else text


def latex_of(head: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> str:
    """A tabular with booktabs rules; numbers stand right, texts left."""
    numeric = [all(isinstance(row[at], int | float | None) for row in rows) for at in range(len(head))]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        rf"\caption{{{_plain(caption)}}}",
        rf"\begin{{tabular}}{{{''.join('r' if each else 'l' for each in numeric)}}}",
        r"\toprule",
        _row(head),
        r"\midrule",
        *map(_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[Cell]) -> str:
    return " & ".join("--" if cell is None else _plain(f"{cell:,}" if isinstance(cell, int) else str(cell))
                      for cell in cells) + r" \\"  # fmt: skip


def _plain(text: str) -> str:
    """Every sign that LaTeX reads as more than itself, written so that it does not; on one line."""
    return "".join(" " if sign in "\t\r\n" else SPECIAL.get(sign, sign) for sign in text)
