"""Average precision of detections: worked by hand, and as COCO's own code says."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pruning_core.measuring.bootstrap import counts
from pruning_core.measuring.registry import BY_KEY
from pruning_core.numeric import average_precision
from pruning_core.numeric.box_layout import Form, Layout, Says, proposed
from pruning_core.numeric.detections import Decoder, as_rows

CORNERS = Layout(form=Form.CORNERS, pixels=False)
FINISHED = replace(CORNERS, kinds=0, doubles=False)
SIDE = 100


def scene(images=40, classes=3, seed=0, crowds=True):
    """(outputs (N, 30, 6) finished rows, targets (N, 6, 6)): boxes, some found nearly, some doubled, some invented."""
    random = np.random.RandomState(seed)
    given, wanted = np.zeros((images, 30, 6)), np.full((images, 6, 6), (0, 0, 0, 0, -1, 0.0))
    for image in range(images):
        found = []
        for at in range(random.randint(0, 7)):
            x, y = random.uniform(0, 0.7, 2)
            box = np.array([x, y, x + random.uniform(0.12, 0.3), y + random.uniform(0.12, 0.3)])
            kind = random.randint(classes)
            wanted[image, at] = (*box, kind, crowds and random.rand() < 0.15)
            for _ in range(random.randint(0, 4)):
                said = kind if random.rand() < 0.8 else random.randint(classes)
                found.append([*(box + random.normal(0, 0.02, 4)), round(random.uniform(0.05, 1), 2), said])
        for _ in range(random.randint(0, 4)):
            x, y = random.uniform(0, 0.7, 2)
            found.append([x, y, x + 0.2, y + 0.2, round(random.uniform(0.05, 0.8), 2), random.randint(classes)])
        for at, row in enumerate(sorted(found, key=lambda each: -each[4])[:30]):
            given[image, at] = row
    return torch.from_numpy(given), torch.from_numpy(wanted).float()


def as_coco_says(given, wanted, classes=3) -> tuple[float, float]:
    """(mean over overlaps, at 0.5) by the reference's own code."""
    truth, found = [], []
    for image, (rows, told) in enumerate(zip(given.tolist(), wanted.double().tolist(), strict=True)):
        for x1, y1, x2, y2, kind, crowd in told:
            if kind >= 0:
                box = [SIDE * x1, SIDE * y1, SIDE * (x2 - x1), SIDE * (y2 - y1)]
                truth.append({"id": len(truth) + 1, "image_id": image, "category_id": int(kind), "bbox": box,
                              "area": box[2] * box[3], "iscrowd": int(crowd)})  # fmt: skip
        for x1, y1, x2, y2, score, kind in rows:
            if score > 0:
                box = [SIDE * x1, SIDE * y1, SIDE * (x2 - x1), SIDE * (y2 - y1)]
                found.append({"image_id": image, "category_id": int(kind), "bbox": box, "score": score})
    coco = COCO()
    images = [{"id": at, "height": SIDE, "width": SIDE} for at in range(len(given))]
    kinds = [{"id": kind, "name": str(kind)} for kind in range(classes)]
    coco.dataset = {"images": images, "annotations": truth, "categories": kinds, "info": {}}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        judged = COCOeval(coco, coco.loadRes(found), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0]), float(judged.stats[1])


def measured(key, given, wanted, classes=3, layout=FINISHED):
    measure = BY_KEY[key].read_by(Decoder(layout, (SIDE, SIDE), classes))
    return measure.of(measure.rows(given, wanted))


@pytest.mark.parametrize("crowds", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_as_coco_says(seed, crowds):
    given, wanted = scene(seed=seed, crowds=crowds)
    whole, half = as_coco_says(given, wanted)
    assert 0.1 < whole < half < 0.9
    assert measured("ap", given, wanted)[0] == pytest.approx(whole, abs=1e-6)
    assert measured("ap50", given, wanted)[0] == pytest.approx(half, abs=1e-6)


def test_an_interval_is_of_images_drawn_again():
    given, wanted = scene(60, seed=7)
    _, low, high = measured("ap", given, wanted)
    random = np.random.RandomState(1)
    drawn = [as_coco_says(given[at], wanted[at])[0] for at in random.randint(0, 60, (60, 60))]
    first, last = np.quantile(drawn, (0.025, 0.975))
    assert (low, high) == pytest.approx((first, last), abs=0.03)


def test_an_image_counted_twice_is_two_images():
    given, wanted = scene(20, seed=3)
    given[..., 4] *= 1 - 1e-6 * torch.arange(600).view(20, 30)  # no two scores alike, and in the same order in an image
    decoder = Decoder(FINISHED, (SIDE, SIDE), 3)
    rows = average_precision.rows(decoder.detections(given), wanted)
    times = counts(20)[:5].long()
    found = average_precision.value(rows, times.double())
    for draw, value in zip(times, found):
        at = torch.repeat_interleave(torch.arange(20), draw)
        assert float(value) == pytest.approx(as_coco_says(given[at], wanted[at])[0], abs=1e-6)


def box(x, y, side, *rest):
    return [x, y, x + side, y + side, *rest]


def test_by_hand():
    """Two things; the first detection is of one, the second a double, the third of the other."""
    wanted = torch.tensor([[box(0.0, 0.0, 0.2, 0, 0), box(0.5, 0.5, 0.2, 0, 0)]])
    given = torch.tensor([[box(0.0, 0.0, 0.2, 0.9, 0), box(0.0, 0.0, 0.2, 0.8, 0), box(0.5, 0.5, 0.2, 0.7, 0)]])
    recalled_by_the_first = 51  # recalls 0 … 0.50 at a precision of 1, the other 50 at 2 / 3
    wished = (recalled_by_the_first + 50 * 2 / 3) / 101
    assert measured("ap", given, wanted, 1)[0] == pytest.approx(wished)
    near = torch.tensor([[box(0.0, 0.0, 0.2, 0.9, 0), box(0.55, 0.5, 0.2, 0.7, 0)]])  # 0.15 of 0.25: IoU 0.6
    assert measured("ap50", near, wanted, 1)[0] == pytest.approx(1)
    assert measured("ap", near, wanted, 1)[0] == pytest.approx((3 + 7 * 51 / 101) / 10, abs=0.06)
    crowd = wanted.clone()
    crowd[0, 1, 5] = 1
    twice = torch.tensor([[box(0.0, 0.0, 0.2, 0.5, 0), box(0.5, 0.5, 0.1, 0.9, 0), box(0.55, 0.5, 0.1, 0.8, 0)]])
    assert measured("ap", twice, crowd, 1)[0] == pytest.approx(1), "what lies in a crowd counts neither way"
    nothing = torch.full((1, 1, 6), -1.0)
    assert measured("ap", given, nothing, 1) == (0, 0, 0)
    assert measured("ap", torch.zeros(1, 3, 6), wanted, 1)[0] == 0


def raw(boxes, scores, columns=False):
    rows = torch.cat([boxes, scores], 2)
    return rows.transpose(1, 2) if columns else rows


def test_every_layout_says_the_same_and_is_proposed():
    generator = torch.Generator().manual_seed(0)
    low = 0.6 * torch.rand(4, 40, 2, generator=generator)
    boxes = torch.cat([low, low + 0.05 + 0.3 * torch.rand(4, 40, 2, generator=generator)], 2)
    scores = torch.rand(4, 40, 3, generator=generator)
    decoder = Decoder(CORNERS, (50, 80), 3)
    first = decoder.detections(raw(boxes, scores))
    assert bool((first.classes >= 0).any(1).all()) and bool((first.scores.diff(dim=1) <= 0).all())
    pixels = torch.tensor([80.0, 50.0, 80.0, 50.0])
    for columns in (False, True):
        for corners in (False, True):
            for in_pixels in (False, True):
                for logits in (False, True):
                    sides = boxes if corners else torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2,
                                                             boxes[..., 2:] - boxes[..., :2]], 2)  # fmt: skip
                    given = raw(sides * pixels if in_pixels else sides, scores.logit() if logits else scores, columns)
                    layout = Layout(
                        columns=columns, form=Form.CORNERS if corners else Form.CENTRE, pixels=in_pixels,
                        says=Says.SIGMOID if logits else Says.PROBABILITIES,
                    )  # fmt: skip
                    assert proposed([given]) == layout
                    found = replace(decoder, layout=layout).detections(given)
                    assert torch.equal(found.classes, first.classes)
                    assert torch.allclose(found.boxes, first.boxes, atol=1e-5)
    there = torch.rand(4, 40, 1, generator=generator)
    likely = replace(decoder, likely=True).detections(raw(boxes, torch.cat([there, scores / there], 2)))
    assert torch.allclose(likely.scores, first.scores, atol=1e-6), "a chance that anything is there is a factor"
    rows = torch.cat([boxes, scores[..., :1], torch.randint(0, 3, (4, 40, 1), generator=generator).float()], 2)
    assert proposed([rows]) == FINISHED and Layout.of(FINISHED.told) == FINISHED
    assert proposed([torch.zeros(2, 3, 16, 16)]) is None and proposed([torch.zeros(2, 3, 4)]) is None
    assert Layout.of(None) is None and Layout.of((("columns", 1),)) is None and Layout.of("xyxy") is None


def test_doubles_of_one_class_are_left_out_and_those_of_another_stay():
    boxes = torch.tensor([[box(0.1, 0.1, 0.3), box(0.12, 0.1, 0.3), box(0.1, 0.12, 0.3), box(0.6, 0.6, 0.3)]])
    scores = torch.tensor([[[0.9, 0.0], [0.8, 0.0], [0.1, 0.7], [0.0005, 0.0]]])
    found = Decoder(CORNERS, (10, 10), 2).detections(raw(boxes, scores))
    assert found.scores[0, :3].tolist() == pytest.approx([0.9, 0.7, 0]) and found.classes[0, :3].tolist() == [0, 1, -1]


def test_what_torchvisions_detectors_give_is_rows():
    given = [
        {"boxes": torch.tensor([box(0.0, 0.0, 9.0), box(1.0, 1.0, 5.0)]), "scores": torch.tensor([0.2, 0.9]),
         "labels": torch.tensor([1, 2])},
        {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)},
    ]  # fmt: skip
    rows = as_rows(given)
    assert rows.shape == (2, 100, 6) and rows[0, 0].tolist() == pytest.approx([1, 1, 6, 6, 0.9, 2])
    assert not rows[1].any()
    many = as_rows([{"boxes": torch.zeros(300, 4), "scores": torch.arange(300.0), "labels": torch.zeros(300)}])
    assert many[0, :, 4].min() == 200, "the best hundred"


def test_a_training_towards_it_pulls_boxes_to_what_is_there():
    wanted = torch.tensor([[box(0.2, 0.2, 0.3, 1, 0), box(0.0, 0.0, 1.0, 0, 1)], [box(0.0, 0.0, 0.0, -1, 0)] * 2])
    generator = torch.Generator().manual_seed(0)
    low = 0.6 * torch.rand(2, 20, 2, generator=generator)
    given = torch.cat([low, low + 0.25, torch.randn(2, 20, 2, generator=generator)], 2).double().requires_grad_()
    measure = BY_KEY["ap"].read_by(Decoder(replace(CORNERS, says=Says.SIGMOID), (10, 10), 2))
    optimizer = torch.optim.Adam([given], lr=0.05)
    before = measure.loss(given, wanted).item()
    for _ in range(200):
        optimizer.zero_grad()
        measure.loss(given, wanted).backward()
        optimizer.step()
    assert measure.loss(given, wanted).item() < 0.1 * before
    assert measure.of(measure.rows(given.detach(), wanted))[0] > 0.9
    found = measure.decoder.detections(given.detach())
    assert found.scores[1].max() < 0.1, "nothing is said of an image with nothing in it"


def test_a_distillation_compares_boxes_where_something_is_and_in_no_unit():
    boxes = torch.tensor([[box(10.0, 10.0, 20.0), box(0.0, 0.0, 50.0)]])
    scores = torch.tensor([[[0.8, 0.0], [0.0, 0.0]]])
    measure = BY_KEY["ap"].read_by(Decoder(Layout(form=Form.CORNERS), (100, 100), 2))
    wanted = raw(boxes, scores)
    assert measure.apart(wanted, wanted) == 0
    elsewhere, unsure = boxes.clone(), scores.clone()
    elsewhere[0, 1] += 30
    assert measure.apart(raw(elsewhere, scores), wanted) == 0, "nothing is there"
    elsewhere[0, 0, 2] += 10
    unsure[0, 0, 0] = 0.5
    size = 0.8 * (0.01 + 0.01 + 0.09 + 0.09) + 0.64
    assert measure.apart(raw(elsewhere, scores), wanted) == pytest.approx(0.8 * 0.01 / size)
    assert measure.apart(raw(boxes, unsure), wanted) == pytest.approx(0.09 / size)
    assert BY_KEY["mse"].apart(wanted, wanted) is None, "the plain distance says it"


def test_a_class_alone_is_what_coco_says_of_it_and_classes_make_the_mean():
    given, wanted = scene(40, seed=2)
    rows = average_precision.rows(Decoder(FINISHED, (SIDE, SIDE), 3).detections(given), wanted)
    even = torch.ones(1, 40, dtype=torch.float64)
    each = [float(average_precision.value(average_precision.of_class(rows, kind), even)) for kind in range(3)]
    assert sum(each) / 3 == pytest.approx(float(average_precision.value(rows, even)))
    for kind, found in enumerate(each):
        one = wanted.clone()
        one[..., 4] = torch.where(one[..., 4] == kind, one[..., 4], -1.0)
        mine = given.clone()
        mine[..., 4] = torch.where(mine[..., 5] == kind, mine[..., 4], 0.0)
        assert found == pytest.approx(as_coco_says(mine, one)[0], abs=1e-6)


def test_things_that_are_found_are_counted():
    wanted = torch.tensor([[box(0.0, 0.0, 0.2, 0, 0), box(0.5, 0.5, 0.2, 1, 0)], [box(0.0, 0.0, 0.2, -1, 0)] * 2])
    given = torch.tensor([[box(0.0, 0.0, 0.2, 0.9, 0), box(0.5, 0.5, 0.2, 0.2, 1)], [box(0.0, 0.0, 0.2, 0.9, 0)] * 2])
    rows = average_precision.rows(Decoder(FINISHED, (SIDE, SIDE), 3).detections(given), wanted)
    assert average_precision.to_find(rows).tolist() == [2, 0]
    assert average_precision.found_in(rows, 0.1).tolist() == [2, 0]
    assert average_precision.found_in(rows, 0.3).tolist() == [1, 0]
