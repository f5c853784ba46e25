"""The part of CIFAR-10 that the repository carries: where it comes from, that it measures offline, and never trains."""

import hashlib
import io
import json
import urllib.request
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from pruning_core.criteria import L1Norm, TaylorGate
from pruning_core.datasets import CIFAR_SAMPLE, hold_out, load_splits
from pruning_core.datasets.findings.parts import MeasureOnly
from pruning_core.datasets.sample import PATH
from pruning_core.errors import UserError
from pruning_core.measuring.evaluate import evaluate
from pruning_core.storage import Workspace
from pruning_core.studies.compare import CompareRun
from pruning_core.studies.fine_tune import FineTuneRun
from pruning_core.studies.gradual import GradualRun
from pruning_core.studies.inputs import fitted
from pruning_core.studies.points import Point, Scored, When
from pruning_core.studies.scores import ScoresRun
from pruning_core.training.config import FineTune
from pruning_core.training.loop import fine_tune
from pruning_core.zoo import load_model
from pruning_core.zoo.demos import demo
from tools import cifar_sample

pytestmark = pytest.mark.usefixtures("one_thread", "offline")
DEMO = demo("cifar_resnet20")
MEASURE_ONLY = "CIFAR-10 sample is for measuring only.*Classic sets.*or upload"


@pytest.fixture
def offline(monkeypatch):
    def refused(*args, **options):
        raise AssertionError("the sample asked for the network")

    monkeypatch.setattr(urllib.request, "urlopen", refused)


def test_the_sample_is_what_its_provenance_says():
    told = json.loads(PATH.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["sha256"] == hashlib.sha256(PATH.read_bytes()).hexdigest() and PATH.stat().st_size < 3_000_000
    assert "Krizhevsky" in told["source"]
    demo_told = json.loads(DEMO.provenance_path.read_text(encoding="utf-8"))
    assert told["source_sha256"] == demo_told["data"]["test_digest"], "the images the demo was tested on, and no other"
    with zipfile.ZipFile(PATH) as kept:
        names = [name.split("/", 1) for name in kept.namelist()]
    assert len({image for _, image in names}) == len(names) == told["to choose by"] + told["to report on"]


def test_parts_are_balanced_share_no_picture_and_are_all_from_the_test_part():
    train, test = load_splits(CIFAR_SAMPLE)
    fit, held_out = hold_out(train, CIFAR_SAMPLE)
    assert [len(part) for part in (fit, held_out, test)] == [500, 500, 1000]
    assert train.size == (3, 32, 32) and tuple(train.classes) == tuple(demo_classes())
    for part, each in ((fit, 50), (held_out, 50), (test, 100)):
        assert torch.bincount(part.labels).tolist() == [each] * 10
    seen = {image.numpy().tobytes() for part in (fit, held_out, test) for image in part.images}
    assert len(seen) == 2000
    assert [type(each) for each in train.findings] == [MeasureOnly] and not train.trainable


def demo_classes():
    return json.loads(DEMO.provenance_path.read_text(encoding="utf-8"))["classes"]


def test_the_demo_brings_it_and_is_about_as_good_on_it_as_on_all_images(tmp_path):
    assert DEMO.data == CIFAR_SAMPLE and DEMO.trained_on.source == "torchvision"
    loaded = load_model(DEMO.ref, Workspace(tmp_path))
    found = evaluate(loaded.model, fitted(load_splits(DEMO.data)[1].subset(500), DEMO.data, loaded), device="cpu")
    assert found.low < 0.849 < found.high


def test_scores_and_recalibration_work_on_the_part_that_is_never_reported_on(tmp_path):
    workspace = Workspace(tmp_path)
    run = CompareRun(
        DEMO.ref, CIFAR_SAMPLE, (L1Norm(), TaylorGate()), (0.6,), random_seeds=1, images=40, calibration_images=128,
        latency=False, score_images=32, device="cpu",
    )  # fmt: skip
    points = [event for event in run.run(workspace) if isinstance(event, Point)]
    assert {point.when for point in points} >= {When.PRUNED, When.RECALIBRATED}
    assert all(point.images == 40 for point in points)
    (scored,) = [each for each in ScoresRun(DEMO.ref, CIFAR_SAMPLE, (TaylorGate(),)).run(workspace)
                 if isinstance(each, Scored)]  # fmt: skip
    assert scored.images == 128


@pytest.mark.parametrize(
    "run",
    [
        FineTuneRun(DEMO.ref, CIFAR_SAMPLE, FineTune(epochs=1)),
        GradualRun(DEMO.ref, CIFAR_SAMPLE, '{"conv1": [0]}'),
        CompareRun(DEMO.ref, CIFAR_SAMPLE, (L1Norm(),), tune=FineTune(epochs=1)),
    ],
    ids=lambda run: run.kind,
)
def test_what_trains_is_refused_with_the_way_to_training_images(run, tmp_path):
    with pytest.raises(UserError, match=MEASURE_ONLY):
        list(run.run(Workspace(tmp_path)))


def test_the_training_loop_itself_refuses(tmp_path):
    train, test = load_splits(CIFAR_SAMPLE)
    model = load_model(DEMO.ref, Workspace(tmp_path)).model
    with pytest.raises(UserError, match=MEASURE_ONLY):
        list(fine_tune(model, train, test, FineTune(epochs=1, device="cpu")))


def source(folder, classes=("ape", "bee"), count=260):
    """What the tool draws from: small JPEGs of two classes, all different."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / cifar_sample.SOURCE, "w") as made:
        for label in classes:
            for at in range(count):
                out = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(out, "JPEG")
                made.writestr(f"{label}/{at:04}.jpg", out.getvalue())
    return folder / cifar_sample.SOURCE


def test_the_tool_draws_the_same_images_again_and_others_with_another_seed(tmp_path, capsys):
    file = source(tmp_path)
    first, again, other = (
        cifar_sample.draw(file, tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again and first["sha256"] != other["sha256"] and other["command"].endswith("--seed 1")
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(tmp_path / "a" / PATH.name) as part:
        assert len(part.namelist()) == 400
        for name in part.namelist():
            assert part.read(name) == whole.read(name.split("/", 1)[1]), "byte for byte"
    assert cifar_sample.main(["--data", str(tmp_path / "nowhere")]) == 1
    assert f"no {cifar_sample.SOURCE}" in capsys.readouterr().err
