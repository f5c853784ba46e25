"""Draw the small part of CIFAR-10's test images that the repository carries, and write down where it comes from.

    python -m tools.cifar_sample --data FOLDER

FOLDER holds cifar10_test.zip: one folder per class, of JPEG files. Their bytes are kept as they are: they are smaller
than any lossless form of the same pixels, and nothing is compressed a second time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pruning_core.datasets.sample import ASSETS, PATH

CHOOSING, REPORTING = 100, 100  # images of each class
SOURCE = "cifar10_test.zip"
PAPER = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Draw the CIFAR-10 sample.")
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {SOURCE}")
    parser.add_argument("--out", type=Path, default=ASSETS, help="where to write (default: the repository's assets)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    source = options.data / SOURCE
    if not source.is_file():
        print(f"There is no {SOURCE} in that folder.", file=sys.stderr)
        return 1
    print(json.dumps(draw(source, options.out, options.seed), indent=2))
    return 0


def draw(source: Path, out: Path, seed: int) -> dict[str, Any]:
    """Write ``out/cifar10_sample.zip`` and ``.json``; returns the provenance."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / PATH.name
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as part:
        classes: dict[str, list[str]] = {}
        for name in sorted(name for name in whole.namelist() if not name.endswith("/")):
            classes.setdefault(name.split("/")[0], []).append(name)
        for at, names in enumerate(classes.values()):
            # The stream of this generator is frozen by NumPy's policy: the same images on every machine.
            chosen = np.random.RandomState(seed + at).permutation(len(names))[: CHOOSING + REPORTING]
            for folder, picked in (("train", chosen[:CHOOSING]), ("test", chosen[CHOOSING:])):
                for name in sorted(names[number] for number in picked):
                    part.writestr(zipfile.ZipInfo(f"{folder}/{name}"), whole.read(name))
    provenance = {
        "name": path.stem,
        "what": "images of the test part of CIFAR-10, 32 x 32 pixels",
        "source": PAPER,
        "classes": list(classes),
        "to choose by": CHOOSING * len(classes),
        "to report on": REPORTING * len(classes),
        "drawn": f"{CHOOSING} and {REPORTING} of every class, without repetition, by seed {seed}; a member's name says "
        "which image of the source it is",
        "folders": {"train": "to score, recalibrate and choose by; none was trained on", "test": "to report on"},
        "compression": f"the JPEG files of {SOURCE}, byte for byte; they were made from the published pixels",
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seed": seed,
        "command": "python -m tools.cifar_sample --data FOLDER" + (f" --seed {seed}" if seed else ""),
    }
    text = json.dumps(provenance, indent=2, ensure_ascii=False)
    (out / f"{path.stem}.json").write_text(text + "\n", encoding="utf-8")
    return provenance


if __name__ == "__main__":
    sys.exit(main())
