"""Detectors whose boxes and scores have an output each, from files as people send them to a smaller one; and heads that
nobody decoded, which are judged by their distance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import batched_nms, box_convert

from pruning_core.analysis.slider import Slider
from pruning_core.datasets import import_data, load_splits
from pruning_core.errors import UserError
from pruning_core.graph import Plan, capture, remove
from pruning_core.measuring.evaluate import evaluate
from pruning_core.measuring.measures import Accuracy
from pruning_core.measuring.registry import BY_KEY
from pruning_core.numeric.box_layout import Form, Nothing, Says
from pruning_core.storage.workspace import Workspace
from pruning_core.studies.detections import Detected, DetectionsRun
from pruning_core.studies.inputs import fitted
from pruning_core.studies.judging import possible, refusal
from pruning_core.studies.measure import EvaluateRun
from pruning_core.zoo import import_model, load_model
from pruning_core.zoo.meaning import laid_out
from tests.core.apart_detector_nets import SSD, Final, Headed, SingleShot, as_zip, made
from tests.core.detector_nets import SIDE, as_program
from tests.core.test_average_precision import as_coco_says


def brought(network, layout, root, images=60):
    """(reference, data): the network's file, and pictures with boxes around what it finds."""
    model = import_model(as_program(network), "found.pt2", root, input_size=(3, SIDE, SIDE)).ref
    data = import_data(as_zip(network, layout, images), "shapes.zip", root)
    return model, replace(data, mean=(0.0,) * 3, std=(1.0,) * 3)


def reach(model, data, root):
    (*_, found) = [each for each in EvaluateRun(model, data).run(root) if isinstance(each, Accuracy)]
    assert found.complete
    return found


def rows_by_hand(outputs, layout, doubles):
    """(N, A, 6) rows of corners as shares, score and class, the best hundred of each image; worked out here."""
    boxes, scores = outputs[layout.boxes].double(), outputs[layout.scores].double()
    boxes = box_convert(boxes, "cxcywh", "xyxy") if layout.form is Form.CENTRE else boxes
    boxes = boxes / SIDE if layout.pixels else boxes
    scores = scores.softmax(2) if layout.says is Says.SOFTMAX else scores
    scores, kinds = (scores[..., 1:] if layout.nothing is Nothing.FIRST else scores[..., :-1]).max(2)
    rows = torch.zeros(len(boxes), 100, 6, dtype=torch.float64)
    for at, (box, score, kind) in enumerate(zip(boxes, scores, kinds)):
        some = score > 0.001
        box, score, kind = box[some], score[some], kind[some]
        kept = batched_nms(box, score, kind, 0.65) if doubles else score.argsort(descending=True, stable=True)
        kept = kept[:100]
        rows[at, : len(kept)] = torch.cat([box[kept], score[kept, None], kind[kept, None].double()], 1)
    return rows


CASES = {"SSD": (SingleShot, SSD)}  # on some processors DETR's scores are proposed as those before a sigmoid


@pytest.mark.parametrize("case", CASES)
def test_boxes_and_scores_apart_are_judged_as_coco_says(case, tmp_path):
    kind, layout = CASES[case]
    root, network = Workspace(tmp_path), made(kind())
    model, data = brought(network, layout, root)
    loaded, (_, test) = load_model(model, root), load_splits(data, root)
    assert loaded.outputs.layout == layout, "proposed from what the outputs look like"
    assert [each.key for each in possible(loaded, test)][:2] == ["ap", "ap50"]
    found = reach(model, data, root)
    images = fitted(test, data, loaded)
    with torch.no_grad():
        outputs = list(network(images.normalised(images.images)).values())
    whole, half = as_coco_says(rows_by_hand(outputs, layout, case == "SSD"), images.labels)
    assert 0.2 < whole < 0.95 and found.top1 == pytest.approx(whole, abs=1e-4)
    assert reach(model, replace(data, measure="ap50"), root).top1 == pytest.approx(half, abs=1e-4)

    network = capture(loaded.model, torch.zeros(1, *loaded.input_size))
    plan = Plan({group.key: range(max(1, group.size // 4)) for group in network.groups if group.exact})
    (*_, seen) = Slider(loaded.model, network, images, device="cpu").measuring(plan)
    really = evaluate(remove(loaded.model, network, plan).model, images, device="cpu")
    assert seen.accuracy.top1 == pytest.approx(really.top1, abs=2e-3), "the sliders measure what removal gives"
    assert seen.accuracy.top1 < found.top1

    shown = [each for each in DetectionsRun(model, data, (2, 0, 999)).run(root) if isinstance(each, Detected)]
    assert [each.image for each in shown] == [2, 0]
    rows = rows_by_hand(outputs, layout, case == "SSD")
    for each, wanted in zip(shown, rows[[2, 0]]):
        assert torch.allclose(torch.tensor(each.boxes).double(), wanted[: len(each.boxes), :4], atol=1e-5)
        assert list(each.scores) == pytest.approx(wanted[: len(each.scores), 4].tolist(), abs=1e-5)
        assert list(each.categories) == wanted[: len(each.categories), 5].int().tolist()


def test_boxes_scores_and_labels_are_read_where_labels_come_first(tmp_path):
    """As exports end that leave out doubles themselves: the numbers of classes are whole numbers."""
    root, whole = Workspace(tmp_path), made(SingleShot())
    model, data = brought(whole, SSD, root, 40)
    final = import_model(as_program(Final(whole)), "final.pt2", root, input_size=(3, SIDE, SIDE))
    layout = final.outputs.layout
    assert [each.name for each in final.interface.outputs] == ["labels", "boxes", "scores"]
    assert (layout.boxes, layout.scores, layout.kinds, layout.doubles) == (0, 2, 1, False)
    every = reach(laid_out(model, replace(SSD, doubles=False)), data, root).top1
    assert reach(final.ref, data, root).top1 == pytest.approx(every, abs=0.1)
    told = refusal(BY_KEY["ap"], load_model(laid_out(final.ref, replace(layout, kinds=None)), root),
                   load_splits(data, root)[1])  # fmt: skip
    assert "room for 1 scores" in told


@pytest.mark.parametrize("head", [None, RetinaNetHead, FCOSHead])
def test_offsets_from_anchors_are_said_to_be_that_and_judged_by_their_distance(head, tmp_path):
    root = Workspace(tmp_path)
    network = made(SingleShot(decoded=False) if head is None else Headed(head))
    model = import_model(as_program(network), "raw.pt2", root, input_size=(3, SIDE, SIDE))
    data = import_data(as_zip(made(SingleShot()), SSD, 20), "shapes.zip", root)
    assert model.outputs.layout.form is Form.OFFSETS
    said = refusal(BY_KEY["ap"], model, load_splits(data, root)[1])
    assert said.startswith("Average precision needs boxes, and four numbers of each candidate look like offsets")
    assert possible(model, load_splits(data, root)[1])[0].key == "output_error"
    with pytest.raises(UserError, match="look like offsets from anchors"):
        list(EvaluateRun(model.ref, replace(data, measure="ap")).run(root))
    found = reach(model.ref, data, root)
    assert found.measure == "output_error" and found.top1 == 0, "it is the unpruned one"
