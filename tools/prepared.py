"""Measure what the pages show before anything has run: each demo, cut to several sizes and mended.

    python -m tools.prepared              all demos whose weights are here
    python -m tools.prepared digits_vgg   one of them

Writes ``assets/prepared/NAME.json``: every number with the images, device, threads and date behind it. The same run as
the Show page starts for any network (``studies/front.py``), but that all sizes are timed in turns.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pruning_core.datasets import load_data
from pruning_core.measuring.beside import latency_of, timing_in_turns
from pruning_core.measuring.device import device_title
from pruning_core.measuring.forward import ready
from pruning_core.measuring.measures import Latency
from pruning_core.storage.codec import encode
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.answers import read_answers
from pruning_core.studies.front import PASSES, SHARES, FrontPoint, FrontRun
from pruning_core.work import finished
from pruning_core.zoo import LoadedModel, load_model
from pruning_core.zoo.demos import ASSETS, DEMOS, Demo, available_demos, demo

FOLDER = ASSETS / "prepared"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Measure the prepared results of the demos.")
    parser.add_argument("demos", nargs="*", help="their names; all that are here where none is named")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for chosen in [demo(name) for name in options.demos] or available_demos():
        with tempfile.TemporaryDirectory() as scratch:
            found = prepared(Workspace(scratch), chosen)
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        (options.out / f"{chosen.name}.json").write_text(text, encoding="utf-8")
    return 0


def prepared(workspace: Workspace, chosen: Demo = DEMOS[0], shares: tuple[float, ...] = SHARES) -> dict[str, Any]:
    """The whole document of one demo, measured now on the processor."""
    facts = json.loads(chosen.provenance_path.read_text(encoding="utf-8"))
    run = FrontRun(chosen.ref, chosen.data, shares=shares, device="cpu")
    found = [event for event in run.run(workspace) if isinstance(event, FrontPoint)]
    times = timed([load_model(each.model, workspace) for each in found], found[0].latency.batch_size)
    points = [replace(point, latency=latency) for point, latency in zip(found, times, strict=True)]
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
        "command": f"python -m tools.prepared {chosen.name}",
        "points": [_point(each, len(test.classes), workspace) for each in points],
    }


def timed(networks: Sequence[LoadedModel], batch: int) -> list[Latency]:
    """In turns, so that whatever else the machine does meets all of them alike."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, *networks[0].input_size, generator=generator)
    modules = {at: ready(each.model, "cpu") for at, each in enumerate(networks)}
    times = finished(timing_in_turns(modules, x, PASSES, seed=0))
    return [latency_of(times[at], x) for at in range(len(networks))]


def _point(point: FrontPoint, classes: int, workspace: Workspace) -> dict[str, Any]:
    answers = read_answers(workspace, point.answered.digest, classes) if point.answered.of_classes else None
    return {
        "share": point.share,
        "plan": json.loads(point.plan),
        "cost": _plain(point.cost),
        "accuracy": _plain(point.answered.accuracy),
        "latency": _plain(point.latency),
        "drop": _plain(point.drop),
        "predicted": " ".join(str(each) for each in answers.predicted.tolist()) if answers else "",
        "confidence": " ".join(f"{each:.3f}" for each in answers.confidence.tolist()) if answers else "",
    }


def _plain(value: Any) -> Any:
    found = encode(value)
    return {key: item for key, item in found.items() if key != "$"} if isinstance(found, dict) else found


if __name__ == "__main__":
    sys.exit(main())
