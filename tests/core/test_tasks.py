"""Networks of any task, with nothing but images: brought, swept, cut with a proof, mended, distilled, judged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from task_nets import Bell, Enlarger, Landmarks, Painter, Scales, archive, exported, made, pictures

from pruning_core.analysis.slider import Slider
from pruning_core.datasets import DIGITS, DataRef, import_data, load_data, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.measures import Accuracy, Cell
from pruning_core.measuring.registry import BY_KEY
from pruning_core.methods.recoveries import Distilling, Mending
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.inputs import fitted
from pruning_core.studies.judging import possible, refusal
from pruning_core.studies.measure import EvaluateRun
from pruning_core.studies.prune import PruneRun
from pruning_core.studies.pruned import Pruned
from pruning_core.studies.sensitivity import SensitivityRun
from pruning_core.training.config import FineTune
from pruning_core.training.events import TrainOutcome
from pruning_core.zoo import DEMOS, ModelRef, import_model, load_model
from pruning_core.zoo.meaning import Meaning, said_of

NETWORKS = {kind.__name__: kind for kind in (Enlarger, Painter, Landmarks, Scales)}


def brought(kind, root, images=60, **labels) -> tuple[ModelRef, DataRef]:
    """A network as .pt2 and images as .npz, as a person sends them; read as pixels from 0 to 1."""
    model = import_model(exported(made(kind)), f"{kind.__name__}.pt2", root, input_size=(3, 16, 16)).ref
    data = import_data(archive(images=pictures(images), **labels), "pictures.npz", root)
    return model, dataclasses.replace(data, mean=(0.0,) * 3, std=(1.0,) * 3)


def plan_of(ref: ModelRef, root, share: float = 0.25) -> str:
    loaded = load_model(ref, root)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    assert network.groups, "there is something to remove"
    return Plan({g.key: tuple(range(max(1, int(share * g.size)))) for g in network.groups if g.exact}).to_json()


@pytest.mark.parametrize("name", NETWORKS)
def test_from_upload_to_a_smaller_network_with_images_alone(name, tmp_path):
    root = Workspace(tmp_path)
    model, data = brought(NETWORKS[name], root)
    if name == "Landmarks":  # ten numbers can be anything
        model = said_of(model, Meaning.NUMBERS)
    plain = (*_, whole) = [e for e in EvaluateRun(model, data).run(root) if isinstance(e, Accuracy)]
    assert plain and (whole.measure, whole.top1, whole.complete) == ("output_error", 0.0, True)

    spec = SensitivityRun(model, dataclasses.replace(data, split="held-out"), ratios=(0.25, 0.5))
    cells = {(e.group, e.ratio): e for e in spec.run(root) if isinstance(e, Cell)}
    assert cells and all(e.measure == "output_error" and e.exact for e in cells.values())
    assert all(e.low <= e.top1 <= e.high and e.drop_low <= e.drop <= e.drop_high for e in cells.values())
    assert all(e.drop == pytest.approx(e.top1, abs=1e-5) and e.drop > 1e-4 for e in cells.values()), "less is better"

    plan = plan_of(model, root)
    mend = Mending(images=64)
    (found,) = [e for e in PruneRun(model, data, plan, recovery=mend).run(root) if isinstance(e, Pruned)]
    rounding = 1e-10 if found.proof.dtype == "float64" else 1e-6  # float32 is enough where that already convinces
    assert found.proof.exact and found.proof.max_rel < rounding
    assert found.before.accuracy.top1 == 0 < found.after.accuracy.top1
    assert found.recovered is not None and found.recovered.accuracy.top1 < found.after.accuracy.top1, "mended"

    tuned = FineTuneRun(found.model, data, FineTune(epochs=6, lr=0.002, batch_size=16), recoveries=(Distilling(),))
    (outcome,) = [e for e in tuned.run(root) if isinstance(e, TrainOutcome)]
    assert outcome.measure == "output_error" and outcome.top1 < outcome.start_top1, "distilled towards the unpruned one"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_sliders_measure_what_removal_gives(name, tmp_path):
    root = Workspace(tmp_path)
    model, data = brought(NETWORKS[name], root)
    loaded = load_model(said_of(model, Meaning.NUMBERS) if name == "Landmarks" else model, root)
    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    images = fitted(load_splits(data, root)[1], data, loaded)
    slider, plan = Slider(loaded.model, network, images, device="cpu"), Plan.from_json(plan_of(model, root))
    (*_, found) = slider.measuring(plan)
    really = evaluate(remove(loaded.model, network, plan).model, images, device="cpu")
    assert found.accuracy.top1 == pytest.approx(really.top1, rel=1e-4) and found.accuracy.complete
    assert not slider.estimates(plan) and slider.estimate(plan) is None, "no first-order terms of decisions"
    assert found.drop.measure == "output_error" and found.drop.low <= found.drop.drop <= found.drop.high


def test_a_classifier_without_labels_is_judged_by_its_decisions(tmp_path):
    root = Workspace(tmp_path)
    digits = load_data(DIGITS)
    ref = import_data(archive(images=digits.images[:, 0].numpy()), "bare.npz", root)
    bare = dataclasses.replace(ref, split="held-out", held_out=0.5, mean=digits.mean, std=digits.std)
    spec = SensitivityRun(DEMOS[0].ref, bare, ratios=(0.3,))
    loaded = load_model(DEMOS[0].ref)
    data = fitted(load_data(bare, root), bare, loaded)
    assert data.measure == "agreement" and data.classes == tuple(map(str, range(10)))
    cells = {e.group: e for e in spec.run(root) if isinstance(e, Cell)}
    assert cells and all(e.measure == "agreement" for e in cells.values())
    for cell in cells.values():
        assert cell.drop == pytest.approx(1 - cell.top1) and cell.lost == round(cell.images * cell.drop)
        assert cell.gained == 0, "nothing agrees more than with itself"


def test_a_measure_that_cannot_judge_is_refused_with_what_to_do(tmp_path):
    root = Workspace(tmp_path)
    model, data = brought(Enlarger, root)
    for measure, sentence in (("top1", "Accuracy cannot be measured of a map"), ("agreement", "cannot be measured")):
        with pytest.raises(UserError, match=f"{sentence}.*Choose another measure on the Load page"):
            list(EvaluateRun(model, dataclasses.replace(data, measure=measure)).run(root))
    with pytest.raises(UserError, match="'x' here"):
        list(EvaluateRun(model, dataclasses.replace(data, measure="x")).run(root))


def halves(images):
    """Labels for any task, from the pictures themselves: (N, side, side, 3) uint8."""
    grey = images.mean(3)
    high = images.reshape(len(images), -1).mean(1)
    return {
        "Enlarger": images.repeat(2, 1).repeat(2, 2),
        "Painter": (grey // 64).astype(np.int64),
        "Landmarks": images.reshape(len(images), -1)[:, :10].astype(np.float32) / 255,
        "Tags": (images.reshape(len(images), -1)[:, :10] > 127).astype(np.int64),
        "Bell": (high > np.median(high)).astype(np.float32)[:, None] + np.float32(0),
    }


LABELLED = {
    "Enlarger": (Enlarger, ("psnr", "ssim", "mae", "mse", "output_error", "place_agreement", "cosine", "divergence")),
    "Painter": (Painter, ("miou", "pixel_accuracy", "output_error", "place_agreement", "cosine", "divergence")),
    "Landmarks": (Landmarks, ("r2", "mae", "mse", "nme", "agreement", "output_error", "cosine", "divergence")),
    "Tags": (
        Landmarks,
        ("auc", "map", "binary_accuracy", "r2", "mae", "mse", "agreement", "output_error", "cosine", "divergence"),
    ),
}


@pytest.mark.parametrize("name", LABELLED)
def test_labels_of_any_shape_propose_a_measure_and_train(name, tmp_path):
    kind, offered = LABELLED[name]
    root = Workspace(tmp_path)
    model, data = brought(kind, root, 160, labels=halves(pictures(160))[name])
    loaded, (train, test) = load_model(model, root), load_splits(data, root)
    assert train.classes == () and len(train) + len(test) == 160
    assert tuple(each.key for each in possible(loaded, test)) == offered
    (*_, whole) = [e for e in EvaluateRun(model, data).run(root) if isinstance(e, Accuracy)]
    assert whole.measure == offered[0] and whole.low <= whole.top1 <= whole.high

    spec = SensitivityRun(model, dataclasses.replace(data, split="held-out"), ratios=(0.5,))
    cells = {e.group: e for e in spec.run(root) if isinstance(e, Cell)}
    assert cells and {e.measure for e in cells.values()} == {offered[0]}

    tuned = FineTuneRun(model, data, FineTune(epochs=12, lr=0.005, batch_size=16, optimizer="adamw"))
    (outcome,) = [e for e in tuned.run(root) if isinstance(e, TrainOutcome)]
    assert outcome.measure == offered[0] and outcome.top1 > outcome.start_top1, "trained with these labels"


def test_one_logit_and_its_labels_from_a_zip_of_arrays(tmp_path):
    root = Workspace(tmp_path)
    model, data = brought(Bell, root, labels=halves(pictures(60))["Bell"])
    assert str(load_model(model, root).outputs) == "one number"
    train, _ = load_splits(data, root)
    assert train.classes == ("0", "1"), "whole numbers, one for each image, are classes"
    (*_, found) = [e for e in EvaluateRun(model, data).run(root) if isinstance(e, Accuracy)]
    assert found.measure == "auc"


def test_labels_that_fit_no_output_are_not_passed_over_in_silence(tmp_path):
    root = Workspace(tmp_path)
    model, data = brought(Painter, root, labels=np.zeros((60, 4, 4), np.int64))
    loaded, test = load_model(model, root), load_splits(data, root)[1]
    assert refusal(BY_KEY["miou"], loaded, test).startswith("The labels are 4 × 4 numbers for an image, and the ")
    assert refusal(BY_KEY["top1"], loaded, test) and refusal(BY_KEY["psnr"], loaded, test)
    model, data = brought(Painter, root, labels=np.full((60, 16, 16), 7))
    assert "name class 7, and the network tells 4" in refusal(
        BY_KEY["miou"], load_model(model, root), load_splits(data, root)[1]
    )
