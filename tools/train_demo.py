"""Train a demo network and write its weights and provenance.

    python -m tools.train_demo digits_resnet
    python -m tools.train_demo text_gpt
    python -m tools.train_demo cifar_resnet56 --data FOLDER

FOLDER holds cifar10_train.zip and cifar10_test.zip, image folders by class; without it torchvision's copy is fetched.
The network never sees the held-out images and the test images; both are measured after every epoch and choose nothing:
the accuracy written down is that of the last epoch, whatever it is. The loop is the one that fine-tunes.
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
from pruning_core.datasets.text_sample import characters
from pruning_core.errors import UserError
from pruning_core.measuring.device import bfloat16_is_fast, choose_device, device_title
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.sequences import Perplexity, PositionsRight
from pruning_core.training.config import FineTune
from pruning_core.training.events import Epoch
from pruning_core.training.loop import fine_tune
from pruning_core.zoo.architectures import architecture
from pruning_core.zoo.demos import ASSETS, DEMOS, Demo, demo

ON_DIGITS = FineTune(
    epochs=60, batch_size=64, lr=0.1, warm_up=0.05, label_smoothing=0.1, augment="shift", precision="float32"
)
ON_CIFAR = FineTune(epochs=200, batch_size=128, lr=0.1, warm_up=0.05, label_smoothing=0.1, augment="shift and flip")
ON_TEXT = FineTune(
    epochs=12, batch_size=32, lr=0.004, optimizer="adamw", weight_decay=0.05, warm_up=0.05, precision="float32"
)
RECIPES = {
    "digits_resnet": ON_DIGITS,
    "digits_vgg": ON_DIGITS,
    "cifar_resnet56": ON_CIFAR,
    "cifar_resnet20": ON_CIFAR,
    "text_gpt": ON_TEXT,
}


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
    chosen = dataclasses.replace(chosen, seed=chosen.seed if options.seed is None else options.seed)
    try:
        recipe = recipe_of(chosen, options.device, options.epochs)
        with tempfile.TemporaryDirectory() as scratch:
            train_demo(chosen, recipe, options.data, options.out, Path(scratch), options.images)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def recipe_of(chosen: Demo, device: str, epochs: int | None = None) -> FineTune:
    """How the demo is trained there. CIFAR's networks take bfloat16 where it is fast; the digits' repeat anywhere."""
    device = choose_device(device)
    usual = RECIPES[chosen.name]
    precision = "bfloat16" if usual.precision == "auto" and bfloat16_is_fast(device) else usual.precision
    return dataclasses.replace(
        usual,
        seed=chosen.seed,
        device=device,
        precision=precision,
        epochs=usual.epochs if epochs is None else epochs,
    )


def train_demo(
    chosen: Demo, recipe: FineTune, folder: Path | None, out: Path, scratch: Path, images: int | None = None
) -> dict[str, Any]:
    """Train, measure, write ``out/<name>.safetensors`` and ``.json``; returns the provenance."""
    ref = _data(chosen, folder, scratch)
    training, test = load_splits(ref, scratch, lambda what, done, total: print(f"{what}: {done:,} of {total:,}"))
    fit, held_out = hold_out(training, ref)
    classes = fit.classes or characters()
    if not fit.classes:
        fit, held_out, test = (dataclasses.replace(each, measure=PositionsRight.key) for each in (fit, held_out, test))
    fit = fit if images is None else fit.subset(images, chosen.seed)
    torch.backends.cudnn.benchmark = True  # one batch size all along, so trying the kernels once pays
    torch.manual_seed(chosen.seed)
    model = architecture(chosen.architecture).build(len(classes), fit.size[0])
    course = fine_tune(model, fit, test, recipe, held_out=held_out, keep="last")
    for event in course:
        if isinstance(event, Epoch) and event.train_loss is not None:
            last = event
            print(f"epoch {last.epoch}/{recipe.epochs}: loss {last.train_loss:.4f}, {last.seconds:.0f} s", flush=True)
    model = course.best_model()
    weights = _bytes(model)
    provenance = {
        "name": chosen.name,
        "title": chosen.title,
        "architecture": chosen.architecture,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "classes": classes,
        "mean": fit.mean,
        "std": fit.std,
        "accuracy": {
            "test": last.top1,
            "test_images": len(test),
            "held_out": last.chosen_by,
            "held_out_images": len(held_out),
            **({} if fit.classes else _of_text(model, test)),
        },
        "data": _described(ref, fit, images),
        "recipe": dataclasses.asdict(recipe),
        "seed": chosen.seed,
        "command": _command(chosen, recipe, folder, images),
        "precision": "bfloat16 mixed" if recipe.mixed(recipe.device) else "float32",
        "device": device_title(recipe.device),
        "seconds": round(last.seconds, 1),
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{chosen.name}.safetensors").write_bytes(weights)
    text = json.dumps(provenance, indent=2, ensure_ascii=False)
    (out / f"{chosen.name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return provenance


def _of_text(model: nn.Module, test: Dataset) -> dict[str, Any]:
    """What is said beside a share of characters."""
    found = evaluate(model, dataclasses.replace(test, measure=Perplexity.key))
    return {"measure": test.measure, "perplexity": found.top1}


def _data(chosen: Demo, folder: Path | None, scratch: Path) -> DataRef:
    if folder is None or chosen.trained_on.source != "torchvision":
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


def _command(chosen: Demo, recipe: FineTune, folder: Path | None, images: int | None) -> str:
    words = ["python", "-m", "tools.train_demo", chosen.name]
    if folder is not None and chosen.trained_on.source == "torchvision":
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
