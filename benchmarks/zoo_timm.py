"""timm's families: half of every exact group removed, against the same units silenced, in float64.

    python -m benchmarks.zoo_timm [NAME ...]

What is looked at is what `make test-zoo` asserts (tests/core/timm_zoo.py). Rows of the named networks (or of all) are
replaced in the table in results/, each with the commit that it was measured at.
"""

from __future__ import annotations

import datetime
import gc
import subprocess
import sys
import time
import warnings
from pathlib import Path

import timm
import torch

from tests.core.graph_zoo import Row, examine
from tests.core.timm_zoo import TIMM, build, smallest_side

RESULT = Path(__file__).parent / "results" / "zoo_timm.md"
COLUMNS = (
    *("network", "pixels", "form", "exact groups (attention heads)", "approximate", "difference"),
    *("million MACs", "after", "seconds", "commit", "blocked entries, and why"),
)


def cells(row: Row, seconds: float, commit: str) -> str:
    values = (
        row.name,
        row.side,
        "refused" if row.refused else row.form if row.macs_after < row.macs else "",
        f"{row.exact} ({row.heads})" if row.heads else row.exact,
        row.approximate,
        "" if row.refused or row.macs_after == row.macs else f"{row.difference:.1e}",
        f"{row.macs / 1e6:.1f}",
        f"{row.macs_after / 1e6:.1f}",
        f"{seconds:.0f}",
        commit,
        row.refused or (f"{row.blocked}, most by {row.why}" if row.blocked else ""),
    )
    return "| " + " | ".join(map(str, values)) + " |"


def look(name: str, commit: str) -> str:
    """A line of the table; what fails is a line too."""
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = examine(name, build(name), smallest_side(name))
    except Exception as error:
        said = (str(error).splitlines() or [""])[0][:200]
        gaps = " |" * (len(COLUMNS) - 4)
        return f"| {name} | {smallest_side(name)} | FAILED{gaps} {commit} | {type(error).__name__}: {said} |"
    return cells(row, time.perf_counter() - began, commit)


def name_of(line: str) -> str:
    return line.split("|")[1].strip()


def write(lines: dict[str, str]) -> None:
    forms = [line.split("|")[3].strip() for line in lines.values()]
    worst = max((float(d) for d in (line.split("|")[6].strip() for line in lines.values()) if d), default=0.0)
    head = [
        "# timm's families, a random half of every exact group removed",
        "",
        f"{len(lines)} of the {len(TIMM)} listed networks: {forms.count('module')} as modules, "
        f"{forms.count('program')} as programs, {forms.count('')} without an exact group, "
        f"{forms.count('refused')} refused, {forms.count('FAILED')} failed; the largest difference is {worst:.1e}.",
        f"Last written {datetime.date.today().isoformat()} with timm {timm.__version__}, torch {torch.__version__},",
        "one CPU thread; each row at its own commit. Seconds are building and the whole look, so far on two cores",
        "beside much other work (a load of 5 to 20): they say nothing about an idle machine. Random weights and",
        "statistics, ten classes, float64. For each: removed against silenced at batch 1 and 2, relative to the",
        "largest output; forward and backward in training mode; closed forms of MACs and parameters equal to",
        "counting on the smaller network; the original untouched. Blocked entries leave out the classes.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
    ]
    body = [lines[name] for name in TIMM if name in lines]
    RESULT.write_text("\n".join([*head, *body]) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    for name in sys.argv[1:] or TIMM:
        line = look(name, commit)
        print(line, flush=True)
        known = RESULT.read_text(encoding="utf-8").splitlines() if RESULT.exists() else []
        rows = {name_of(row): row for row in known if row.startswith("| ") and name_of(row) in TIMM}
        write({**rows, name: line})
        gc.collect()


if __name__ == "__main__":
    main()
