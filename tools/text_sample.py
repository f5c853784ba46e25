"""Draw windows of text out of the help that comes with Python, and write down where they come from.

    python -m tools.text_sample

The text differs between versions of Python, so that the windows are kept in the repository. Many topics repeat others:
each paragraph is kept once, so that no window for testing was read in training.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from pruning_core.datasets.sample import ASSETS
from pruning_core.datasets.text_sample import PATH

LENGTH = 64  # characters that a window shows
TESTING = 0.1  # share of the topics
RARE = 20  # a character that occurs less often is written as UNKNOWN
UNKNOWN = "?"
PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "."})
SOURCE = "pydoc_data.topics of Python {version}, Copyright 2001-2023 Python Software Foundation; All Rights Reserved"
LICENCE = "PSF License Agreement, https://docs.python.org/3/license.html"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Draw the windows of text.")
    parser.add_argument("--out", type=Path, default=ASSETS, help="where to write (default: the repository's assets)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(json.dumps(draw(options.out, options.seed), indent=2))
    return 0


def draw(out: Path, seed: int, texts: dict[str, str] = topics) -> dict[str, Any]:
    """Write ``out/python_help.npz`` and ``.json``; returns the provenance."""
    parts = divided(texts, seed)
    counted = Counter("".join(parts))
    known = sorted({UNKNOWN, *(each for each, times in counted.items() if times >= RARE)})
    arrays: dict[str, np.ndarray] = {}
    for name, text in zip(("", "test_"), parts, strict=True):
        numbers = np.array([known.index(each if each in known else UNKNOWN) for each in text], np.uint8)
        starts = np.arange(0, len(numbers) - LENGTH, LENGTH)
        windows = numbers[starts[:, None] + np.arange(LENGTH + 1)]
        arrays |= {f"{name}inputs": windows[:, :-1], f"{name}labels": windows[:, 1:]}
    out.mkdir(parents=True, exist_ok=True)
    path = out / PATH.name
    np.savez_compressed(path, allow_pickle=False, **arrays)
    provenance = {
        "name": path.stem,
        "what": f"windows of {LENGTH} characters, and for each character the one that follows",
        "source": SOURCE.format(version=platform.python_version()),
        "licence": LICENCE,
        "changed": "paragraphs that occur again are left out, quotation marks and dashes are plain, and a character "
        f"that occurs less than {RARE} times is {UNKNOWN}",
        "to train on": len(arrays["inputs"]),
        "to report on": len(arrays["test_inputs"]),
        "divided": f"by topics: {TESTING:.0%} of them, drawn by seed {seed}, are for testing",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seed": seed,
        "command": "python -m tools.text_sample" + (f" --seed {seed}" if seed else ""),
        "characters": "".join(known),
    }
    text = json.dumps(provenance, indent=2, ensure_ascii=False)
    (out / f"{path.stem}.json").write_text(text + "\n", encoding="utf-8")
    return provenance


def divided(texts: dict[str, str], seed: int) -> tuple[str, str]:
    """(for training, for testing): no paragraph is in both."""
    names = sorted(texts)
    # The stream of this generator is frozen by NumPy's policy: the same topics on every machine.
    testing = np.random.RandomState(seed).permutation(len(names))[: round(TESTING * len(names))]
    parts: tuple[list[str], list[str]] = ([], [])
    seen = set[str]()
    for at, name in enumerate(names):
        for paragraph in texts[name].translate(PLAIN).split("\n\n"):
            if paragraph.strip() and paragraph.strip() not in seen:
                seen.add(paragraph.strip())
                parts[at in testing].append(paragraph)
    return "\n\n".join(parts[0]), "\n\n".join(parts[1])


if __name__ == "__main__":
    sys.exit(main())
