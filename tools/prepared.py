"""Measure what the first page shows before anything has run: the first demo, cut to several sizes and mended.

    python -m tools.prepared

Writes ``assets/prepared.json``: every number with the images, device, threads and date behind it. The same run as the
Show page starts for any network (``studies/front.py``).
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from pruning_core.datasets import load_data
from pruning_core.measuring.device import device_title
from pruning_core.storage.codec import encode
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.answers import read_answers
from pruning_core.studies.front import SHARES, FrontPoint, FrontRun
from pruning_core.zoo.demos import ASSETS, DEMOS

PATH = ASSETS / "prepared.json"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Measure the prepared result of the first page.")
    parser.add_argument("--out", type=Path, default=PATH)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        found = prepared(Workspace(scratch))
    options.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def prepared(workspace: Workspace, shares: tuple[float, ...] = SHARES) -> dict[str, Any]:
    """The whole document, measured now on the processor."""
    chosen = DEMOS[0]
    facts = json.loads(chosen.provenance_path.read_text(encoding="utf-8"))
    run = FrontRun(chosen.ref, chosen.data, shares=shares, device="cpu")
    points = [event for event in run.run(workspace) if isinstance(event, FrontPoint)]
    test = load_data(chosen.data, workspace)
    return {
        "network": chosen.name,
        "title": chosen.title,
        "weights_sha256": facts["weights_sha256"],
        "data": f"{test.name} ({test.split})",
        "images": len(test),
        "criterion": run.criterion.label,
        "recovery": run.recovery.card.name,
        "recovery_images": run.recovery.looks_at,
        "seed": run.seed,
        "device": device_title("cpu"),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
        "command": "python -m tools.prepared",
        "points": [_point(each, len(test.classes), workspace) for each in points],
    }


def _point(point: FrontPoint, classes: int, workspace: Workspace) -> dict[str, Any]:
    answers = read_answers(workspace, point.answered.digest, classes)
    return {
        "share": point.share,
        "plan": json.loads(point.plan),
        "cost": _plain(point.cost),
        "accuracy": _plain(point.answered.accuracy),
        "latency": _plain(point.latency),
        "drop": _plain(point.drop),
        "predicted": " ".join(str(each) for each in answers.predicted.tolist()),
        "confidence": " ".join(f"{each:.3f}" for each in answers.confidence.tolist()),
    }


def _plain(value: Any) -> Any:
    found = encode(value)
    return {key: item for key, item in found.items() if key != "$"} if isinstance(found, dict) else found


if __name__ == "__main__":
    sys.exit(main())
