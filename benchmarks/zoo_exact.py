"""Every torchvision classifier: half of every exact group removed, against the same units silenced, in float64.

    python -m benchmarks.zoo_exact [NAME ...]

What is looked at is what `make test-zoo` asserts (tests/core/graph_zoo.py). One row per network, and the table in
results/ when no name is given. Takes up to 16 GB and a quarter of an hour on an idle machine.
"""

from __future__ import annotations

import datetime
import gc
import subprocess
import sys
from pathlib import Path

import torch
import torchvision

from tests.core.graph_zoo import SINGLE, TORCHVISION, Row, build, examine, smallest_side

RESULT = Path(__file__).parent / "results" / "zoo_exact.md"
COLUMNS = (
    "network",
    "pixels",
    "form",
    "exact groups (attention heads)",
    "approximate",
    "relative difference",
    "MACs",
)


def cells(row: Row) -> str:
    values = (
        row.name,
        row.side,
        row.form,
        f"{row.exact} ({row.heads})" if row.heads else row.exact,
        row.approximate,
        row.refused or f"{row.difference:.1e}" + (" (float32)" if row.name in SINGLE else ""),
        f"{row.macs / row.macs_after:.2f}x",
    )
    return "| " + " | ".join(map(str, values)) + " |"


def look(name: str) -> tuple[Row | None, str]:
    """The row, and a line of the table; what fails is a line too."""
    side = smallest_side(name)
    try:
        row = examine(name, build(name, side), side, single=name in SINGLE)
    except Exception as error:
        return None, f"| {name} | {side} | FAILED: {type(error).__name__}: {str(error)[:200]} |"
    return row, cells(row)


def main() -> None:
    torch.set_num_threads(1)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    names = sys.argv[1:] or TORCHVISION
    rows, lines = [], []
    for name in names:
        row, line = look(name)
        rows.append(row)
        lines.append(line)
        print(line, flush=True)
        gc.collect()
    done = [row for row in rows if row and not row.refused]
    head = [
        "# Every torchvision classifier, a random half of every exact group removed",
        "",
        f"{len(done)} of {len(names)} exact; the largest difference is {max(r.difference for r in done):.1e} "
        f"({max(r.difference for r in done if r.name not in SINGLE):.1e} in float64).",
        f"Commit {commit}, {datetime.date.today().isoformat()}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, one CPU thread beside other work. Random weights and statistics, small images.",
        "For each: removed against silenced at batch 1 and 2 (relative to the largest output; to 1e-10 in float64),",
        "forward and backward in training mode at batch 1 and 2 (one image where the network itself takes one), closed",
        "forms of MACs and parameters equal to counting on the smaller network, the original untouched.",
        f"In float32, to 1e-4 and without backward: {', '.join(SINGLE)}; in float64 they do not fit in 16 GB.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    if len(names) == len(TORCHVISION):
        RESULT.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    print(head[2])


if __name__ == "__main__":
    main()
