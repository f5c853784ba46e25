"""What networks say image by image: compared by hand, measured, stored, and what was prepared for the first page."""

import json

import numpy as np
import pytest
import torch

from pruning_core.datasets import DIGITS, load_data
from pruning_core.errors import UserError
from pruning_core.measuring.answers import Answers, compared, confusion, damage, flips
from pruning_core.measuring.evaluate import evaluate
from pruning_core.runs.events import Progress
from pruning_core.storage.codec import dump
from pruning_core.studies.answers import Answered, AnswersRun, read_answers, write_answers
from pruning_core.studies.front import FrontPoint, FrontRun, batch_of
from pruning_core.studies.specs import PRODUCT
from pruning_core.zoo import DEMOS, load_model
from tools.prepared import FOLDER, prepared

pytestmark = pytest.mark.usefixtures("one_thread")


def answers(predicted, labels):
    return Answers(np.array(predicted, np.int32), np.full(len(labels), 0.5, np.float32), np.array(labels, np.int32))


LABELS = [0, 0, 1, 1, 2, 2]
BEFORE, AFTER = answers([0, 0, 1, 0, 2, 1], LABELS), answers([0, 1, 1, 1, 0, 0], LABELS)


def test_images_whose_prediction_flipped():
    found = flips(BEFORE, AFTER)
    assert (found.lost, found.gained, found.other, found.count) == ((1, 4), (3,), (5,), 4)
    drop = compared(BEFORE, AFTER)
    assert (drop.lost, drop.gained, drop.images) == (2, 1, 6) and drop.drop == pytest.approx(1 / 6)
    assert drop.low < drop.drop < drop.high
    with pytest.raises(ValueError):
        flips(BEFORE, answers([0, 0], [0, 1]))


def test_damage_by_class_and_confusion():
    zero, one, two = damage(BEFORE, AFTER, ("a", "b", "c", "never seen"))
    assert (zero.name, zero.before, zero.after, zero.drop.lost, zero.drop.gained) == ("a", 1.0, 0.5, 1, 0)
    assert (one.before, one.after, one.drop.drop) == (0.5, 1.0, -0.5) and (two.before, two.after) == (0.5, 0)
    table = confusion(AFTER, 3)
    assert table.tolist() == [[1, 1, 0], [0, 2, 0], [2, 0, 0]] and np.trace(table) == AFTER.right.sum()


def test_answers_are_those_of_the_network_and_a_forged_file_is_refused(workspace):
    *_, last = AnswersRun(DEMOS[0].ref, DIGITS, "cpu").run(workspace)
    assert isinstance(last, Answered) and PRODUCT.checked_event(dump(last)) == last
    found, test = read_answers(workspace, last.digest, 10), load_data(DIGITS)
    with torch.no_grad():
        scores = load_model(DEMOS[0].ref).model(test.normalised(test.images)).softmax(1)
    assert np.array_equal(found.predicted, scores.argmax(1).numpy()) and np.array_equal(found.labels, test.labels)
    assert np.allclose(found.confidence, scores.max(1).values, atol=1e-5)
    assert found.right.mean() == pytest.approx(last.accuracy.top1)
    for forged in (answers([11] * 6, LABELS), answers([-1] * 6, LABELS)):
        with pytest.raises(UserError, match="Measure them again"):
            read_answers(workspace, write_answers(workspace, forged), 10)


def test_every_size_is_a_network_that_is_there_and_does_what_is_said(workspace):
    run = FrontRun(DEMOS[0].ref, DIGITS, shares=(0.4, 1e-9), device="cpu")
    events = list(run.run(workspace))
    whole, cut = (each for each in events if isinstance(each, FrontPoint))
    assert (whole.share, whole.drop) == (1.0, None) and PRODUCT.checked_event(dump(cut)) == cut
    assert cut.cost.macs <= 0.4 * whole.cost.macs and cut.latency.runs >= 30
    assert evaluate(load_model(cut.model, workspace).model, load_data(DIGITS)).top1 == cut.answered.accuracy.top1
    assert cut.drop.drop == pytest.approx(whole.answered.accuracy.top1 - cut.answered.accuracy.top1)
    again = [e for e in run.run(workspace, run.keep(workspace, tuple(events))) if isinstance(e, FrontPoint)]
    assert not again, "what was measured is not measured again"
    told = [each for each in events if isinstance(each, Progress) and each.unit == "networks"]
    assert (told[0].done, told[-1].done, told[-1].total) == (0, 3, 3) and told[0].seconds_left is None
    assert any(each.seconds_left for each in told if 0 < each.done < 3), "how long the rest will take is said"
    assert batch_of(763_520) == 64 and batch_of(4_000_000_000) == 1


@pytest.mark.parametrize("chosen", [DEMOS[0], DEMOS[1]], ids=lambda each: each.name)
def test_the_prepared_result_is_repeated(chosen, workspace):
    """MACs to the last one; images within two: another processor rounds otherwise."""
    stored = json.loads((FOLDER / f"{chosen.name}.json").read_text(encoding="utf-8"))
    share = stored["points"][4]["share"]
    whole, cut = prepared(workspace, chosen, (share,))["points"]
    shipped = json.loads(chosen.provenance_path.read_text(encoding="utf-8"))["weights_sha256"]
    assert (stored["weights_sha256"], stored["images"]) == (shipped, 450)
    for now, then in ((whole, stored["points"][0]), (cut, stored["points"][4])):
        assert now["cost"] == then["cost"] and now["plan"] == then["plan"]
        assert abs(now["accuracy"]["top1"] - then["accuracy"]["top1"]) <= 2 / 450
        said = [int(each) for each in then["predicted"].split()]
        assert then["accuracy"]["top1"] == pytest.approx(np.mean(np.array(said) == load_data(DIGITS).labels.numpy()))
