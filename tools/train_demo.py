"""Train a demo network and write its weights and provenance.

    python -m tools.train_demo digits_resnet
    python -m tools.train_demo cifar_resnet56 --data FOLDER

FOLDER holds cifar10_train.zip and cifar10_test.zip, image folders by class; without it torchvision's copy is fetched.
The network never sees the held-out images, and test images only at the end: the accuracy written down is that of the
last epoch, whatever it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from pruning_core.datasets import DataRef, Dataset, hold_out, import_data, load_splits
from pruning_core.errors import UserError
from pruning_core.zoo.architectures import architecture
from pruning_core.zoo.demos import ASSETS, DEMOS, Demo, demo
from tools.recipe import RECIPES, Recipe, accuracy, has_bfloat16, train


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Train a demo network.")
    parser.add_argument("name", choices=[item.name for item in DEMOS])
    parser.add_argument("--data", type=Path, help="folder with cifar10_train.zip and cifar10_test.zip")
    parser.add_argument("--out", type=Path, default=ASSETS, help="where to write (default: the repository's assets)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--images", type=int, help="train on this many random images only")
    parser.add_argument("--seed", type=int, help="instead of the demo's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    chosen = demo(options.name)
    recipe = RECIPES[chosen.name]
    recipe = recipe if options.epochs is None else dataclasses.replace(recipe, epochs=options.epochs)
    chosen = dataclasses.replace(chosen, seed=chosen.seed if options.seed is None else options.seed)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            train_demo(chosen, recipe, options.data, options.out, Path(scratch), options.device, options.images)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def train_demo(
    chosen: Demo, recipe: Recipe, folder: Path | None, out: Path, scratch: Path, device: str, images: int | None = None
) -> dict[str, Any]:
    """Train, measure, write ``out/<name>.safetensors`` and ``.json``; returns the provenance."""
    ref = _data(chosen, folder, scratch)
    training, test = load_splits(ref, scratch, lambda what, done, total: print(f"{what}: {done:,} of {total:,}"))
    fit, held_out = hold_out(training, ref)
    fit = fit if images is None else fit.subset(images, chosen.seed)
    torch.backends.cudnn.benchmark = True  # one batch size all along, so trying the kernels once pays
    torch.manual_seed(chosen.seed)
    model = architecture(chosen.architecture).build(len(fit.classes), fit.size[0])
    seconds = 0.0
    for done in train(model, fit, recipe, chosen.seed, device):
        seconds = done.seconds
        print(f"epoch {done.epoch + 1}/{recipe.epochs}: loss {done.loss:.4f}, {seconds:.0f} s", flush=True)
    weights = _bytes(model)
    provenance = {
        "name": chosen.name,
        "title": chosen.title,
        "architecture": chosen.architecture,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "classes": fit.classes,
        "mean": fit.mean,
        "std": fit.std,
        "accuracy": {
            "test": accuracy(model, test, device),
            "test_images": len(test),
            "held_out": accuracy(model, held_out, device),
            "held_out_images": len(held_out),
        },
        "data": _described(ref, fit, images),
        "recipe": dataclasses.asdict(recipe),
        "seed": chosen.seed,
        "command": _command(chosen, recipe, folder, images),
        "precision": "bfloat16 mixed" if recipe.mixed and has_bfloat16(device) else "float32",
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "CPU",
        "seconds": round(seconds, 1),
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{chosen.name}.safetensors").write_bytes(weights)
    text = json.dumps(provenance, indent=2, ensure_ascii=False)
    (out / f"{chosen.name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return provenance


def _data(chosen: Demo, folder: Path | None, scratch: Path) -> DataRef:
    if folder is None or chosen.trained_on.source == "digits":
        return chosen.trained_on
    zips = [folder / f"cifar10_{part}.zip" for part in ("train", "test")]
    for path in zips:
        if not path.is_file():
            raise UserError(
                f"There is no {path.name} in that folder. It should hold {zips[0].name} and {zips[1].name}."
            )
    read = import_data(zips[0], zips[0].name, scratch, test_file=zips[1])
    return dataclasses.replace(
        read, name=chosen.trained_on.name
    )  # the images are known by their digests, not by a file's name


def _described(ref: DataRef, fit: Dataset, images: int | None) -> dict[str, Any]:
    return {
        "source": ref.source,
        "name": ref.name,
        "digest": ref.digest,
        "test_digest": ref.test_digest,
        "held_out": ref.held_out,
        "split_seed": ref.seed,
        "training_images": len(fit),
        "subset": images is not None,
    }


def _bytes(model: nn.Module) -> bytes:
    state = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in model.state_dict().items()}
    return save(state)


def _command(chosen: Demo, recipe: Recipe, folder: Path | None, images: int | None) -> str:
    words = ["python", "-m", "tools.train_demo", chosen.name]
    if folder is not None and chosen.trained_on.source != "digits":
        words += ["--data", "FOLDER"]  # never a path of the machine it ran on
    usual = demo(chosen.name)
    if recipe.epochs != RECIPES[chosen.name].epochs:
        words += ["--epochs", str(recipe.epochs)]
    if images is not None:
        words += ["--images", str(images)]
    if chosen.seed != usual.seed:
        words += ["--seed", str(chosen.seed)]
    return shlex.join(words)


if __name__ == "__main__":
    sys.exit(main())
