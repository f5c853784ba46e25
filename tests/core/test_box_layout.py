"""Boxes and scores in outputs of their own: read in every form as when they stand together, proposed from values."""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import prod

import pytest
import torch
from torchvision.ops import box_convert

from pruning_core.numeric.box_layout import Form, Layout, Nothing, Says, proposed
from pruning_core.numeric.detections import Decoder
from pruning_core.numeric.outputs import Takes, behind_one_another, every

SIDES, COUNT, CLASSES = (50, 80), 40, 3
TOGETHER = Layout(form=Form.CORNERS, pixels=False)


def drawn(classes=CLASSES, seed=0):
    """Corners as shares (4, 40, 4), and probabilities (4, 40, classes) whose sum is less than 1."""
    generator = torch.Generator().manual_seed(seed)
    low = 0.6 * torch.rand(4, COUNT, 2, generator=generator)
    boxes = torch.cat([low, low + 0.05 + 0.3 * torch.rand(4, COUNT, 2, generator=generator)], 2)
    raw = (0.01 + torch.rand(4, COUNT, classes + 1, generator=generator).double()) ** 4
    return boxes.double(), (raw / raw.sum(2, keepdim=True))[..., :classes]


def in_form(boxes, form):
    match form:
        case Form.DOWN_FIRST:
            return boxes[..., [1, 0, 3, 2]]
        case Form.CENTRE:
            return box_convert(boxes, "xyxy", "cxcywh")
        case Form.CORNER:
            return box_convert(boxes, "xyxy", "xywh")
    return boxes


def scores_of(chances, says, nothing):
    rest = 1 - chances.sum(2, keepdim=True)
    parts = {Nothing.NOWHERE: [chances], Nothing.FIRST: [rest, chances], Nothing.LAST: [chances, rest]}[nothing]
    said = torch.cat(parts, 2)
    return {Says.PROBABILITIES: said, Says.SIGMOID: said.logit(), Says.SOFTMAX: said.log() + 3}[says]


def read(layout, outputs, classes=CLASSES):
    """As a measure reads them: behind one another where they are apart."""
    shapes = tuple(tuple(each.shape[1:]) for each in outputs)
    told, likely = layout.classes(shapes, classes)
    assert told == classes
    decoder = Decoder(layout, SIDES, classes, likely, shapes)
    return decoder, decoder.detections(behind_one_another(every(outputs, Takes.ALL)) if layout.apart else outputs[0])


FORMS = [form for form in Form if form is not Form.OFFSETS]
WAYS = [(says, nothing) for says, nothing in itertools.product(Says, Nothing)
        if says is not Says.SOFTMAX or nothing is not Nothing.NOWHERE]  # fmt: skip


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("says", "nothing"), WAYS)
def test_apart_says_what_together_says(form, columns, says, nothing):
    boxes, chances = drawn()
    _, wanted = read(TOGETHER, [torch.cat([boxes, chances], 2)])
    assert (wanted.classes >= 0).any(1).all()
    for pixels, boxes_first, thin in itertools.product((False, True), repeat=3):
        given = in_form(boxes * torch.tensor([80.0, 50.0, 80.0, 50.0]).double() if pixels else boxes, form)
        outputs = [given, scores_of(chances, says, nothing)]
        if columns:
            outputs = [each.transpose(1, 2) for each in outputs]
        if thin:
            outputs[0] = outputs[0].unsqueeze(2)
        beside = torch.randn(4, 7, 5).double()
        outputs = [*outputs, beside] if boxes_first else [outputs[1], beside, outputs[0]]
        layout = Layout(
            boxes=0 if boxes_first else 2, scores=1 if boxes_first else 0, columns=columns, form=form, pixels=pixels,
            says=says, nothing=nothing,
        )  # fmt: skip
        _, found = read(layout, outputs)
        assert torch.equal(found.classes, wanted.classes)
        assert torch.allclose(found.boxes, wanted.boxes, atol=1e-9)
        assert torch.allclose(found.scores, wanted.scores, atol=1e-9)


@pytest.mark.parametrize("first", [0, 1])
def test_a_class_by_its_number_is_a_score_of_that_class(first):
    boxes, chances = drawn()
    best, kinds = chances.max(2)
    together = torch.cat([boxes, best[..., None], kinds[..., None].double()], 2)
    _, wanted = read(replace(TOGETHER, kinds=0, doubles=False), [together])
    there, ranked = wanted.classes >= 0, kinds.gather(1, best.argsort(1, descending=True))
    assert torch.equal(wanted.classes[there], ranked[there[:, :COUNT]])
    nothing = Nothing.FIRST if first else Nothing.NOWHERE
    layout = replace(TOGETHER, boxes=1, scores=2, kinds=0, nothing=nothing, doubles=False)
    _, found = read(layout, [kinds + first, boxes, best])
    assert torch.equal(found.classes, wanted.classes) and torch.equal(found.boxes, wanted.boxes)
    _, paired = read(replace(layout, boxes=0, scores=1, kinds=1), [boxes, torch.stack([best, kinds + first], 2)])
    assert torch.equal(paired.classes, wanted.classes) and torch.equal(paired.scores, wanted.scores)


def test_a_network_that_gives_no_doubles_keeps_boxes_that_overlap():
    boxes = torch.tensor([[[0.1, 0.1, 0.4, 0.4], [0.12, 0.1, 0.4, 0.4]]]).double()
    scores = torch.tensor([[[0.9, 0.0, 0.0], [0.8, 0.0, 0.0]]]).double()
    layout = replace(TOGETHER, scores=1)
    assert read(layout, [boxes, scores])[1].classes[0, :2].tolist() == [0, -1]
    assert read(replace(layout, doubles=False), [boxes, scores])[1].classes[0, :2].tolist() == [0, 0]


def gradient(layout, outputs):
    given = [each.double().requires_grad_() for each in outputs]
    shapes = tuple(tuple(each.shape[1:]) for each in given)
    decoder = Decoder(layout, SIDES, CLASSES, False, shapes)
    boxes, scores = decoder.candidates(behind_one_another(given))
    (boxes.sum() + scores.square().sum()).backward()
    return [float(each.grad.abs().sum()) for each in given]


def test_a_training_reaches_both_outputs():
    boxes, chances = drawn()
    scores = scores_of(chances, Says.SOFTMAX, Nothing.LAST)
    layout = replace(TOGETHER, scores=1, says=Says.SOFTMAX, nothing=Nothing.LAST)
    assert min(gradient(layout, [boxes, scores])) > 0


def test_what_outputs_look_like_is_proposed():
    boxes, chances = drawn()
    centres = in_form(boxes, Form.CENTRE)
    empty = 0.02 * chances  # images with nothing in them
    ssd = [boxes * 300, scores_of(empty, Says.PROBABILITIES, Nothing.FIRST)]
    found = proposed(ssd)
    assert found == Layout(scores=1, form=Form.CORNERS, nothing=Nothing.FIRST), "four classes are no boxes"
    assert proposed(ssd[::-1]) == replace(found, boxes=1, scores=0)
    assert proposed([each.transpose(1, 2) for each in ssd]) == replace(found, columns=True)
    detr = proposed([scores_of(empty, Says.SOFTMAX, Nothing.LAST), centres, torch.randn(4, COUNT, 16)])
    assert detr == Layout(1, 0, pixels=False, says=Says.SOFTMAX, nothing=Nothing.LAST, doubles=False)
    focal = proposed([centres * 300, scores_of(empty, Says.SIGMOID, Nothing.NOWHERE)])
    assert focal == Layout(scores=1, says=Says.SIGMOID)
    best, kinds = chances.max(2)
    final = proposed([boxes * 300, best, kinds])
    assert final == Layout(scores=1, kinds=2, form=Form.CORNERS, doubles=False)
    assert proposed([boxes * 300, kinds, best]) == replace(final, scores=2, kinds=1)
    assert proposed([boxes * 300, best.unsqueeze(2)]) == Layout(scores=1, form=Form.CORNERS), "of one class"
    raw = proposed([torch.randn(4, COUNT, 4), torch.randn(4, COUNT, CLASSES + 1)])
    assert raw.form is Form.OFFSETS and raw.scores == 1
    grids = [torch.randn(4, 7, 12, 12), torch.randn(4, 7, 6, 6), torch.randn(4, 7, 4, 4)]
    assert proposed(grids) is None and proposed([torch.randn(4, 10)]) is None


def test_a_class_for_nothing_is_what_an_odd_number_of_scores_suggests():
    shapes = ((COUNT, CLASSES + 1), (COUNT, 4))
    layout = Layout(1, 0, says=Says.SIGMOID)
    assert layout.classes(shapes, CLASSES) == (CLASSES + 1, False)
    last, first = layout.suited(shapes, CLASSES)
    assert last == replace(layout, says=Says.SOFTMAX, nothing=Nothing.LAST) and first.nothing is Nothing.FIRST
    assert last.suited(shapes, CLASSES) == (), "it fits"
    assert last.suited(shapes, CLASSES + 1) == (layout,), "no class for nothing"
    assert layout.suited(shapes, 9) == (), "nothing helps"
    joint = ((COUNT, 4 + CLASSES + 1),)
    assert Layout().classes(joint, CLASSES) == (CLASSES, True) and Layout().classes(joint, CLASSES + 1)[1] is False


@pytest.mark.parametrize(
    ("layout", "shapes"),
    [
        (Layout(0, 1), ((COUNT, 4), (COUNT + 1, 3))), (Layout(0, 1), ((COUNT, 5), (COUNT, 3))),
        (Layout(0, 5), ((COUNT, 4), (COUNT, 3))), (Layout(7, 0), ((COUNT, 4), (COUNT, 3))),
        (Layout(0, 1, 2), ((COUNT, 4), (COUNT,), (COUNT + 1,))), (Layout(0, 1, 2), ((COUNT, 4), (COUNT, 3), (COUNT,))),
        (Layout(0, 1), ((4, 12, 12), (COUNT, 3))), (Layout(), ((7, 12, 12),)), (Layout(), ((10,),)),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be_read_so_have_room_for_nothing(layout, shapes):
    assert layout.room(shapes) == 0 and layout.classes(shapes, CLASSES)[0] <= 0
    assert prod(shapes[0]) > 0


def test_what_is_told_comes_back_and_nothing_else_does():
    layout = Layout(1, 2, 0, True, Form.DOWN_FIRST, False, Says.SOFTMAX, Nothing.LAST, False)
    assert Layout.of(layout.told) == layout and Layout.of(Layout().told) == Layout()
    told = dict(layout.told)
    for wrong in ({"form": "x"}, {"boxes": -1}, {"boxes": True}, {"pixels": 1}, {"kinds": "0"}, {"more": 1}):
        assert Layout.of(tuple((told | wrong).items())) is None
    assert Layout.of(tuple(told.items())[1:]) is None
